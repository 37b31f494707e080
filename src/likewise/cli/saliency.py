"""`likewise saliency`: map what is salient in each image."""

from typing import Annotated

import typer

from likewise.cli import options
from likewise.cli.console import print_report, progress_bar

Formats = options.format_option("probability")


def saliency(
    paths: options.Paths,
    out: options.Out,
    *,
    format: Formats = None,
    model: Annotated[
        str, typer.Option("--model", help="saliency-lite0, a run of it, or an ONNX saliency model.")
    ] = "saliency-lite0",
    engine: options.Engine = "auto",
    device: options.Device = "auto",
    edges: options.Edges = True,
    max_pixels: options.MaxPixels = None,
    folders: options.FolderOptions,
    force: options.Force = False,
) -> None:
    """Map what is salient in each image on its own.

    Interrupted runs resume.

    [dim]likewise saliency photos/ -o maps/[/dim]
    """
    options.allow(max_pixels)
    from likewise.jobs.saliency import saliency_folder
    from likewise.predict.saliency import Saliency

    network = Saliency(model, engine=engine, device=device, edges=edges)
    formats = format or ["probability"]
    with progress_bar("mapping") as progress:
        report = saliency_folder(
            paths, out, saliency=network, formats=formats, force=force, **vars(folders), progress=progress
        )
    print_report(report, "mapped", out)
