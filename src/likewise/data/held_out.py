"""Images kept from training to be measured on, and whatever shows the same in other sets."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from likewise.data.episodes import EpisodeSet
from likewise.data.groups import GroupSet
from likewise.data.near_duplicates import shown_in
from likewise.errors import DataSetError, check_known


def held_out_groups(groups: GroupSet, *, every: int | None = None, whole: Sequence[str] = ()) -> GroupSet:
    """The groups cut to what is held out: those of `whole` as they are, of the others every `every`-th image.

    Raises:
        DataSetError: a group of `whole` is none of the set.
    """
    for name in whole:
        check_known(name, groups.groups, f"group of {groups.name} to hold out", DataSetError)
    kept = {
        name: images if name in whole else images[every - 1 :: every] if every else ()
        for name, images in groups.groups.items()
    }
    return replace(groups, groups={name: images for name, images in kept.items() if images})


def files_of(groups: GroupSet) -> list[Path]:
    """The files of all images of the groups."""
    return [groups.image_path(group, image) for group, images in groups.groups.items() for image in images]


def without_images(dataset: EpisodeSet, files: Sequence[Path]) -> EpisodeSet:
    """The set without every image that shows what one of the files shows, under whatever name.

    Raises:
        DataSetError: nothing is left.
        ImageError: an image of the set, or a file, cannot be read.
    """
    images = list(dataset.classes_of)
    held = shown_in([dataset.image_path(image) for image in images], files)
    dropped = {images[index] for index in np.flatnonzero(held)}
    entries = tuple(entry for entry in dataset.entries if entry.image not in dropped)
    if not entries:
        raise DataSetError(f"every image of {dataset.name} is held out; leave some to train on")
    return replace(dataset, entries=entries)
