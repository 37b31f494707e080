"""Label every pixel of a folder of images: `parse_folder`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from likewise.jobs.outputs import Images, list_images
from likewise.jobs.pipeline import Progress, Report, process_images
from likewise.jobs.writers import check_formats

if TYPE_CHECKING:
    from likewise.predict.scene_parser import SceneParser

SCENE_FORMATS = ("labels", "overlay", "probability", "areas", "coco")
"""Formats of scene results. A scene has no background, so mask and cutout do not apply."""


def parse_folder(
    images: Images,
    out: str | Path,
    *,
    parser: SceneParser,
    formats: Sequence[str] = ("labels", "overlay"),
    force: bool = False,
    follow_links: bool = False,
    memory: str | int | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Write the class of every pixel of each image to `out`; interrupted runs resume.

        parse_folder("photos/", "parsed/", parser=SceneParser("runs/mcibi"))

    Args:
        formats: Names of `SCENE_FORMATS`.

    Other arguments and errors are those of `likewise.jobs.pipeline.process_images`.
    """
    return process_images(
        list_images(images, exclude=[out], follow_links=follow_links),
        lambda image, _: parser.parse(image.pixels),
        out,
        formats=check_formats(formats, SCENE_FORMATS),
        classes=parser.classes,
        labels=parser.stored,
        settings=parser.settings,
        force=force,
        memory=memory,
        dry_run=dry_run,
        progress=progress,
    )
