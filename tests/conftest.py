"""Fixtures: where the golden numbers and the real images are, when they are there at all."""

import importlib.util
import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden numbers and real data beside the checkout; required where CI runs."""
    if not SHARED.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"CI must have the golden numbers and data at {SHARED}")
        pytest.skip(f"golden numbers and real data are not at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def shared_data(shared: Path) -> Path:
    return shared / "data"


@pytest.fixture(scope="session")
def rule(shared: Path) -> ModuleType:
    """The module that regenerates golden weights and inputs from their names."""
    spec = importlib.util.spec_from_file_location("golden_rule", shared / "golden" / "rule.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def golden(shared: Path) -> Callable[[str], tuple[dict, dict[str, np.ndarray]]]:
    """`golden(name)` gives the description and the arrays of one golden file."""

    def read(name: str) -> tuple[dict, dict[str, np.ndarray]]:
        folder = shared / "golden"
        with np.load(folder / f"{name}.npz") as arrays:
            return json.loads((folder / f"{name}.json").read_text()), dict(arrays)

    return read


@pytest.fixture
def colours() -> np.ndarray:
    """Four corners of different colours, so that every turn and flip shows."""
    image = np.zeros((16, 24, 3), dtype=np.uint8)
    image[:8, :12] = 255, 0, 0
    image[:8, 12:] = 0, 255, 0
    image[8:, :12] = 0, 0, 255
    image[8:, 12:] = 200, 200, 40
    return image


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder `photos` in the working directory."""
    monkeypatch.chdir(tmp_path)
    path = Path("photos")
    path.mkdir()
    return path


@pytest.fixture
def likewise(monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """Run the program with these words; give its exit code, output and errors."""

    from likewise import cli

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["likewise", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
        code = 0
        try:
            cli.main()
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        return code, *capsys.readouterr()

    return run
