"""Scenes: images in which every pixel has a class; from a folder of images and one of label maps, or a benchmark.

Label maps hold the class index 0 to K-1, and `IGNORE` (255); each loader states the stored convention it converts from.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from likewise.data.class_names import mirrored_pairs
from likewise.data.layout import Presence, images_by_stem, images_in, labels_by_stem
from likewise.errors import DataSetError, ImageError, first_of
from likewise.io.class_lists import read_class_table
from likewise.io.labels import IGNORE
from likewise.io.masks import read_labels
from likewise.io.paths import MASK_ENDINGS, natural_order, pairing_key


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

    In two folders, x_mask.png and the other names of `MASK_ENDINGS` belong to x.jpg too. A missing partner is named
    `<stem>.jpg` or `<stem>.png`.
    """
    found = images_in(images)
    label_files = labels_by_stem(images_in(labels))
    if labels != images:
        known = {pairing_key(path.stem) for path in found}
        label_files = {_stem_of_image(stem, known): path for stem, path in label_files.items()}
    image_files = images_by_stem(found, label_files)
    stems = sorted({**image_files, **label_files}, key=natural_order)
    return [
        (image_files.get(stem, images / f"{stem}.jpg"), label_files.get(stem, labels / f"{stem}.png")) for stem in stems
    ]


def _stem_of_image(stem: str, images: Container[str]) -> str:
    """Return the stem of a label map without an ending that the stem of its image does not have."""
    names = (stem, *(stem[: -len(end)] for end in MASK_ENDINGS if stem.lower().endswith(end)))
    return next((name for name in names if pairing_key(name) in images), stem)


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


SAMPLED_FILES = 100
"""Number of label files that `folder_scenes` reads to list the classes, unless `strict`."""


def folder_scenes(
    images: Path | str, labels: Path | str, classes: Path | str | Sequence[str] | None = None, *, strict: bool = False
) -> SceneSet:
    """Return the scenes in a folder of images and a folder of label PNGs or TIFFs with the same stems.

    Both may be the same folder. Classes whose names differ only in "left" and "right" are `mirrored`.

    Args:
        classes: the names of labels 0, 1, ..., or a text file of them (`read_class_table`). None: each label but
            255 in the first 100 files (with `strict`, in all files) is a class named by its number.
        strict: reading a label without a name raises `ImageError`; otherwise it is ignored.
    """
    images, labels = Path(images), Path(labels)
    for folder in images, labels:
        if not folder.is_dir():
            raise DataSetError(
                f"a folder of images and labels: the folder {folder} does not exist; put photographs into {images} and "
                f"into {labels} PNGs or TIFFs with the same stems and sizes: 0 for the first class, 1 for the second, "
                f"..., {IGNORE} for ignored pixels"
            )
    pairs = pair_by_stem(images, labels)
    if classes is None:
        values: set[int] = set()
        for _, path in pairs if strict else pairs[:SAMPLED_FILES]:
            if path.is_file():
                values |= set(np.unique(read_labels(path)).tolist())
        named = {value: str(value) for value in sorted(values - {IGNORE})}
    elif isinstance(classes, str | Path):
        named = read_class_table(Path(classes))
    else:
        named = dict(enumerate(classes))
    lookup = label_table({value: index for index, value in enumerate(named)})
    names = tuple(named.values())
    read = partial(read_named_labels, tuple(named)) if strict else read_labels
    scenes = keep_present_scenes(images.name, names, pairs, lookup, read, mirrored_pairs(names))
    return replace(scenes, stored=tuple(named))


def read_named_labels(values: tuple[int, ...], path: Path) -> UInt8[np.ndarray, "h w"]:
    """Return the labels in a file."""
    labels = read_labels(path)
    counts = np.bincount(labels.ravel(), minlength=IGNORE + 1)
    counts[[*values, IGNORE]] = 0
    unknown = counts.nonzero()[0]
    if unknown.size:
        listed = first_of([f"{value} ({counts[value]} pixels)" for value in unknown], 4)
        own = f"0 to {len(values) - 1}" if values == tuple(range(len(values))) else first_of(values)
        raise ImageError(
            f"{path}: labels without a class: {listed}; the {len(values)} classes are labels {own}; add names for the "
            f"others, or set them to {IGNORE} to ignore them"
        )
    return labels
