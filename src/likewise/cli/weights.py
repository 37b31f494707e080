"""`likewise weights`: checkpoints of the published programs."""

from pathlib import Path
from typing import Annotated

import typer

from likewise.cli.commands import register
from likewise.cli.console import print_line
from likewise.errors import ArgumentError, check_known

app = typer.Typer(no_args_is_help=True, help="Checkpoints of the published programs.")


def import_(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="hsnet, panet, icnet or mcibi.")],
    checkpoint: Annotated[Path, typer.Argument(metavar="FILE", help="The authors' checkpoint, such as best_model.pt.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="\\[FILE with the suffix .safetensors]")
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option("--classes", metavar="FILE", help="For mcibi: the class names in label order, one per line."),
    ] = None,
) -> None:
    """Convert a checkpoint of a published program to a safetensors file that names its network.

    The entries of the checkpoint determine which network of the method it is. Use the result with --model FILE.

    [dim]likewise weights import hsnet best_model.pt -o hsnet-resnet50.safetensors[/dim]
    """
    from likewise.weights.names import FEW_SHOT
    from likewise.weights.published import import_checkpoint, import_scene_checkpoint

    check_known(method, ("hsnet", "panet", "icnet", "mcibi"), "method")
    if (method == "mcibi") != (classes is not None):
        raise ArgumentError("mcibi, and no other method, needs --classes FILE: its checkpoints have no class names")
    if classes is not None:
        path = import_scene_checkpoint(checkpoint, classes, out)
        print_line(f"{path}: mcibi; use it with likewise parse --model {path}")
        return
    name, path = import_checkpoint(method, checkpoint, out)
    print_line(f"{path}: {name}" + (f"; use it with --model {path}" if method in FEW_SHOT else ""))


register(app, import_, "import")
