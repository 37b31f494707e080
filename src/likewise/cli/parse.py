"""`likewise parse`: label every pixel of images."""

from typing import Annotated, Any

import typer

from likewise.cli import options
from likewise.cli.console import print_report, progress_bar

Formats = options.format_option("labels overlay", "labels, overlay, probability, areas, coco")
SceneModel = Annotated[
    str,
    typer.Option(
        "--model", metavar="FOLDER", help="A run of [bold]likewise train[/bold], or of [bold]likewise export[/bold]."
    ),
]
Scales = Annotated[
    list[float] | None,
    typer.Option("--scales", metavar="SCALE...", help="Image scales whose probabilities are averaged. \\[1]"),
]


def parse(
    paths: options.Paths,
    model: SceneModel,
    out: options.Out,
    *,
    format: Formats = None,
    scales: Scales = None,
    mirror: Annotated[bool, typer.Option("--mirror", help="Average with the mirrored image.")] = False,
    window: options.SceneWindow = 768,
    overlap: Annotated[float, typer.Option("--overlap", help="Minimum overlap of windows, as a fraction.")] = 0.25,
    side: options.ShortSide = None,
    engine: options.Engine = "auto",
    device: options.Device = "auto",
    max_pixels: options.MaxPixels = None,
    folders: options.FolderOptions,
    force: options.Force = False,
) -> None:
    """Label every pixel of all PATHS with a class of the model.

    Interrupted runs resume.

    [dim]likewise parse photos/ --model runs/mcibi -o parsed/ --format labels overlay areas[/dim]
    """
    options.allow(max_pixels)
    from likewise.weights.names import SCENES, check_model

    check_model(model, SCENES)  # before torch, which takes seconds
    from likewise.jobs.parse import parse_folder
    from likewise.predict.scene_parser import SceneParser

    inference: Any = {"scales": scales or [1.0], "mirror": mirror, "window": window, "overlap": overlap}
    parser = SceneParser(model, side=side, engine=engine, device=device, **inference)
    formats = format or ["labels", "overlay"]
    with progress_bar("parsing") as progress:
        report = parse_folder(
            paths, out, parser=parser, formats=formats, force=force, **vars(folders), progress=progress
        )
    print_report(report, "parsed", out)
