"""Scenes: images in which every pixel has a class.

Label maps hold the class index 0 to K-1, and `IGNORE` (255); each loader states the stored convention it converts from.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from likewise.data.layout import Presence, images_by_stem, images_in, labels_by_stem
from likewise.errors import DataSetError
from likewise.io.labels import IGNORE
from likewise.io.masks import read_labels
from likewise.io.paths import natural_order


@dataclass(frozen=True)
class Scene:
    """An image file and its label file."""

    image: Path
    labels: Path


@dataclass(frozen=True)
class SceneSet:
    """An index of labelled images.

    Attributes:
        read_labels: returns the label map of a label file, uint8 (h, w) with 0 to K-1 and IGNORE.
        mirrored: pairs of class indices (left and right parts) that change places in a mirrored image.
        stored: the label of each class in the files; empty if it is its index.
    """

    name: str
    classes: tuple[str, ...]
    scenes: tuple[Scene, ...]
    presence: Presence
    read_labels: Callable[[Path], np.ndarray] = field(repr=False)
    mirrored: tuple[tuple[int, int], ...] = ()
    stored: tuple[int, ...] = ()


def label_table(indices: Mapping[int, int]) -> UInt8[np.ndarray, "256"]:
    """Return the class index of each stored label; labels that are not in `indices` become IGNORE."""
    lookup = np.full(256, IGNORE, np.uint8)
    for stored, index in indices.items():
        lookup[stored] = index
    return lookup


def pair_by_stem(images: Path, labels: Path) -> list[tuple[Path, Path]]:
    """Return the pairs of image and label map (PNG or TIFF) with one stem, from two folders or the same one.

    A missing partner is named `<stem>.jpg` or `<stem>.png`.
    """
    label_files = labels_by_stem(images_in(labels))
    image_files = images_by_stem(images_in(images), label_files)
    stems = sorted({**image_files, **label_files}, key=natural_order)
    return [
        (image_files.get(stem, images / f"{stem}.jpg"), label_files.get(stem, labels / f"{stem}.png")) for stem in stems
    ]


def keep_present_scenes(
    name: str,
    classes: Sequence[str],
    pairs: Sequence[tuple[Path, Path]],
    lookup: UInt8[np.ndarray, "256"],
    read: Callable[[Path], np.ndarray] = read_labels,
    mirrored: tuple[tuple[int, int], ...] = (),
) -> SceneSet:
    """Return the set of the pairs of image and label files that are on disk; its presence names the others.

    `read` returns the stored labels in a file, and `lookup` the class index of each (`label_table`).
    """
    scenes = tuple(Scene(*pair) for pair in pairs if pair[0].is_file() and pair[1].is_file())
    if not scenes:
        example = f", for example {pairs[0][0]} with {pairs[0][1]}" if pairs else ""
        raise DataSetError(f"none of the {len(pairs)} images of {name} is present{example}")
    missing = tuple(image.stem for image, labels in pairs if not (image.is_file() and labels.is_file()))
    presence = Presence(name, len(pairs), missing)
    return SceneSet(name, tuple(classes), scenes, presence, partial(read_indices, lookup, read), mirrored)


def read_indices(
    lookup: UInt8[np.ndarray, "256"], read: Callable[[Path], np.ndarray], path: Path
) -> UInt8[np.ndarray, "h w"]:
    return lookup[read(path)]
