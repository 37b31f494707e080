"""Segment the images that appear in a folder, until stopped: `watch_folder`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from likewise.errors import ArgumentError
from likewise.io.digests import Stamp, stamp_of
from likewise.io.paths import ImageFile, images_in
from likewise.jobs.pipeline import Report
from likewise.jobs.segment import segment_folder

if TYPE_CHECKING:
    from likewise.predict.concept import Concept
    from likewise.predict.few_shot import FewShot

SECONDS = 2.0
"""Between two looks at the folder."""


def watch_folder(
    inbox: str | Path,
    concept: Concept,
    out: str | Path,
    *,
    few_shot: FewShot,
    formats: Sequence[str] = ("mask",),
    seconds: float = SECONDS,
    stop: threading.Event,
    memory: str | int | None = None,
    notify: Callable[[Report], None] = lambda report: None,
) -> None:
    """Process images as `segment_folder` does, once their files have stopped changing between two looks.

    Images that a former run has finished are left alone; one that failed is tried again when its file changes.

    Args:
        seconds: between two looks.
        stop: ends the watch after the images in work.
        notify: called after each round with images.

    Raises:
        ArgumentError: no such folder, or a time that is not positive.
        OutputError: as for `segment_folder`.
    """
    inbox = Path(inbox)
    if not inbox.is_dir():
        raise ArgumentError(f"{inbox}: no such folder; name the folder where images arrive")
    if seconds <= 0:
        raise ArgumentError(f"{seconds} seconds between two looks; give more than 0")
    before: dict[ImageFile, Stamp | None] = {}
    processed: dict[ImageFile, Stamp | None] = {}
    while not stop.is_set():
        now = {image: stamp_of(image.path) for image in images_in(inbox, out)}
        ready = [image for image, stamp in now.items() if stamp and before.get(image) == stamp != processed.get(image)]
        if ready:
            notify(segment_folder(ready, concept, out, few_shot=few_shot, formats=formats, memory=memory))
            processed |= {image: now[image] for image in ready}
        before = now
        stop.wait(seconds)
