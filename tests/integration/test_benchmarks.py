"""Benchmarks and experiments take too long for the suite; these tests import each script."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = [*sorted((ROOT / "benchmarks").glob("*.py")), *sorted((ROOT / "experiments").glob("*/run.py"))]
NAMES = [str(script.relative_to(ROOT).with_suffix("")) for script in SCRIPTS]


@pytest.mark.parametrize("script", SCRIPTS, ids=NAMES)
def test_a_script_imports_without_errors(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(script.parent)  # benchmarks/hsnet.py imports its neighbour reference_hsnet.py
    spec = importlib.util.spec_from_file_location("script_under_test", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses resolve their annotations through sys.modules
    spec.loader.exec_module(module)
