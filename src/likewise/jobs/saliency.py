"""Map what is salient in each image of a folder: `saliency_folder`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from likewise.jobs.outputs import Images, list_images
from likewise.jobs.pipeline import Progress, Report, process_images

if TYPE_CHECKING:
    from likewise.predict.saliency import Saliency


def saliency_folder(
    images: Images,
    out: str | Path,
    *,
    saliency: Saliency,
    formats: Sequence[str] = ("probability",),
    force: bool = False,
    follow_links: bool = False,
    memory: str | int | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Write the saliency map of each image to `out`; interrupted runs resume.

        saliency_folder("photos/", "maps/", saliency=Saliency())

    Arguments and errors are those of `likewise.jobs.pipeline.process_images`.
    """
    from likewise.predict.edges import LARGEST
    from likewise.predict.saliency import SALIENT

    return process_images(
        list_images(images, exclude=[out], follow_links=follow_links),
        lambda image, _: saliency.segment(image),
        out,
        short=LARGEST,
        formats=formats,
        classes=SALIENT,
        settings=saliency.settings,
        force=force,
        memory=memory,
        dry_run=dry_run,
        progress=progress,
    )
