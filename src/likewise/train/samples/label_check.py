"""Checking a labelled data set before training: every label file is read, every image's size is compared with it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Int

from likewise.data.scenes import Scene, SceneSet
from likewise.errors import DataSetError, ImageError
from likewise.io.images import TRANSPOSED, format_size, read_size
from likewise.io.labels import IGNORE

MAX_LISTED = 20
"""Problems that the error message lists; further ones are counted."""


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
        size, orientation = read_size(scene.image)
    except ImageError:
        if skip_unreadable:
            return
        raise
    if size != labelled:
        turned = orientation in TRANSPOSED and size == labelled[::-1]
        advice = f"the image has EXIF orientation {orientation}; label it upright" if turned else "label it at its size"
        sizes = f"{format_size(*labelled)}, but its image is {format_size(*size)}"
        raise ImageError(f"{scene.labels}: is {sizes}: {advice}")
