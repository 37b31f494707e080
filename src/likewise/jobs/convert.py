"""Annotations of one format into another, without a model: `convert_annotations`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from likewise.errors import ArgumentError, DataSetError, OutputError, check_known, counted
from likewise.io.annotations import FORMATS, Annotations, read_annotations, write_annotations
from likewise.io.annotations.outlines import TOLERANCE
from likewise.io.images import ScaledImage
from likewise.io.paths import ImageFile
from likewise.jobs.outputs import check_folder
from likewise.jobs.pipeline import Progress, process_images

DRAWN = ("labels", "overlay", "cutout", "areas")
"""Formats that need the pixels of the images, or no objects."""


def convert_annotations(
    source: str | Path,
    out: str | Path,
    format: str,
    *,
    images: str | Path | None = None,
    classes: Iterable[str] = (),
    tolerance: float = TOLERANCE,
    force: bool = False,
    progress: Progress | None = None,
) -> Annotations:
    """Write the annotations in `source` in another format, and return them.

        convert_annotations("annotations.json", "yolo/", "yolo")

    Args:
        source: A file or folder that `read_annotations` reads.
        out: A folder; or the file of a format that has one.
        format: A name of `likewise.io.annotations.FORMATS` or of `DRAWN`.
        images: The folder of the images; None searches beside the annotations.
        classes: Classes to keep; all if empty.
        tolerance: Distance in pixels by which a polygon may leave the edge of a mask.
        force: Write into a folder that has files, or over a file.

    Raises:
        ArgumentError: An unknown format or class, or a negative tolerance.
        OutputError: `out` exists and `force` is false.
    """
    check_known(format, (*FORMATS, *DRAWN), "annotation format", ArgumentError)
    if tolerance < 0:
        raise ArgumentError(f"tolerance is {tolerance}; give pixels, 0 or more")
    out = Path(out)
    annotations = read_annotations(source, images=images)
    if chosen := list(classes):
        annotations = annotations.only(chosen)
    check_folder(out.parent if out.suffix else out)
    if not force and (out.is_file() or (out.is_dir() and any(out.iterdir()))):
        raise OutputError(f"{out}: exists and is not empty; name another place, or pass --force to add and overwrite")
    if format in DRAWN:
        _draw(annotations, out, format, force, progress)
    else:
        write_annotations(annotations, out, format, tolerance=tolerance)
    return annotations


def _draw(annotations: Annotations, out: Path, format: str, force: bool, progress: Progress | None) -> None:
    from likewise.predict.result import Result

    by_name = {image.name: image for image in annotations.images if isinstance(image.image, Path)}
    if not by_name:
        raise DataSetError(f"{format} needs the images, and none of {len(annotations)} is there; name their folder")

    def result(image: ScaledImage, file: ImageFile) -> Result:
        labels = by_name[file.name].upright.labels(annotations.classes, crowds=False)
        scores = tuple(float((labels == index + 1).any()) for index in range(len(annotations.classes)))
        return Result(labels, (labels > 0).astype(np.float32), annotations.classes, None, scores, image)

    files = [ImageFile(image.image, name) for name, image in by_name.items() if isinstance(image.image, Path)]
    settings = {"source": "annotations"}
    report = process_images(
        files, result, out, formats=[format], classes=annotations.classes, settings=settings, force=force,
        progress=progress,
    )  # fmt: skip
    if report.failed:
        path, reason = report.failed[0]
        raise DataSetError(f"{counted(len(report.failed), 'image')} cannot be converted; {path}: {reason}")
