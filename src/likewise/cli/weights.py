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
    method: Annotated[str, typer.Argument(metavar="METHOD", help="hsnet, panet, icnet or mcibi.")],
    checkpoint: Annotated[Path, typer.Argument(metavar="FILE", help="The authors' checkpoint, such as best_model.pt.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="\\[FILE with the suffix .safetensors]")
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option("--classes", metavar="FILE", help="Of mcibi: the class names, a line each, in their order."),
    ] = None,
) -> None:
    """Turn a checkpoint of a published program into a safe file that knows its network.

    Which of the method's networks it is follows from its entries. Use the result with --model FILE.

    [dim]likewise weights import hsnet best_model.pt -o hsnet-resnet50.safetensors[/dim]
    """
    from likewise.weights.published import BY_EXAMPLE, import_checkpoint
    from likewise.weights.published_scenes import import_scene_checkpoint

    if (method == "mcibi") != (classes is not None):
        raise ValueError(
            "--classes FILE goes with mcibi, whose checkpoints do not name their classes, and only with it"
        )
    if classes is not None:
        path = import_scene_checkpoint(checkpoint, classes, out)
        say(f"{path}: mcibi; use it with likewise parse --model {path}")
        return
    name, path = import_checkpoint(method, checkpoint, out)
    say(f"{path}: {name}" + (f"; use it with --model {path}" if name in BY_EXAMPLE else ""))
