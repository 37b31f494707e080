"""Console output: lines, tables, progress and reports. All text is shown by `likewise.errors.printable`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import typer

from likewise.errors import counted, printable

if TYPE_CHECKING:
    from rich.table import Table

    from likewise.jobs.pipeline import Report

SECONDS_BETWEEN_LINES = 10.0
"""Time between two lines of progress where the output is no terminal."""

verbosity = 0
"""-1 for --quiet: errors only; 1 for --verbose: also the traceback of errors."""


def print_line(text: str) -> None:
    """Print a line to standard output, without wrapping or markup."""
    from rich.console import Console

    Console(soft_wrap=True, highlight=False, markup=False).print(printable(text))


def print_error(text: str) -> None:
    """Print a line to standard error, in red on a terminal."""
    from rich.console import Console

    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(printable(text), style="red")


def new_table(*columns: str) -> Table:
    """Return an empty table in the style of the program; the first column is never wrapped."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Column, Table

    shown = [printable(name) for name in columns]
    names = (Column(name, overflow="fold", no_wrap=name == shown[0], min_width=len(name)) for name in shown)
    return Table(*names, box=SIMPLE_HEAD)


def print_table(table: Table) -> None:
    """Print a table to standard output."""
    from rich.console import Console

    Console(highlight=False).print(table)


@contextmanager
def stage_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function of stage, done and total that shows progress on standard error.

    On a terminal it draws a bar for each stage, with rate and time left; elsewhere it prints a line now and then. What
    follows two spaces in a stage, such as a loss, may change from call to call.
    """
    if not sys.stderr.isatty():
        yield plain_progress(print_error)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
    from rich.table import Column

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(min(40, console.width // 6)),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False, table_column=Column(ratio=1, no_wrap=True)),  # what is left
    )
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console, transient=True, expand=True, disable=verbosity < 0) as progress:

        def update(stage: str, done: int, total: int) -> None:
            name, _, note = stage.partition("  ")
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total, completed=done, rate="", note="")
            speed = progress.tasks[tasks[name]].speed
            rate = f"{speed:.1f}/s" if speed else ""
            progress.update(tasks[name], completed=done, total=total, rate=rate, note=note)

        yield update


def plain_progress(print_text: Callable[[str], None]) -> Callable[[str, int, int], None]:
    """Return a function of stage, done and total that prints a line every `SECONDS_BETWEEN_LINES`."""
    last = monotonic()

    def update(stage: str, done: int, total: int) -> None:
        nonlocal last
        if monotonic() - last >= SECONDS_BETWEEN_LINES and verbosity >= 0:
            last = monotonic()
            print_text(f"{stage}: {done} of {total}")

    return update


@contextmanager
def progress_bar(stage: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of done and total that shows progress."""
    with stage_progress() as update:
        yield partial(update, stage)


def print_report(report: Report, action: str, out: Path) -> None:
    """Print the outcome of a run; if an image failed, list the failures and exit with code 1."""
    if str(out) != "-" and verbosity >= 0:
        for line in report_lines(report, action, out):
            print_line(line)
    if report.failed:
        print_error(f"{len(report.failed)} failed:")
        for path, reason in report.failed:
            print_error(f"  {path}: {reason}")
        raise typer.Exit(1)


def report_lines(report: Report, action: str, out: Path) -> Iterator[str]:
    """Yield what a run did, in sentences."""
    if report.again:
        why = "fitted presence" if report.fitted else "examples"
        yield f"{out}: the {why} changed, so all images but the corrected ones are {action} again"
    if report.fitted:
        fitted = ", ".join(f"{name} from {least:g}" for name, least in report.fitted.items())
        yield f"an image counts as showing: {fitted} (fitted presence)"
    rate = f", {report.done / report.seconds:.1f} images per second" if report.done else ""
    skipped = f", {report.skipped} already finished" if report.skipped else ""
    kept = f", {counted(len(report.kept), 'manual output')} kept" if report.kept else ""
    if report.planned is None:
        yield f"{counted(report.done, 'image')} {action} into {out}{skipped}{kept}{rate}"
    else:
        yield f"{counted(report.planned, 'image')} would be {action} into {out}{skipped}{kept}; nothing is written"
