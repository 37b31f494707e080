"""`likewise segment`: find in images what examples show."""

from __future__ import annotations

from likewise.cli import options
from likewise.cli.console import print_report, progress_bar
from likewise.weights import DEFAULT_MODEL, PRESENCE

Formats = options.format_option("mask")


def segment(
    paths: options.Paths,
    like: options.Like,
    out: options.Out,
    unlike: options.Unlike = None,
    box: options.Boxes = None,
    box_only: options.BoxOnly = False,
    points: options.Points = None,
    scribbles: options.Scribbles = None,
    label: options.Label = None,
    palette: options.Palette = None,
    classes: options.Classes = None,
    invert: options.Invert = False,
    strict: options.Strict = False,
    format: Formats = None,
    instances: options.Instances = False,
    model: options.Model = DEFAULT_MODEL,
    backbone: options.BackboneName = "lite0",
    weights: options.Weights = None,
    side: options.Side = None,
    engine: options.Engine = "auto",
    device: options.Device = "auto",
    precision: options.Precision = "float32",
    quality: options.Quality = None,
    edges: options.Edges = True,
    window: options.Window = None,
    channels: options.Channels = None,
    pages: options.Pages = "first",
    one_scale: options.OneScale = False,
    max_pixels: options.MaxPixels = None,
    follow_links: options.FollowLinks = False,
    memory: options.Memory = None,
    dry_run: options.DryRun = False,
    presence: options.Presence = PRESENCE,
    always: options.Always = False,
    world: options.World = None,
    fit_presence: options.FitPresence = False,
    force: options.Force = False,
) -> None:
    """Segment the objects of the examples in all images of PATHS.

    Interrupted runs resume.

    [dim]likewise segment photos/ --like cat.jpg=cat.png -o masks/ --format mask overlay[/dim]
    """
    from likewise.io.raster import parse_channels
    from likewise.jobs.segment import segment_folder

    options.allow(max_pixels)
    few_shot = options.open_few_shot(
        model,
        backbone,
        weights,
        side,
        device,
        precision,
        engine=engine,
        quality=quality,
        edges=edges,
        presence=0.0 if always else presence,
        world=world,
    )
    with progress_bar("segmenting") as progress:
        report = segment_folder(
            paths,
            like,
            out,
            few_shot=few_shot,
            unlike=unlike or (),
            boxes=box or (),
            box_only=box_only,
            points=points or (),
            scribbles=scribbles or (),
            label=label,
            palette=palette,
            classes=options.names(classes),
            invert=invert,
            strict=strict,
            formats=format or ["mask"],
            instances=instances,
            pages=pages,
            channels=parse_channels(channels) if channels else (),
            one_scale=one_scale,
            window=window,
            fit_presence=fit_presence,
            follow_links=follow_links,
            memory=memory,
            dry_run=dry_run,
            force=force,
            progress=progress,
        )
    print_report(report, "segmented", out)
