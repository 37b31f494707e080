"""Progress where the output is a terminal, and where it is not."""

import sys

import pytest
from rich.progress import Progress

from likewise.cli import console


@pytest.fixture
def bars(monkeypatch):
    """Returns the names of the bars that were begun, with the steps done by then; standard error is a terminal."""
    begun = []
    add_task = Progress.add_task

    def add(self, description, **options):
        begun.append((description, options["completed"]))
        return add_task(self, description, **options)

    monkeypatch.setattr(Progress, "add_task", add)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    return begun


def test_a_stage_keeps_its_bar_while_its_loss_changes(bars):
    with console.stage_progress() as progress:
        progress("panet", 3, 9)
        progress("panet  loss 0.5", 4, 9)
        progress("panet  loss 0.25", 5, 9)
        progress("[red]", 0, 9)
    assert bars == [("panet", 3), ("[red]", 0)]


def test_progress_is_printed_in_lines_where_there_is_no_terminal(monkeypatch):
    lines = []
    clock = iter([0.0, 5.0, 11.0, 11.0, 12.0, 22.0, 22.0])
    monkeypatch.setattr(console, "monotonic", lambda: next(clock))
    update = console.plain_progress(lines.append)
    for done in range(1, 5):
        update("segmenting", done, 9)
    assert lines == ["segmenting: 2 of 9", "segmenting: 4 of 9"]
