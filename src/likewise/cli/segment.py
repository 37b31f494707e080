"""`likewise segment`: find in images what examples show."""

from likewise.cli import options
from likewise.cli.console import print_report, progress_bar
from likewise.weights import DEFAULT_MODEL


def segment(
    paths: options.Paths,
    like: options.Like,
    out: options.Out,
    *,
    unlike: options.Unlike = None,
    marks: options.MarkOptions,
    format: options.Formats = None,
    instances: options.Instances = False,
    model: options.Model = DEFAULT_MODEL,
    network: options.SegmenterOptions,
    window: options.Window = None,
    channels: options.Channels = None,
    pages: options.Pages = "first",
    one_scale: options.OneScale = False,
    max_pixels: options.MaxPixels = None,
    folders: options.FolderOptions,
    presence: options.PresenceOptions,
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
    few_shot = options.open_few_shot(model, network, presence)
    with progress_bar("segmenting") as progress:
        report = segment_folder(
            paths,
            like,
            out,
            few_shot=few_shot,
            unlike=unlike or (),
            **marks.marks(),
            formats=format or ["mask"],
            instances=instances,
            pages=pages,
            channels=parse_channels(channels) if channels else (),
            one_scale=one_scale,
            window=window,
            fit_presence=fit_presence,
            **vars(folders),
            force=force,
            progress=progress,
        )
    print_report(report, "segmented", out)
