"""`likewise parse`: label every pixel of images."""

from typing import Annotated

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
Window = Annotated[int, typer.Option("--window", min=1, help="Side in pixels of the windows of larger images.")]
ShortSide = Annotated[
    int | None,
    typer.Option("--side", min=0, help="Short side of the resized images; 0 keeps their size. \\[as trained]"),
]


def parse(
    paths: options.Paths,
    model: SceneModel,
    out: options.Out,
    format: Formats = None,
    scales: Scales = None,
    mirror: Annotated[bool, typer.Option("--mirror", help="Average with the mirrored image.")] = False,
    window: Window = 768,
    overlap: Annotated[float, typer.Option("--overlap", help="Minimum overlap of windows, as a fraction.")] = 0.25,
    side: ShortSide = None,
    engine: options.Engine = "auto",
    device: options.Device = "auto",
    max_pixels: options.MaxPixels = None,
    follow_links: options.FollowLinks = False,
    memory: options.Memory = None,
    dry_run: options.DryRun = False,
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

    scales = scales or [1.0]
    parser = SceneParser(
        model,
        side=side,
        scales=scales,
        mirror=mirror,
        window=window,
        overlap=overlap,
        engine=engine,
        device=device,
    )
    formats = format or ["labels", "overlay"]
    with progress_bar("parsing") as progress:
        report = parse_folder(
            paths,
            out,
            parser=parser,
            formats=formats,
            force=force,
            follow_links=follow_links,
            memory=memory,
            dry_run=dry_run,
            progress=progress,
        )
    print_report(report, "parsed", out)
