"""Labelled images to train on, from one data set or several, each open as an `EpisodeSet`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from likewise.data.class_folders import class_folders
from likewise.data.coco import coco20i
from likewise.data.davis import davis_sequences
from likewise.data.episodes import Entry, EpisodeSet
from likewise.data.groups import cosaliency_groups, episodes_of_groups
from likewise.data.held_out import files_of, held_out_groups, without_images
from likewise.data.label_folders import label_folders
from likewise.data.pascal import pascal5i
from likewise.errors import DataSetError, check_known
from likewise.io.labels import IGNORE
from likewise.train.recipes.data_sections import LabelledData, Source

OPENERS: dict[str, Callable[[Path], EpisodeSet]] = {
    "pascal5i": lambda root: pascal5i(root, None, split="trn"),
    "class_folders": class_folders,
    "cosaliency": lambda root: episodes_of_groups(cosaliency_groups(root)),
    "davis": davis_sequences,
    "label_folders": label_folders,
}
"""The sets that may be sources, all classes of each."""


class WeightedSet(NamedTuple):
    """A set and how often it is drawn from, relative to the others."""

    weight: float
    dataset: EpisodeSet


def open_sources(data: LabelledData) -> list[WeightedSet]:
    """What the recipe's data section names: one set, or each of its sources.

    Raises:
        DataSetError: a set is not there, a class to leave out is none of its set, or nothing is left of it.
    """
    if data.set == "mixture":
        found = [WeightedSet(source.weight, open_source(data.root, source)) for source in data.sources]
    elif data.set == "coco20i":
        assert data.fold is not None
        found = [WeightedSet(1.0, coco20i(data.root, data.fold, split="trn", drop_leaking=data.drop_leaking))]
    elif data.set == "pascal5i":
        found = [WeightedSet(1.0, pascal5i(data.root, data.fold, split="trn", drop_leaking=data.drop_leaking))]
    else:
        found = [WeightedSet(1.0, OPENERS[data.set](data.root))]
    return found


def open_training_sources(data: LabelledData) -> tuple[list[WeightedSet], dict[str, tuple[str, ...]]]:
    """The recipe's sets without what shows a held-out image, and the held-out images of each group."""
    sources = open_sources(data)
    if data.held_out is None:
        return sources, {}
    asked = data.held_out
    held = held_out_groups(cosaliency_groups(data.root / asked.folder), every=asked.every, whole=asked.groups)
    files = files_of(held)
    return [WeightedSet(weight, without_images(dataset, files)) for weight, dataset in sources], held.groups


def set_names(sources: list[WeightedSet]) -> str:
    return ", ".join(dataset.name for _, dataset in sources)


def open_source(root: Path, source: Source) -> EpisodeSet:
    rest = rename_classes(drop_classes(OPENERS[source.set](root / source.folder), source.without), source.names)
    return rest if source.as_one is None else merge_classes(rest, source.as_one)


def drop_classes(dataset: EpisodeSet, names: Iterable[str]) -> EpisodeSet:
    """The set without these classes, and without every image in which one is labelled.

    Raises:
        DataSetError: a name that is no class of the set, or nothing is left.
    """
    names = tuple(names)
    for name in names:
        check_known(name, dataset.classes, f"class of {dataset.name} to leave out", DataSetError)
    shown = {entry.image for entry in dataset.entries if entry.class_name in names}
    rest = dataset.only(name for name in dataset.classes if name not in names)
    rest = replace(rest, entries=tuple(entry for entry in rest.entries if entry.image not in shown))
    if not rest.entries:
        raise DataSetError(f"all classes of {dataset.name} are left out; leave some to train on")
    return rest


def rename_classes(dataset: EpisodeSet, names: Mapping[str, str]) -> EpisodeSet:
    """The set with some of its classes under other names.

    Raises:
        DataSetError: a name that is no class of the set, or two classes would have the same.
    """
    for name in names:
        check_known(name, dataset.classes, f"class of {dataset.name} to rename", DataSetError)
    classes = tuple(names.get(name, name) for name in dataset.classes)
    if twice := sorted({name for name in classes if classes.count(name) > 1}):
        raise DataSetError(f"two classes of {dataset.name} would be called {twice[0]}; give each a name of its own")
    own = dict(zip(classes, dataset.classes, strict=True))
    entries = tuple(Entry(entry.image, names.get(entry.class_name, entry.class_name)) for entry in dataset.entries)
    return replace(dataset, classes=classes, entries=entries, read_class=partial(read_renamed_class, dataset, own))


def read_renamed_class(
    dataset: EpisodeSet, own: Mapping[str, str], image: str, class_name: str
) -> UInt8[np.ndarray, "h w"]:
    """What `dataset` says of the class that it knows by the name `own[class_name]`."""
    return dataset.read_class(image, own[class_name])


def merge_classes(dataset: EpisodeSet, name: str) -> EpisodeSet:
    """The set with one class alone: in each image, all that is labelled as one of the set's classes."""
    entries = tuple(Entry(image, name) for image in dataset.classes_of)
    return replace(dataset, classes=(name,), entries=entries, read_class=partial(read_merged_class, dataset))


def read_merged_class(dataset: EpisodeSet, image: str, class_name: str) -> UInt8[np.ndarray, "h w"]:
    """1 for any of the image's classes in `dataset`, IGNORE where it says so, else 0."""
    labels = dataset.read_labels(image, dataset.classes_of[image])
    return np.where(labels == IGNORE, IGNORE, labels > 0).astype(np.uint8)


def draw_class(sources: list[WeightedSet], generator: np.random.Generator, least: int = 1) -> tuple[EpisodeSet, str]:
    """A set by weight, and one of those of its classes that have at least so many images, each as often."""
    weights = np.array([weight for weight, _ in sources])
    dataset = sources[generator.choice(len(sources), p=weights / weights.sum())].dataset
    names = [name for name, images in dataset.images_of.items() if len(images) >= least]
    return dataset, str(generator.choice(names))


def sources_record(sources: list[WeightedSet], held: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """What there was to train on, and what was kept from it, for a record."""
    training = [{**counts(dataset), "weight": weight} for weight, dataset in sources]
    return {"training": training, "held out": held, "validation": None}


def counts(dataset: EpisodeSet) -> dict[str, Any]:
    """What a set holds, for a record."""
    return {
        "set": dataset.name,
        "presence": str(dataset.presence),
        "images": len(dataset.classes_of),
        "entries": dict(Counter(entry.class_name for entry in dataset.entries)),
    }
