"""Small images with label maps, and what a scene set reads from them."""

from pathlib import Path

import numpy as np

from likewise.data.scenes import SceneSet
from support import fakes


def write_pair(image: Path, labels: Path, *values: int) -> None:
    """An image and a label map whose first row begins with `values`, else filled with the last."""
    fakes.write_image(image, fakes.noise(0, 6, 8))
    plane = np.full((6, 8), values[-1], np.uint8)
    plane[0, : len(values)] = values
    fakes.write_image(labels, plane)


def first_row(scenes: SceneSet, index: int, count: int) -> list[int]:
    return scenes.read_labels(scenes.scenes[index].labels)[0, :count].tolist()
