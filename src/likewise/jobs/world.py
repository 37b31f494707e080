"""Make a world from a folder of images: `measure_folder`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from likewise.errors import ArgumentError, ImageError, warn
from likewise.jobs.outputs import Images, list_images
from likewise.ops.presence import measure_world
from likewise.predict.worlds import save_world

if TYPE_CHECKING:
    from likewise.predict.few_shot import FewShot

ENOUGH = 600
"""Images that are read at most."""


def measure_folder(images: Images, out: str | Path, *, few_shot: FewShot, about: str = "") -> int:
    """Write a world (`likewise.predict.worlds`) of the semantic features of images; return their number.

    If there are more than `ENOUGH`, an equally spaced part is read. They may show anything, also the later objects.
    Images that cannot be read are left out with a warning.

    Args:
        out: the file.
        few_shot: the model that will use the world.
        about: where the images come from, for the file's header.

    Raises:
        ArgumentError: fewer than two images.
        ModelError: a model that does not judge presence.
    """
    found = [image.path for image in list_images(images)]
    places = np.linspace(0, len(found) - 1, min(ENOUGH, len(found))).round().astype(int)
    read: list[Path] = []
    try:
        world = measure_world(_semantic_maps(few_shot, [found[place] for place in places], read))
    except ValueError as error:
        raise ArgumentError(f"{error}; give a folder with different images") from error
    save_world(out, world, few_shot.extractor, images=len(read), about=about)
    return len(read)


def _semantic_maps(few_shot: FewShot, images: Sequence[Path], read: list[Path]) -> Iterator[np.ndarray]:
    """Yield the semantic map of each image, and add its path to `read`."""
    for image in images:
        try:
            features = few_shot.semantic_map(image)
        except ImageError as error:
            warn(f"left out: {error}")
            continue
        read.append(image)
        yield features
