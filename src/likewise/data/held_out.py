"""Images held out from training, and their near-duplicates in other sets."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from likewise.data.episodes import EpisodeSet
from likewise.data.groups import GroupSet
from likewise.data.near_duplicates import find_duplicates
from likewise.errors import DataSetError, check_known


def held_out_groups(groups: GroupSet, *, every: int | None = None, whole: Sequence[str] = ()) -> GroupSet:
    """Return the held-out part of the groups: all images of the groups `whole`, every `every`-th image of the others.

    Raises:
        DataSetError: `whole` names a group that the set does not have.
    """
    for name in whole:
        check_known(name, groups.groups, f"group of {groups.name} to hold out", DataSetError)
    kept = {
        name: images if name in whole else images[every - 1 :: every] if every else ()
        for name, images in groups.groups.items()
    }
    return replace(groups, groups={name: images for name, images in kept.items() if images})


def files_of(groups: GroupSet) -> list[Path]:
    """Return the files of all images of the groups."""
    return [groups.image_path(group, image) for group, images in groups.groups.items() for image in images]


def without_images(dataset: EpisodeSet, files: Sequence[Path]) -> EpisodeSet:
    """Return the set without the near-duplicates of the images in `files`.

    Raises:
        DataSetError: no image is left.
        ImageError: an image of the set or a file that cannot be read.
    """
    images = list(dataset.classes_of)
    duplicate = find_duplicates([dataset.image_path(image) for image in images], files)
    dropped = {images[index] for index in np.flatnonzero(duplicate)}
    entries = tuple(entry for entry in dataset.entries if entry.image not in dropped)
    if not entries:
        raise DataSetError(f"every image of {dataset.name} is held out; hold out fewer, so that training has images")
    return replace(dataset, entries=entries)
