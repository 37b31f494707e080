"""Objects with true masks: components of a class in PASCAL VOC, whole masks in DAVIS."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool
from PIL import Image
from scipy import ndimage

SMALLEST = 0.005
"""Share of the image from which a component counts as an object."""


class Truth(NamedTuple):
    """An object: its image, its mask, and the pixels that do not count."""

    name: str
    path: Path
    mask: Bool[np.ndarray, "h w"]
    ignored: Bool[np.ndarray, "h w"]


def voc_objects(root: Path, names: list[str], seed: int = 0) -> list[Truth]:
    """Return one object an image, drawn by the seed, of the images in `names`."""
    generator = np.random.default_rng(seed)
    found = []
    for name in names:
        labels = np.asarray(Image.open(root / "SegmentationClassAug" / f"{name}.png"))
        pieces = []
        for value in np.setdiff1d(np.unique(labels), [0, 255]):
            components, count = ndimage.label(labels == value, np.ones((3, 3)))
            sizes = np.bincount(components.ravel())[1:]
            pieces += [components == 1 + index for index in range(count) if sizes[index] >= SMALLEST * labels.size]
        if pieces:
            mask = pieces[generator.integers(len(pieces))]
            found.append(Truth(name, root / "JPEGImages" / f"{name}.jpg", mask, labels == 255))
    return found


def davis_objects(root: Path, every: int = 1) -> list[Truth]:
    """Return the masks of the frames."""
    found = []
    for path in sorted((root / "Annotations/480p").glob("*/*.png"))[::every]:
        mask = np.asarray(Image.open(path).convert("L")) > 127
        image = root / "JPEGImages/480p" / path.parent.name / f"{path.stem}.jpg"
        if mask.mean() >= SMALLEST:
            found.append(Truth(f"{path.parent.name}/{path.stem}", image, mask, np.zeros_like(mask)))
    return found


def middle(mask: Bool[np.ndarray, "h w"]) -> tuple[int, int]:
    """Return (x, y) of the pixel of a mask that is farthest from its outside; the image's border is outside."""
    distances = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(distances.argmax(), mask.shape)
    return int(column), int(row)


def box_of(mask: Bool[np.ndarray, "h w"]) -> tuple[int, int, int, int]:
    """Return the tight box (x0, y0, x1, y1)."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def iou(found: Bool[np.ndarray, "h w"], truth: Truth) -> float:
    """Return the IoU over the pixels that count."""
    found = found & ~truth.ignored
    return float((found & truth.mask).sum() / max((found | truth.mask).sum(), 1))


def next_click(found: Bool[np.ndarray, "h w"], truth: Truth) -> tuple[tuple[int, int], int]:
    """Return the middle of the largest error, and whether it is on the object."""
    missing, extra = truth.mask & ~found, found & ~truth.mask & ~truth.ignored
    depth = [ndimage.distance_transform_edt(np.pad(plane, 1)).max() for plane in (missing, extra)]
    label = int(depth[0] >= depth[1])
    return middle((extra, missing)[label]), label
