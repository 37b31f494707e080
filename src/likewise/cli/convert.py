"""`likewise convert`: annotations of one format into another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from likewise.cli import options
from likewise.cli.console import print_line, progress_bar


def convert(
    source: Annotated[
        str, typer.Argument(metavar="IN", help="An annotation file or folder, as for --like of [bold]segment[/bold].")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder, or file for a format of one file.")],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="coco, yolo, voc, labelme, cvat, label-studio, geojson, mask, instance, table, parquet, labels, "
            "overlay, cutout, areas.",
        ),
    ],
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder of the images. \\[beside the annotations]")
    ] = None,
    classes: options.Classes = None,
    tolerance: Annotated[
        float | None, typer.Option("--tolerance", help="Pixels by which a polygon may leave a mask's edge. \\[1]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that has files, or over a file.")] = False,
) -> None:
    """Write annotations in another format. No model is used.

    [dim]likewise convert annotations.json yolo/ --to yolo[/dim]
    """
    from likewise.io.annotations.outlines import TOLERANCE
    from likewise.jobs.convert import convert_annotations

    with progress_bar("converting") as progress:
        done = convert_annotations(
            source,
            out,
            to,
            images=images,
            classes=options.names(classes),
            tolerance=TOLERANCE if tolerance is None else tolerance,
            force=force,
            progress=progress,
        )
    objects = sum(len(image.objects) for image in done.images)
    print_line(
        f"{len(done)} images with {objects} objects of {len(done.classes)} classes: {done.format} to {to}, {out}"
    )
