"""The images that the ablation scores, by class, and its episodes."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32
from PIL import Image

from likewise.data.class_names import CAMVID
from likewise.io.class_lists import PASCAL
from likewise.io.labels import IGNORE
from likewise.io.masks import read_labels

SMALLEST_OBJECT = 2048
"""Pixels of a class in an image from which the image counts as showing it, as in the lists of PASCAL-5i."""
SAME_CONTENT = 0.95
"""Correlation of two thumbnails from which two files hold the same photograph."""
EXAMPLES = 5
"""Examples of a query; one shot uses the first."""


class Labelled(NamedTuple):
    """An image, the label image with its class, and the class's label there; `ignored` is another label."""

    image: Path
    labels: Path
    label: int
    ignored: int | None = None

    def masks(self) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
        """Return the object's mask and that of the pixels that count."""
        labels = read_labels(self.labels)
        return labels == self.label, labels != self.ignored


Classes = dict[str, list[Labelled]]


def by_pixels(pairs: list[tuple[Path, Path]], labels: dict[str, int], fewest: int, ignored: int | None) -> Classes:
    """Return the classes that at least `fewest` of the images show."""
    classes: Classes = {name: [] for name in labels}
    for image, path in pairs:
        counts = np.bincount(read_labels(path).ravel(), minlength=256)
        for name, label in labels.items():
            if counts[label] >= SMALLEST_OBJECT:
                classes[name].append(Labelled(image, path, label, ignored))
    return {name: images for name, images in classes.items() if len(images) >= fewest}


def camvid(root: Path) -> Classes:
    home = root / "CamVid"
    pairs = [(image, home / f"valannot/{image.stem}.png") for image in sorted((home / "val").iterdir())]
    return by_pixels(pairs, {name: label for label, name in enumerate(CAMVID)}, 12, len(CAMVID))


def ccp(root: Path) -> Classes:
    home = root / "CCP"
    pairs = [(home / f"photos/{path.stem}.jpg", path) for path in sorted((home / "labels").glob("*.png"))]
    return by_pixels(pairs, {str(label): label for label in range(1, 59)}, 20, None)


def davis(root: Path) -> Classes:
    home = root / "DAVIS"
    return {
        folder.name: [
            Labelled(frame, home / f"Annotations/480p/{folder.name}/{frame.stem}.png", 255)
            for frame in sorted(folder.glob("*.jpg"))
        ]
        for folder in sorted((home / "JPEGImages/480p").iterdir())
    }


def voc(root: Path) -> Classes:
    home = root / "VOC2012"
    known = np.stack([thumbnail(path) for path in sorted((root / "VOC-coseg/image").glob("*/*.jpg"))])
    classes: Classes = {name: [] for name in PASCAL}
    for line in (line for fold in range(4) for line in (root / f"splits/pascal/val/fold{fold}.txt").open()):
        image, _, label = line.strip().rpartition("__")
        path = home / f"JPEGImages/{image}.jpg"
        if path.is_file() and (known @ thumbnail(path)).max() < SAME_CONTENT:
            labels = home / f"SegmentationClassAug/{image}.png"
            classes[PASCAL[int(label) - 1]].append(Labelled(path, labels, int(label), IGNORE))
    return {name: images for name, images in classes.items() if len(images) > EXAMPLES}


def thumbnail(path: Path) -> Float32[np.ndarray, "256"]:
    """Return 16x16 grey values of mean 0 and norm 1."""
    values = np.asarray(Image.open(path).convert("L").resize((16, 16), Image.Resampling.BOX), np.float32).ravel()
    values -= values.mean()
    return values / max(float(np.linalg.norm(values)), 1.0)


SETS: dict[str, Callable[[Path], Classes]] = {"camvid": camvid, "voc": voc, "davis": davis, "ccp": ccp}


class Episode(NamedTuple):
    """A query and the examples of its class, and the same of another class. One shot uses the first example."""

    class_name: str
    query: Labelled
    examples: list[Labelled]
    other_query: Labelled
    other_examples: list[Labelled]


def episodes(set_name: str, classes: Classes, queries: int) -> Iterator[Episode]:
    for name, images in classes.items():
        random = np.random.default_rng([0, zlib.crc32(f"{set_name} {name}".encode())])
        for index in random.permutation(len(images))[:queries]:
            rest = images[:index] + images[index + 1 :]
            examples = [rest[place] for place in random.permutation(len(rest))[:EXAMPLES]]
            other = classes[str(random.choice([known for known in classes if known != name]))]
            own = {labelled.image for labelled in images}
            other = [labelled for labelled in other if labelled.image not in own] or other
            drawn = random.choice(len(other), EXAMPLES + 1, replace=len(other) <= EXAMPLES)
            yield Episode(name, images[index], examples, other[drawn[0]], [other[place] for place in drawn[1:]])
