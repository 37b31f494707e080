"""What the commands share: options, and how the program speaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from likewise.predict.few_shot import FewShot

Model = Annotated[str, typer.Option("--model", help="See [bold]likewise models[/bold].")]
BackboneName = Annotated[
    str,
    typer.Option(
        "--backbone",
        help="Of the model panet: see [bold]likewise backbones[/bold]; any timm model: NAME, or NAME@TAP+TAP.",
    ),
]
Weights = Annotated[
    Path | None, typer.Option("--weights", help="Weights from a file: see [bold]likewise models[/bold].")
]
Side = Annotated[
    int | None,
    typer.Option("--side", help="Pictures are brought to about SIDE x SIDE pixels. \\[the model's, 320 or 400]"),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, mps, ...")]
Precision = Annotated[
    str, typer.Option("--precision", help="float32, or bfloat16: coarser; faster only with bfloat16 instructions.")
]
Edges = Annotated[
    bool,
    typer.Option("--edges/--no-edges", help="Outlines follow the picture's edges; or what the model says as it is."),
]


def open_few_shot(
    model: str,
    backbone: str,
    weights: Path | None,
    side: int | None,
    device: str,
    precision: str,
    *,
    edges: bool = True,
) -> FewShot:
    """The model that the options name; `backbone` may have its taps behind an @."""
    from likewise.predict.few_shot import FewShot

    name, _, taps = backbone.partition("@")
    return FewShot(
        model,
        name,
        taps=taps.split("+") if taps else (),
        weights=weights,
        side=side,
        device=device,
        precision=precision,
        edges=edges,
    )


@contextmanager
def shown_progress(what: str, total: int) -> Iterator[Callable[[int, int], None]]:
    """A bar with rate and time left; within, a function that is told how many are settled, of how many."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total, rate="")

        def told(settled: int, of: int) -> None:
            speed = progress.tasks[0].speed
            progress.update(task, completed=settled, total=of, rate=f"{speed:.1f}/s" if speed else "")

        yield told


def new_table(*columns: str) -> Table:
    """An empty table as this program shows them."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(*columns, box=SIMPLE_HEAD)


def say(what: Any) -> None:
    """Print a line as it is, or a table."""
    from rich.console import Console

    Console(soft_wrap=isinstance(what, str), highlight=False, markup=not isinstance(what, str)).print(what)


def complain(text: str) -> None:
    """Print a line to standard error, in red where there are colours."""
    from rich.console import Console

    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(text, style="red")
