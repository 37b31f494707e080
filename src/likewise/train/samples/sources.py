"""The images of a recipe, without torch: labelled data sets with a sampling weight, and scenes with their labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from likewise.data.annotated import annotated_classes, annotated_scenes
from likewise.data.benchmarks import SCENES, open_scenes
from likewise.data.class_folders import class_folders, davis_sequences
from likewise.data.coco import coco20i
from likewise.data.episodes import Entry, EpisodeSet
from likewise.data.groups import cosaliency_groups, episodes_of_groups
from likewise.data.held_out import files_of, held_out_groups, without_images
from likewise.data.label_folders import label_folders
from likewise.data.layout import folder_like
from likewise.data.pascal import pascal5i
from likewise.data.scenes import SceneSet, folder_scenes
from likewise.errors import DataSetError, check_known
from likewise.io.class_lists import read_class_table
from likewise.io.labels import IGNORE
from likewise.io.paths import IMAGE_FOLDERS, MASK_FOLDERS
from likewise.train.recipes.data_sections import Data, LabelledData, SceneData, Source

OPENERS: dict[str, Callable[[Path], EpisodeSet]] = {
    "pascal5i": lambda root: pascal5i(root, None, split="trn"),
    "class_folders": class_folders,
    "cosaliency": lambda root: episodes_of_groups(cosaliency_groups(root)),
    "davis": davis_sequences,
    "label_folders": label_folders,
    "annotations": annotated_classes,
}
"""The sets a mixture can contain, each opened with all of its classes."""
VALIDATION_SPLITS = {"camvid": "val"}
"""Data sets with a validation split, and its name. On the other sets, models are compared on `val` itself."""


def check_data(data: Data) -> None:
    """Open the images once, so that an error in their folder comes before torch is imported, which takes seconds.

    Raises:
        DataSetError: a folder or list is missing or wrong, as when training.
    """
    if isinstance(data, SceneData):
        split_scenes(data)
    else:
        open_sources(data)


class WeightedSet(NamedTuple):
    """A data set and its sampling weight relative to the other sets."""

    weight: float
    dataset: EpisodeSet


@dataclass(frozen=True)
class TrainingSources:
    """The data sets of a recipe, without its held-out images.

    Attributes:
        held_out: the held-out images of each co-saliency group.
    """

    sets: list[WeightedSet]
    held_out: dict[str, tuple[str, ...]]

    @classmethod
    def open(cls, data: LabelledData) -> TrainingSources:
        """Open the sets and remove every image whose content equals a held-out image."""
        sources = open_sources(data)
        if data.held_out is None:
            return cls(sources, {})
        groups = cosaliency_groups(data.root / data.held_out.folder)
        held = held_out_groups(groups, every=data.held_out.every, whole=data.held_out.groups)
        files = files_of(held)
        return cls([WeightedSet(weight, without_images(dataset, files)) for weight, dataset in sources], held.groups)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of all sets, in order; a name that two sets share appears twice."""
        return tuple(name for _, dataset in self.sets for name in dataset.classes)

    @property
    def name(self) -> str:
        return ", ".join(dataset.name for _, dataset in self.sets)

    @property
    def shares(self) -> np.ndarray:
        """The sampling probability of each set."""
        weights = np.array([weight for weight, _ in self.sets])
        return weights / weights.sum()

    def draw_class(self, generator: np.random.Generator, min_images: int = 1) -> tuple[EpisodeSet, str]:
        """Draw a set by weight and, uniformly, one of its classes with at least `min_images` images."""
        dataset = self.sets[generator.choice(len(self.sets), p=self.shares)].dataset
        names = [name for name, images in dataset.images_of.items() if len(images) >= min_images]
        return dataset, str(generator.choice(names))

    def record(self, validation: EpisodeSet | None = None) -> dict[str, Any]:
        """Return the contents of the sets, of the held-out images and of `validation`, for `record.json`."""
        return {
            "training": [{**_contents(dataset), "weight": weight} for weight, dataset in self.sets],
            "held out": self.held_out,
            "validation": validation and _contents(validation),
        }


def open_sources(data: LabelledData) -> list[WeightedSet]:
    """Return the recipe's data set, or each source of a mixture."""
    if data.set == "mixture":
        return [WeightedSet(source.weight, open_source(data.root, source)) for source in data.sources]
    if data.set == "coco20i":
        assert data.fold is not None
        return [WeightedSet(1.0, coco20i(data.root, data.fold, split="trn", drop_leaking=data.drop_leaking))]
    if data.set == "pascal5i":
        return [WeightedSet(1.0, pascal5i(data.root, data.fold, split="trn", drop_leaking=data.drop_leaking))]
    return [WeightedSet(1.0, OPENERS[data.set](data.root))]


def open_source(root: Path, source: Source) -> EpisodeSet:
    dataset = OPENERS[source.set](root / source.folder)
    dataset = _rename_classes(_drop_classes(dataset, source.without), source.names)
    return dataset if source.as_one is None else _merge_classes(dataset, source.as_one)


def _drop_classes(dataset: EpisodeSet, names: Iterable[str]) -> EpisodeSet:
    names = tuple(names)
    for name in names:
        check_known(name, dataset.classes, f"class of {dataset.name} to leave out", DataSetError)
    rest = without_images_of(dataset.only(name for name in dataset.classes if name not in names), dataset, names)
    if not rest.entries:
        raise DataSetError(f"`without` removes every image of {dataset.name}: list fewer classes")
    return rest


def without_images_of(dataset: EpisodeSet, labelled: EpisodeSet, names: Iterable[str]) -> EpisodeSet:
    """Return `dataset` without the images in which `labelled` has one of the classes `names`."""
    names = set(names)
    dropped = {entry.image for entry in labelled.entries if entry.class_name in names}
    return replace(dataset, entries=tuple(entry for entry in dataset.entries if entry.image not in dropped))


def _rename_classes(dataset: EpisodeSet, names: Mapping[str, str]) -> EpisodeSet:
    for name in names:
        check_known(name, dataset.classes, f"class of {dataset.name} to rename", DataSetError)
    classes = tuple(names.get(name, name) for name in dataset.classes)
    if repeated := sorted({name for name in classes if classes.count(name) > 1}):
        raise DataSetError(f"`names` gives two classes of {dataset.name} the name {repeated[0]!r}: use distinct names")
    original = dict(zip(classes, dataset.classes, strict=True))
    entries = tuple(Entry(entry.image, names.get(entry.class_name, entry.class_name)) for entry in dataset.entries)
    return replace(dataset, classes=classes, entries=entries, read_class=partial(_read_renamed, dataset, original))


def _read_renamed(
    dataset: EpisodeSet, original: Mapping[str, str], image: str, class_name: str
) -> UInt8[np.ndarray, "h w"]:
    return dataset.read_class(image, original[class_name])


def _merge_classes(dataset: EpisodeSet, name: str) -> EpisodeSet:
    entries = tuple(Entry(image, name) for image in dataset.classes_of)
    return replace(dataset, classes=(name,), entries=entries, read_class=partial(read_merged, dataset))


def read_merged(dataset: EpisodeSet, image: str, class_name: str) -> UInt8[np.ndarray, "h w"]:
    """Return 1 for pixels of any class, IGNORE for pixels to ignore, else 0."""
    labels = dataset.read_labels(image, dataset.classes_of[image])
    return np.where(labels == IGNORE, IGNORE, labels > 0).astype(np.uint8)


def _contents(dataset: EpisodeSet) -> dict[str, Any]:
    return {
        "set": dataset.name,
        "presence": str(dataset.presence),
        "images": len(dataset.classes_of),
        "entries": dict(Counter(entry.class_name for entry in dataset.entries)),
    }


def split_scenes(data: SceneData) -> tuple[SceneSet, SceneSet | None]:
    """Return the training images and the validation images, if any, as `SceneData` describes."""
    if data.set == "folder":
        images = folder_like(data.root / data.images, IMAGE_FOLDERS)
        labels = folder_like(data.root / data.labels, MASK_FOLDERS)
        training = folder_scenes(images, labels, data.classes, strict=True)
    elif data.set == "annotations":
        names = read_class_table(data.classes).values() if isinstance(data.classes, Path) else data.classes
        training = annotated_scenes(data.root, None if names is None else tuple(names))
    else:
        assert data.set in SCENES
        training = open_scenes(data.root, data.set, "train")
    if data.set in VALIDATION_SPLITS:
        return training, open_scenes(data.root, data.set, VALIDATION_SPLITS[data.set])
    if data.keep_every is None:
        return training, None
    validation = training.scenes[data.keep_every - 1 :: data.keep_every]
    rest = tuple(scene for index, scene in enumerate(training.scenes, start=1) if index % data.keep_every)
    if not validation or not rest:
        raise DataSetError(
            f"{training.name} has {len(training.scenes)} labelled images, too few to keep every {data.keep_every}th "
            "for validation: lower data.keep_every, or set it to null"
        )
    held = replace(training, name=f"every {data.keep_every}th image of {training.name}", scenes=validation)
    return replace(training, scenes=rest), held
