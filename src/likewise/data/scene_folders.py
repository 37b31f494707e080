"""Scenes from any folder of images and folder of label maps, with or without a table of class names."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from likewise.data.class_names import mirrored_pairs
from likewise.data.scenes import SceneSet, keep_present_scenes, label_table, pair_by_stem
from likewise.errors import DataSetError, ImageError
from likewise.io.class_lists import read_class_table
from likewise.io.labels import IGNORE
from likewise.io.masks import read_labels

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
            raise DataSetError(f"a folder of images and labels: the folder {folder} does not exist")
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
        listed = ", ".join(f"{value} ({counts[value]} pixels)" for value in unknown[:4])
        raise ImageError(
            f"{path}: labels without a class: {listed}{', ...' if unknown.size > 4 else ''}; the {len(values)} classes "
            f"are labels {format_range(values)}; add names for the others, or set them to {IGNORE} to ignore them"
        )
    return labels


def format_range(values: tuple[int, ...]) -> str:
    if values == tuple(range(len(values))):
        return f"0 to {len(values) - 1}"
    return ", ".join(map(str, values[:12])) + (", ..." if len(values) > 12 else "")
