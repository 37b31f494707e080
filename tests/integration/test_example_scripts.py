"""The programs in `examples/` run unchanged and are short."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_example_runs_and_has_at_most_forty_lines(script: Path, tmp_path: Path):
    assert len(script.read_text().splitlines()) <= 40
    run = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout
    assert any(tmp_path.iterdir())
