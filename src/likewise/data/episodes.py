"""Class-labelled images for few-shot episodes (PASCAL-5i, COCO-20i, FSS-1000, class folders) and their episodes.

A set is an index of (image, class) entries and a way to read masks; it holds no pixels. Inside, labels
are 0 for background, 1, 2, ... for the classes asked for, and `IGNORE` (255) for what nobody shall count.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from likewise.data.layout import Presence
from likewise.errors import DataSetError, ImageError, check_known
from likewise.io.images import read_image, format_size
from likewise.io.labels import IGNORE
from likewise.io.resize import Nearest, resize_image, resize_labels

LEAST_PIXELS = 2048
"""The stated rule where no list is given: a class is in an image that has at least so many of its pixels."""


@dataclass(frozen=True, order=True)
class Entry:
    """One image that shows one class; an image of two classes has two entries."""

    image: str
    class_name: str


@dataclass(frozen=True)
class Episode:
    """One test: for each of `classes` (a way) its support images (the shots), and one query image.

    `seed` is the seed of the run that drew it.
    """

    classes: tuple[str, ...]
    supports: tuple[tuple[str, ...], ...]
    query: str
    seed: int = 0


@dataclass(frozen=True)
class LoadedEpisode:
    """The pixels of an episode. Labels hold 0, way + 1, and IGNORE."""

    episode: Episode
    # every image has its own size, hence no names for the axes of the supports
    supports: tuple[tuple[UInt8[np.ndarray, "_ _ 3"], ...], ...]
    support_labels: tuple[tuple[UInt8[np.ndarray, "_ _"], ...], ...]
    query: UInt8[np.ndarray, "hq wq 3"]
    target: UInt8[np.ndarray, "hq wq"]


@dataclass(frozen=True)
class EpisodeSet:
    """An index of (image, class) entries.

    `benchmark` is its public name ("PASCAL-5i"), `fold` is None where it has none. `image_path(image)` is its
    file; `read_class(image, class_name)` gives uint8 (h, w) with 0, 1 and IGNORE. Both are module functions or
    partials of them, so that a set travels to worker processes.
    """

    benchmark: str
    fold: int | None
    split: str
    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    presence: Presence
    image_path: Callable[[str], Path] = field(repr=False)
    read_class: Callable[[str, str], np.ndarray] = field(repr=False)

    @property
    def name(self) -> str:
        """What reports call it, e.g. "PASCAL-5i fold 0 val"."""
        return set_name(self.benchmark, self.fold, self.split)

    @cached_property
    def images_of(self) -> dict[str, tuple[str, ...]]:
        """The images of each class, in the order of the entries."""
        found: dict[str, list[str]] = {name: [] for name in self.classes}
        for entry in self.entries:
            found[entry.class_name].append(entry.image)
        return {name: tuple(images) for name, images in found.items()}

    @cached_property
    def classes_of(self) -> dict[str, tuple[str, ...]]:
        """The classes of each image, among those of this set."""
        found: dict[str, list[str]] = {}
        for entry in self.entries:
            found.setdefault(entry.image, []).append(entry.class_name)
        return {image: tuple(names) for image, names in found.items()}

    def read_labels(self, image: str, classes: Sequence[str]) -> UInt8[np.ndarray, "h w"]:
        """0 for background, i + 1 where classes[i] is, IGNORE where the set says so for any.

        Classes of one label map never overlap; where masks of instances do, the later class wins.
        """
        for name in classes:
            check_known(name, self.classes, f"class of {self.name}", DataSetError)
        masks = [self.read_class(image, name) for name in classes]
        labels = np.where(np.any([m == IGNORE for m in masks], axis=0), IGNORE, 0).astype(np.uint8)
        for way, mask in enumerate(masks):
            labels[mask == 1] = way + 1
        return labels

    def only(self, classes: Iterable[str]) -> "EpisodeSet":
        """The same set with no other classes than these, e.g. base classes kept for validation."""
        kept = tuple(classes)
        for name in kept:
            check_known(name, self.classes, f"class of {self.name}", DataSetError)
        entries = tuple(e for e in self.entries if e.class_name in kept)
        return replace(self, classes=kept, entries=entries)


def load_episode(
    dataset: EpisodeSet, episode: Episode, size: int | None = None, nearest: Nearest = "floor"
) -> LoadedEpisode:
    """The pixels of one episode; all images brought to `size` x `size` pixels, or left as they are if None.

    `nearest` is the rule that picks label pixels (see `resize_labels`). Raises `ImageError`, with the file's name,
    for an image that cannot be read or differs in size from its mask.
    """

    def read(image: str) -> tuple[np.ndarray, np.ndarray]:
        pixels = read_image(dataset.image_path(image))
        labels = dataset.read_labels(image, episode.classes)
        if pixels.shape[:2] != labels.shape:
            raise ImageError(
                f"{dataset.image_path(image)} is {format_size(*pixels.shape[:2])}, but its mask is "
                f"{format_size(*labels.shape)}; they must have one size"
            )
        if size is None:
            return pixels, labels
        return resize_image(pixels, size, size), resize_labels(labels, size, size, nearest)

    supports = [[read(image) for image in shots] for shots in episode.supports]
    query, target = read(episode.query)
    return LoadedEpisode(
        episode,
        tuple(tuple(image for image, _ in shots) for shots in supports),
        tuple(tuple(labels for _, labels in shots) for shots in supports),
        query,
        target,
    )


def draw_episode(dataset: EpisodeSet, shots: int, ways: int, generator: np.random.Generator) -> Episode:
    """A random training episode: `ways` classes, then for each `shots` distinct supports, and a query of the first.

    No image stands in it twice. Only classes with enough images are drawn.
    """
    drawable = [name for name, images in dataset.images_of.items() if len(images) > shots]
    if len(drawable) < ways:
        raise DataSetError(
            f"{dataset.name} has {len(drawable)} classes with more than {shots} images, {ways}-way needs {ways}"
        )
    classes = [drawable[i] for i in generator.permutation(len(drawable))[:ways]]
    taken: set[str] = set()

    def draw(name: str, count: int) -> tuple[str, ...]:
        free = [image for image in dataset.images_of[name] if image not in taken]
        if len(free) < count:
            raise DataSetError(f"class {name!r} of {dataset.name} has too few images of its own for {shots} shots")
        drawn = tuple(free[i] for i in generator.permutation(len(free))[:count])
        taken.update(drawn)
        return drawn

    first = draw(classes[0], shots + 1)
    supports = (first[1:], *(draw(name, shots) for name in classes[1:]))
    return Episode(tuple(classes), supports, first[0])


def set_name(benchmark: str, fold: int | None, split: str) -> str:
    return f"{benchmark} {split}" if fold is None else f"{benchmark} fold {fold} {split}"


def keep_present(
    benchmark: str,
    fold: int | None,
    split: str,
    classes: Sequence[str],
    listed: Iterable[Entry],
    image_path: Callable[[str], Path],
    read_class: Callable[[str, str], np.ndarray],
    mask_path: Callable[[str], Path] | None = None,
) -> EpisodeSet:
    """The set of those listed entries whose image (and mask file) is on disk; the others are counted."""
    name, listed = set_name(benchmark, fold, split), tuple(listed)
    there = {
        image
        for image in {entry.image for entry in listed}
        if image_path(image).is_file() and (mask_path is None or mask_path(image).is_file())
    }
    entries = tuple(entry for entry in listed if entry.image in there)
    if not entries:
        example = f", for example {image_path(listed[0].image)}" if listed else ""
        raise DataSetError(f"none of the {len(listed)} entries of {name} is present{example}")
    missing = tuple(f"{e.image} ({e.class_name})" for e in listed if e.image not in there)
    presence = Presence(name, len(listed), missing)
    return EpisodeSet(benchmark, fold, split, tuple(classes), entries, presence, image_path, read_class)


def one_class(labels: UInt8[np.ndarray, "h w"], value: int) -> UInt8[np.ndarray, "h w"]:
    """1 where `labels` has `value`, IGNORE where it has IGNORE, else 0."""
    return np.where(labels == IGNORE, IGNORE, labels == value).astype(np.uint8)


def entries_by_rule(
    images: Iterable[str],
    classes: Sequence[str],
    read: Callable[[str], np.ndarray],
    least: int,
) -> list[Entry]:
    """An entry for every class (label 1, 2, ...) that has at least `least` pixels in an image's label map."""
    entries = []
    for image in images:
        counts = np.bincount(read(image).ravel(), minlength=256)
        entries += [Entry(image, name) for i, name in enumerate(classes) if counts[i + 1] >= least]
    return entries


@dataclass(frozen=True)
class Leakage:
    """Training images, and those among them that show a novel class, unlabelled, while training."""

    images: int
    leaking: frozenset[str]

    def __str__(self) -> str:
        return f"{len(self.leaking)} of {self.images} training images contain a novel class"


def leakage(entries: Iterable[Entry], novel: Iterable[str]) -> Leakage:
    """How many training images contain a novel class, counted from all training entries of all classes.

    A training image has an entry of a base class; it leaks if it has an entry of a novel class as well.
    """
    novel = frozenset(novel)
    entries = tuple(entries)
    base = {entry.image for entry in entries if entry.class_name not in novel}
    return Leakage(len(base), frozenset(base & {e.image for e in entries if e.class_name in novel}))
