"""Few-shot data sets (PASCAL-5i, COCO-20i, FSS-1000, class folders, ...) and their episodes.

An `EpisodeSet` is an index of (image, class) entries with functions that read images and masks; it holds no pixels.
Label maps hold 0 for background, 1, 2, ... for the requested classes, and `IGNORE` (255).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from likewise.data.layout import Presence
from likewise.errors import DataSetError, ImageError, check_known
from likewise.io.images import read_image
from likewise.io.labels import IGNORE
from likewise.io.opening import format_size
from likewise.io.resize import Nearest, resize_image, resize_labels


@dataclass(frozen=True, order=True)
class Entry:
    """One image and one class that it shows; an image of two classes has two entries."""

    image: str
    class_name: str


@dataclass(frozen=True)
class Episode:
    """The support images (shots) of each class (way), and one query image.

    `seed` is the seed of the run that drew the episode.
    """

    classes: tuple[str, ...]
    supports: tuple[tuple[str, ...], ...]
    query: str
    seed: int = 0


@dataclass(frozen=True)
class EpisodeSet:
    """An index of (image, class) entries.

    Attributes:
        benchmark: public name, such as "PASCAL-5i".
        fold: None for benchmarks without folds.
        image_path: returns the file of an image.
        read_class: returns the mask of a class in an image, uint8 (h, w) with 0, 1 and IGNORE.
        mask_path: returns the file of an image's masks, where each image has one.
        presence: set by `keep_present`.

    The functions are module functions or partials of them, so that a set can be pickled.
    """

    benchmark: str
    fold: int | None
    split: str
    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    image_path: Callable[[str], Path] = field(repr=False)
    read_class: Callable[[str, str], np.ndarray] = field(repr=False)
    mask_path: Callable[[str], Path] | None = field(default=None, repr=False)
    presence: Presence = field(default=Presence("", 0))

    @property
    def name(self) -> str:
        """The name in reports, such as "PASCAL-5i fold 0 val"."""
        fold = "" if self.fold is None else f"fold {self.fold} "
        return f"{self.benchmark} {fold}{self.split}"

    @cached_property
    def images_of(self) -> dict[str, tuple[str, ...]]:
        """The images of each class, in the order of the entries."""
        found: dict[str, list[str]] = {name: [] for name in self.classes}
        for entry in self.entries:
            found[entry.class_name].append(entry.image)
        return {name: tuple(images) for name, images in found.items()}

    @cached_property
    def classes_of(self) -> dict[str, tuple[str, ...]]:
        """The classes of this set that each image shows."""
        found: dict[str, list[str]] = {}
        for entry in self.entries:
            found.setdefault(entry.image, []).append(entry.class_name)
        return {image: tuple(names) for image, names in found.items()}

    def read_labels(self, image: str, classes: Sequence[str]) -> UInt8[np.ndarray, "h w"]:
        """Return 0 for background, i + 1 for `classes[i]`, and IGNORE where it is ignored for any class.

        Where instance masks overlap, the later class wins; classes of one label map never overlap.
        """
        for name in classes:
            check_known(name, self.classes, f"class of {self.name}", DataSetError)
        masks = [self.read_class(image, name) for name in classes]
        labels = np.where(np.any([m == IGNORE for m in masks], axis=0), IGNORE, 0).astype(np.uint8)
        for way, mask in enumerate(masks):
            labels[mask == 1] = way + 1
        return labels

    def only(self, classes: Iterable[str]) -> "EpisodeSet":
        kept = tuple(classes)
        for name in kept:
            check_known(name, self.classes, f"class of {self.name}", DataSetError)
        return replace(self, classes=kept, entries=tuple(e for e in self.entries if e.class_name in kept))


def read_pair(
    dataset: EpisodeSet, image: str, classes: Sequence[str], size: int | None = None, nearest: Nearest = "floor"
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """Return an image and its labels, resized to `size` x `size`, or at their own size for None.

    Label maps are resized by `nearest` (`resize_labels`). An image and a mask of different sizes raise `ImageError`.
    """
    pixels, labels = read_image(dataset.image_path(image)), dataset.read_labels(image, classes)
    if pixels.shape[:2] != labels.shape:
        raise ImageError(
            f"{dataset.image_path(image)}: the image is {format_size(*pixels.shape[:2])}, its mask "
            f"{format_size(*labels.shape)}; both must have the same size"
        )
    if size is None:
        return pixels, labels
    return resize_image(pixels, size, size), resize_labels(labels, size, size, nearest)


def draw_episode(dataset: EpisodeSet, shots: int, ways: int, generator: np.random.Generator) -> Episode:
    """Return a random training episode: `ways` classes with `shots` supports each, and a query of the first class.

    No image occurs twice. Classes with too few images are never drawn.
    """
    drawable = [name for name, images in dataset.images_of.items() if len(images) > shots]
    if len(drawable) < ways:
        raise DataSetError(f"{ways}-way: {dataset.name} has {len(drawable)} classes with more than {shots} images")
    classes = [drawable[i] for i in generator.permutation(len(drawable))[:ways]]
    taken: set[str] = set()

    def draw(name: str, count: int) -> tuple[str, ...]:
        free = [image for image in dataset.images_of[name] if image not in taken]
        if len(free) < count:
            raise DataSetError(f"class {name!r} of {dataset.name} has too few images that no other way shows")
        drawn = tuple(free[i] for i in generator.permutation(len(free))[:count])
        taken.update(drawn)
        return drawn

    first = draw(classes[0], shots + 1)
    supports = (first[1:], *(draw(name, shots) for name in classes[1:]))
    return Episode(tuple(classes), supports, first[0])


def keep_present(dataset: EpisodeSet) -> EpisodeSet:
    """Return the set of the entries whose image (and mask file) is on disk; its presence names the others."""
    paths = [path for path in (dataset.image_path, dataset.mask_path) if path is not None]
    present = {image for image in dataset.classes_of if all(path(image).is_file() for path in paths)}
    entries = tuple(entry for entry in dataset.entries if entry.image in present)
    listed = len(dataset.entries)
    if not entries:
        example = f", for example {dataset.image_path(dataset.entries[0].image)}" if listed else ""
        raise DataSetError(f"none of the {listed} entries of {dataset.name} is present{example}")
    missing = tuple(f"{e.image} ({e.class_name})" for e in dataset.entries if e.image not in present)
    return replace(dataset, entries=entries, presence=Presence(dataset.name, listed, missing))
