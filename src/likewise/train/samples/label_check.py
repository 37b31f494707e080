"""Checking a labelled data set before training: every label file is read, every image's size is compared with it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import Int
from PIL import ExifTags, Image

from likewise.data.scenes import Scene, SceneSet
from likewise.errors import DataSetError, ImageError
from likewise.io.images import format_size, read_image
from likewise.io.labels import IGNORE

MAX_LISTED = 20
"""Problems that the error message lists; further ones are counted."""

TRANSPOSED = (5, 6, 7, 8)
"""Values of the EXIF orientation tag that exchange height and width."""


def count_class_pixels(training: SceneSet, held: SceneSet | None, *, skip_unreadable: bool) -> Int[np.ndarray, " k"]:
    """Return the number of pixels of each class in the training labels, after checking all files of both sets.

    Args:
        skip_unreadable: tolerate unreadable images; training then replaces them.

    Raises:
        DataSetError: a label file is unreadable, contains labels that are not classes, or differs in size from its
            image. The message lists all such files.
    """
    problems: list[str] = []

    def counted(scenes: SceneSet, scene: Scene) -> np.ndarray:
        try:
            labels = scenes.read_labels(scene.labels)
            _check_size(scene, labels.shape, skip_unreadable=skip_unreadable)
        except ImageError as error:
            problems.append(str(error))
            return np.zeros(IGNORE + 1, int)
        return np.bincount(labels.ravel(), minlength=IGNORE + 1)

    with ThreadPoolExecutor() as readers:
        total = sum(readers.map(lambda scene: counted(training, scene), training.scenes), np.zeros(IGNORE + 1, int))
        if held is not None:
            list(readers.map(lambda scene: counted(held, scene), held.scenes))
    if problems:
        listed = sorted(problems)[:MAX_LISTED]
        more = f"\n  and {len(problems) - MAX_LISTED} more" if len(problems) > MAX_LISTED else ""
        raise DataSetError(f"{training.name}: {len(problems)} files do not fit:\n  " + "\n  ".join(listed) + more)
    return total[: len(training.classes)]


def _check_size(scene: Scene, labelled: tuple[int, ...], *, skip_unreadable: bool) -> None:
    try:
        size, orientation = _upright_size(scene.image)
    except ImageError:
        if skip_unreadable:
            return
        raise
    if size != labelled:
        turned = orientation in TRANSPOSED and size == labelled[::-1]
        advice = f"the image has EXIF orientation {orientation}; label it upright" if turned else "label it at its size"
        sizes = f"{format_size(*labelled)}, but its image is {format_size(*size)}"
        raise ImageError(f"{scene.labels}: is {sizes}: {advice}")


def _upright_size(path: Path) -> tuple[tuple[int, int], int]:
    """Return height and width of the upright image, and its EXIF orientation, from the header where Pillow reads it.

    Raises:
        ImageError: the image cannot be read.
    """
    try:
        with Image.open(path) as image:
            # for a PNG without EXIF data in its header, getexif decodes the pixels
            has_exif = image.format != "PNG" or "exif" in image.info
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1) if has_exif else 1
            width, height = image.size
    except OSError:
        # formats that need a plug-in, and the error message for damaged files
        whole = read_image(path)
        return (whole.shape[0], whole.shape[1]), 1
    return ((width, height) if orientation in TRANSPOSED else (height, width)), orientation
