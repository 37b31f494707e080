"""`likewise cosegment`: segment what the images of a folder share."""

from pathlib import Path
from typing import Annotated

import typer

from likewise.cli import options
from likewise.cli.console import print_line, print_report, stage_progress
from likewise.errors import counted

Formats = options.format_option("mask")


def cosegment(
    paths: Annotated[list[str], typer.Argument(metavar="PATHS...", help="Folders; each with images is a group.")],
    out: options.Out,
    *,
    maps: options.Maps = "saliency-lite0",
    then: options.Then = None,
    shots: Annotated[int, typer.Option("--shots", min=1, help="Number of examples for --then segment.")] = 5,
    format: Formats = None,
    model: Annotated[
        str, typer.Option("--model", help="icnet-lite0, a run of icnet, or icnet-vgg16 with --weights.")
    ] = "icnet-lite0",
    weights: options.Weights = None,
    engine: options.Engine = "auto",
    device: options.Device = "auto",
    edges: options.Edges = True,
    max_pixels: options.MaxPixels = None,
    folders: options.FolderOptions,
    force: options.Force = False,
) -> None:
    """Segment what the images of each folder share, without an example.

    Interrupted runs resume.

    [dim]likewise cosegment photos/ -o masks/ --format mask overlay[/dim]
    """
    options.allow(max_pixels)
    from likewise.jobs.cosegment import cosegment_folder
    from likewise.predict.co_saliency import CoSaliency

    cosaliency = CoSaliency(model, maps=maps, weights=weights, engine=engine, device=device, edges=edges)
    with stage_progress() as progress:
        report = cosegment_folder(
            paths,
            out,
            cosaliency=cosaliency,
            then=then,
            shots=shots,
            formats=format or ["mask"],
            **vars(folders),
            force=force,
            progress=progress,
        )
    for folder, names in report.examples.items():
        print_line(f"{folder}: examples are {', '.join(Path(name).name for name in names)}")
    print_report(report, f"in {counted(report.folders, 'group')} segmented", out)
