"""Pictures kept from training to be measured on, and whatever shows the same in other sets."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from likewise.data.episodes import EpisodeSet
from likewise.data.groups import GroupSet
from likewise.data.layout import DataSetError, known
from likewise.data.same_picture import shown_in


def held_out_groups(groups: GroupSet, *, every: int | None = None, whole: Sequence[str] = ()) -> GroupSet:
    """The groups cut to what is held out: those of `whole` as they are, of the others every `every`-th picture.

    Raises:
        DataSetError: a group of `whole` is none of the set.
    """
    for name in whole:
        known(name, groups.groups, f"group of {groups.name} to hold out")
    kept = {
        name: pictures if name in whole else pictures[every - 1 :: every] if every else ()
        for name, pictures in groups.groups.items()
    }
    return replace(groups, groups={name: pictures for name, pictures in kept.items() if pictures})


def files_of(groups: GroupSet) -> list[Path]:
    """The files of all pictures of the groups."""
    return [groups.picture_path(group, picture) for group, pictures in groups.groups.items() for picture in pictures]


def without_pictures(dataset: EpisodeSet, files: Sequence[Path]) -> EpisodeSet:
    """The set without every picture that shows what one of the files shows, under whatever name.

    Raises:
        DataSetError: nothing is left.
        PictureError: a picture of the set, or a file, cannot be read.
    """
    pictures = list(dataset.classes_of)
    held = shown_in([dataset.picture_path(picture) for picture in pictures], files)
    dropped = {pictures[index] for index in np.flatnonzero(held)}
    entries = tuple(entry for entry in dataset.entries if entry.picture not in dropped)
    if not entries:
        raise DataSetError(f"every picture of {dataset.name} is held out; leave some to train on")
    return replace(dataset, entries=entries)
