"""`likewise memory`: the dataset memory of a run of MCIBI."""

from pathlib import Path
from typing import Annotated

import typer

from likewise.cli.commands import register
from likewise.cli.console import print_line

app = typer.Typer(no_args_is_help=True, help="The dataset memory of a run of MCIBI.")


def show(run: Annotated[Path, typer.Argument(metavar="RUN", help="A run of mcibi, or a saved memory.")]) -> None:
    """Describe a memory: filled classes, the most similar class of each, and its movement during training.

    [dim]likewise memory show runs/mcibi[/dim]
    """
    from likewise.weights.memories import describe_memories, read_memories

    for line in describe_memories(read_memories(run)):
        print_line(line)


register(app, show)
