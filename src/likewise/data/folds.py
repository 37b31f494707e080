"""Folds of novel and base classes, entries by a pixel count, and training images that leak novel classes."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from likewise.data.episodes import Entry, EpisodeSet, keep_present
from likewise.io.masks import read_labels

MIN_CLASS_PIXELS = 2048
"""Fewest pixels of a class that make an image an entry of it, for data sets without lists: two cells of stride 32."""


@dataclass(frozen=True)
class Leakage:
    """The number of training images, and those of them that show an unlabelled novel class."""

    images: int
    leaking: frozenset[str]

    def __str__(self) -> str:
        return f"{len(self.leaking)} of {self.images} training images contain a novel class"


def find_leakage(entries: Iterable[Entry], novel: Collection[str]) -> Leakage:
    """Return which training images leak, from the training entries of all classes.

    A training image has an entry of a base class; it leaks if it also has an entry of a novel class.
    """
    entries = tuple(entries)
    base = {entry.image for entry in entries if entry.class_name not in novel}
    return Leakage(len(base), frozenset(base & {entry.image for entry in entries if entry.class_name in novel}))


def entries_by_pixels(
    images: Iterable[str], classes: Sequence[str], label_path: Callable[[str], Path], least: int = MIN_CLASS_PIXELS
) -> list[Entry]:
    """Return an entry for every class (label 1, 2, ...) with at least `least` pixels in an image's label map."""
    entries = []
    for image in images:
        counts = np.bincount(read_labels(label_path(image)).ravel(), minlength=256)
        entries += [Entry(image, name) for i, name in enumerate(classes) if counts[i + 1] >= least]
    return entries


def fold_set(
    benchmark: str,
    fold: int | None,
    split: str,
    classes: Sequence[str],
    novel: Sequence[str],
    entries: Sequence[Entry],
    image_path: Callable[[str], Path],
    read_class: Callable[[str, str], np.ndarray],
    mask_path: Callable[[str], Path] | None = None,
    *,
    drop_leaking: bool,
) -> EpisodeSet:
    """Return the split of a fold: "val" holds the novel classes, "trn" the others.

    Args:
        classes: all classes of the benchmark.
        entries: all entries of the split, of every class.
        drop_leaking: leave out the training images that show a novel class.
    """
    kept = novel if split == "val" else [name for name in classes if name not in novel]
    leaking = find_leakage(entries, novel).leaking if drop_leaking and split == "trn" else frozenset()
    listed = [entry for entry in entries if entry.class_name in kept and entry.image not in leaking]
    return keep_present(benchmark, fold, split, kept, listed, image_path, read_class, mask_path)
