"""Folds of novel and base classes, entries by a pixel count, and training images that leak novel classes."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
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


def entries_by_pixels(images: Iterable[str], classes: Sequence[str], label_path: Callable[[str], Path]) -> list[Entry]:
    """Return an entry for every class (label 1, 2, ...) with `MIN_CLASS_PIXELS` pixels in an image's label map."""
    entries = []
    for image in images:
        counts = np.bincount(read_labels(label_path(image)).ravel(), minlength=256)
        entries += [Entry(image, name) for i, name in enumerate(classes) if counts[i + 1] >= MIN_CLASS_PIXELS]
    return entries


def fold_set(dataset: EpisodeSet, novel: Sequence[str], *, drop_leaking: bool) -> EpisodeSet:
    """Return the split of a fold, from the set of all classes: "val" holds the novel classes, "trn" the others.

    `drop_leaking` leaves out the training images that show a novel class.
    """
    val = dataset.split == "val"
    kept = tuple(name for name in dataset.classes if (name in novel) == val)
    leaking = find_leakage(dataset.entries, novel).leaking if drop_leaking and not val else frozenset()
    listed = tuple(entry for entry in dataset.entries if entry.class_name in kept and entry.image not in leaking)
    return keep_present(replace(dataset, classes=kept, entries=listed))
