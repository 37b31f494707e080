"""`likewise memory`: the dataset memory of a run of MCIBI."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from likewise.cli.commands import command
from likewise.cli.console import print_line

app = typer.Typer(no_args_is_help=True, help="The dataset memory of a run of MCIBI.")


@app.callback()
def memory() -> None:
    """The dataset memory of a run of MCIBI."""


@app.command("show", cls=command())
def show(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run of mcibi, or a saved memory (without drift).")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="IMAGE", help="The image to write.")],
) -> None:
    """Draw a memory: filled classes, their similarity, and their drift during training.

    [dim]likewise memory show runs/mcibi -o memory.png[/dim]
    """
    from likewise.io.images import save_image
    from likewise.viz.memory import draw_memory, memory_lines
    from likewise.weights.memories import read_memories, view_memories

    view = view_memories(read_memories(run))
    for line in memory_lines(view):
        print_line(line)
    save_image(draw_memory(view, title=run.name), out)
    print_line(str(out))
