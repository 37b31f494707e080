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
from likewise.io.images import format_size, read_image
from likewise.io.labels import IGNORE
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
class LoadedEpisode:
    """The pixels of an episode. Labels hold 0, way + 1, and IGNORE."""

    episode: Episode
    # axes have no names: each support has its own size
    supports: tuple[tuple[UInt8[np.ndarray, "_ _ 3"], ...], ...]
    support_labels: tuple[tuple[UInt8[np.ndarray, "_ _"], ...], ...]
    query: UInt8[np.ndarray, "hq wq 3"]
    target: UInt8[np.ndarray, "hq wq"]


@dataclass(frozen=True)
class EpisodeSet:
    """An index of (image, class) entries.

    Attributes:
        benchmark: public name, such as "PASCAL-5i".
        fold: None for benchmarks without folds.
        image_path: returns the file of an image.
        read_class: returns the mask of a class in an image, uint8 (h, w) with 0, 1 and IGNORE.

    `image_path` and `read_class` are module functions or partials of them, so that a set can be pickled.
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
        """The name in reports, such as "PASCAL-5i fold 0 val"."""
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
        """Return the set with these classes only."""
        kept = tuple(classes)
        for name in kept:
            check_known(name, self.classes, f"class of {self.name}", DataSetError)
        return replace(self, classes=kept, entries=tuple(e for e in self.entries if e.class_name in kept))


def load_episode(
    dataset: EpisodeSet, episode: Episode, size: int | None = None, nearest: Nearest = "floor"
) -> LoadedEpisode:
    """Return the pixels of an episode, all images resized to `size` x `size` pixels, or at their own size for None.

    Args:
        nearest: how label maps are resized (see `resize_labels`).

    Raises:
        ImageError: a file that cannot be read, or an image and a mask of different sizes.
    """

    def read(image: str) -> tuple[np.ndarray, np.ndarray]:
        pixels = read_image(dataset.image_path(image))
        labels = dataset.read_labels(image, episode.classes)
        if pixels.shape[:2] != labels.shape:
            raise ImageError(
                f"{dataset.image_path(image)}: the image is {format_size(*pixels.shape[:2])}, its mask "
                f"{format_size(*labels.shape)}; both must have the same size"
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
    """Return a random training episode: `ways` classes with `shots` supports each, and a query of the first class.

    No image occurs twice. Classes with too few images are never drawn.
    """
    drawable = [name for name, images in dataset.images_of.items() if len(images) > shots]
    if len(drawable) < ways:
        raise DataSetError(
            f"{dataset.name} has {len(drawable)} classes with more than {shots} images; {ways}-way needs {ways}"
        )
    classes = [drawable[i] for i in generator.permutation(len(drawable))[:ways]]
    taken: set[str] = set()

    def draw(name: str, count: int) -> tuple[str, ...]:
        free = [image for image in dataset.images_of[name] if image not in taken]
        if len(free) < count:
            raise DataSetError(
                f"class {name!r} of {dataset.name} has too few images for {shots} shots that no other way shows"
            )
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
    """Return the set of the listed entries whose image (and mask file) is on disk; its presence names the others.

    Raises:
        DataSetError: no entry is on disk.
    """
    name, listed = set_name(benchmark, fold, split), tuple(listed)
    present = {
        image
        for image in {entry.image for entry in listed}
        if image_path(image).is_file() and (mask_path is None or mask_path(image).is_file())
    }
    entries = tuple(entry for entry in listed if entry.image in present)
    if not entries:
        example = f", for example {image_path(listed[0].image)}" if listed else ""
        raise DataSetError(f"none of the {len(listed)} entries of {name} is present{example}")
    missing = tuple(f"{e.image} ({e.class_name})" for e in listed if e.image not in present)
    presence = Presence(name, len(listed), missing)
    return EpisodeSet(benchmark, fold, split, tuple(classes), entries, presence, image_path, read_class)
