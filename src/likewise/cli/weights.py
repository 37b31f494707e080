"""Weights of other programs: `weights import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from likewise.cli.options import say

app = typer.Typer(no_args_is_help=True, help="Weights of the published programs.")


@app.callback()
def weights() -> None:
    """Weights of the published programs."""


@app.command("import")
def import_(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="hsnet, panet or icnet.")],
    checkpoint: Annotated[Path, typer.Argument(metavar="FILE", help="The authors' checkpoint, such as best_model.pt.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="\\[FILE with the suffix .safetensors]")
    ] = None,
) -> None:
    """Turn a checkpoint of a published program into a safe file that knows its network.

    Which of the method's networks it is follows from its entries. Use the result with --model FILE.

    [dim]likewise weights import hsnet best_model.pt -o hsnet-resnet50.safetensors[/dim]
    """
    from likewise.checkpoints import BY_EXAMPLE, import_checkpoint

    name, path = import_checkpoint(method, checkpoint, out)
    say(f"{path}: {name}" + (f"; use it with --model {path}" if name in BY_EXAMPLE else ""))
