"""Console output: lines, tables, progress and reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from likewise.jobs.pipeline import Report


def print_line(text: str) -> None:
    """Print a line to standard output, without wrapping or markup."""
    from rich.console import Console

    Console(soft_wrap=True, highlight=False, markup=False).print(text)


def print_error(text: str) -> None:
    """Print a line to standard error, in red on a terminal."""
    from rich.console import Console

    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(text, style="red")


def new_table(*columns: str) -> Table:
    """Return an empty table in the style of the program; the first column is never wrapped."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Column, Table

    names = (Column(name, overflow="fold", no_wrap=index == 0) for index, name in enumerate(columns))
    return Table(*names, box=SIMPLE_HEAD)


def print_table(table: Table) -> None:
    """Print a table to standard output."""
    from rich.console import Console

    Console(highlight=False).print(table)


@contextmanager
def stage_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function of stage, done and total that draws a bar for each stage, with rate and time left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    console = Console(stderr=True)
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:

        def update(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total, rate="")
            speed = next(task.speed for task in progress.tasks if task.id == tasks[stage])
            progress.update(tasks[stage], completed=done, total=total, rate=f"{speed:.1f}/s" if speed else "")

        yield update


@contextmanager
def progress_bar(stage: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of done and total that draws a bar."""
    with stage_progress() as update:
        yield partial(update, stage)


def print_report(report: Report, action: str, out: Path) -> None:
    """Print the outcome of a run; if an image failed, list the failures and exit with code 1."""
    rate = f", {report.done / report.seconds:.1f} images per second" if report.done else ""
    skipped = f", {report.skipped} already finished" if report.skipped else ""
    images = "1 image" if report.done == 1 else f"{report.done} images"
    print_line(f"{images} {action} into {out}{skipped}{rate}")
    if report.failed:
        print_error(f"{len(report.failed)} failed:")
        for path, reason in report.failed:
            print_error(f"  {path}: {reason}")
        raise typer.Exit(1)
