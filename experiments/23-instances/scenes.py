"""Images with several objects: where components of the true mask are the objects, the demo's coins, drawn scenes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image
from scipy import ndimage

SMALLEST = 0.01
"""Share of the image from which a component counts as an object; smaller ones do not count in either direction."""
MOST = 10


class Scene(NamedTuple):
    """An image, its objects as ids from 1 (0 background, -1 does not count), and the example that shows the class."""

    name: str
    image: Path | UInt8[np.ndarray, "h w 3"]
    ids: Integer[np.ndarray, "h w"]
    example: Path | UInt8[np.ndarray, "h w 3"]
    mask: Integer[np.ndarray, "he we"]


def components(mask: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    """Return the components of a mask as ids; components that are too small become -1."""
    found, count = ndimage.label(mask, np.ones((3, 3)))
    ids = np.where(ignored, -1, 0)
    number = 0
    for piece in range(1, count + 1):
        own = found == piece
        large = own.sum() >= SMALLEST * mask.size
        number += large
        ids[own] = number if large else -1
    return ids


def groups(root: Path, half: int, seed: int = 0) -> Iterator[Scene]:
    """Yield every second image with 2 to 10 components of each co-segmentation group."""
    generator = np.random.default_rng(seed)
    for folder in sorted((root / "VOC-coseg/gt").iterdir()):
        several, single = [], []
        for path in sorted(folder.glob("*.png")):
            mask = np.asarray(Image.open(path).convert("L")) > 127
            ids = components(mask, np.zeros_like(mask))
            image = root / "VOC-coseg/image" / folder.name / f"{path.stem}.jpg"
            (several if 2 <= ids.max() <= MOST else single).append((image, ids, mask))
        single = [one for one in single if one[2].mean() > 0.03] or several
        for image, ids, _ in several[half::2]:
            while (shown := single[generator.integers(len(single))])[0] == image:
                pass
            yield Scene(f"{folder.name}/{image.stem}", image, ids, shown[0], shown[2])


def voc(root: Path, names: list[str], seed: int = 0) -> Iterator[Scene]:
    """Yield the images of PASCAL VOC in which a class has 2 to 10 components, the example being another image."""
    generator = np.random.default_rng(seed)
    labels = {name: np.asarray(Image.open(root / f"SegmentationClassAug/{name}.png")) for name in names}
    for value in range(1, 21):
        own = [name for name in names if (labels[name] == value).mean() > 0.03]
        for name in names:
            ids = components(labels[name] == value, labels[name] == 255)
            if 2 <= ids.max() <= MOST and len(own) > 1:
                while (shown := own[generator.integers(len(own))]) == name:
                    pass
                paths = (root / f"JPEGImages/{each}.jpg" for each in (name, shown))
                image, example = paths
                yield Scene(f"{name}/{value}", image, ids, example, labels[shown] == value)


def touching(seed: int, size: tuple[int, int] = (300, 400)) -> Iterator[Integer[np.ndarray, "h w"]]:
    """Yield ids of 2 to 10 discs; each touches one before."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    while True:
        count, places = int(generator.integers(2, MOST + 1)), []
        ids = np.zeros(size, int)
        row, column, radius = size[0] / 2, size[1] / 2, float(generator.uniform(18, 30))
        for _ in range(200):
            inside = radius < row < size[0] - radius and radius < column < size[1] - radius
            apart = all(np.hypot(row - r, column - c) > 0.95 * (radius + q) for r, c, q in places)
            if inside and apart:
                places.append((row, column, radius))
                ids[(np.hypot(rows - row, columns - column) < radius) & (ids == 0)] = len(places)
            if len(places) == count:
                break
            row, column, before = places[-1] if generator.random() < 0.7 else places[generator.integers(len(places))]
            radius, angle = float(generator.uniform(18, 30)), generator.uniform(0, 2 * np.pi)
            reach = 0.96 * (before + radius)
            row, column = row + reach * np.sin(angle), column + reach * np.cos(angle)
        yield ids
