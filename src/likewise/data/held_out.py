"""Images held out from training, and their near-duplicates in other sets.

A near-duplicate is the same photograph at another size, compression, brightness or name. Data sets share images: 694 of
the 764 images of the PASCAL co-segmentation groups are in VOC 2012 under other names.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from PIL import Image

from likewise.data.episodes import EpisodeSet
from likewise.data.groups import GroupSet
from likewise.errors import DataSetError, check_known
from likewise.io.images import read_image


def held_out_groups(groups: GroupSet, *, every: int | None = None, whole: Sequence[str] = ()) -> GroupSet:
    """Return the held-out part of the groups: all images of those in `whole`, every `every`-th image of the others."""
    for name in whole:
        check_known(name, groups.groups, f"group of {groups.name} to hold out", DataSetError)
    kept = {
        name: images if name in whole else images[every - 1 :: every] if every else ()
        for name, images in groups.groups.items()
    }
    return replace(groups, groups={name: images for name, images in kept.items() if images})


def files_of(groups: GroupSet) -> list[Path]:
    return [groups.image_path(group, image) for group, images in groups.groups.items() for image in images]


def without_images(dataset: EpisodeSet, files: Sequence[Path]) -> EpisodeSet:
    """Return the set without the near-duplicates of the images in `files`."""
    images = list(dataset.classes_of)
    duplicate = find_duplicates([dataset.image_path(image) for image in images], files)
    dropped = {images[index] for index in np.flatnonzero(duplicate)}
    entries = tuple(entry for entry in dataset.entries if entry.image not in dropped)
    if not entries:
        raise DataSetError(f"every image of {dataset.name} is held out; hold out fewer, so that training has images")
    return replace(dataset, entries=entries)


SIDE = 16
"""Side of the compared thumbnails, in pixels."""

MIN_CORRELATION = 0.95
"""Correlation of two thumbnails from which the images count as duplicates.

Measured on PASCAL VOC 2012 and its co-segmentation groups: copies at another size or compression correlate with at
least 0.995, the most similar pair of different photographs with less than 0.9.
"""


def thumbnail_vector(image: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, " p"]:
    """Return a grey thumbnail as a vector of mean zero and length one; zeros for an image of one grey."""
    grey = Image.fromarray(image).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    values = np.asarray(grey, np.float32).ravel()
    values = values - values.mean()
    length = float(np.linalg.norm(values))
    return values / length if length > 1 else np.zeros_like(values)


def thumbnail_vectors(files: Iterable[Path]) -> Float32[np.ndarray, "n p"]:
    found = [thumbnail_vector(read_image(file)) for file in files]
    return np.stack(found) if found else np.zeros((0, SIDE * SIDE), np.float32)


def find_duplicates(files: Sequence[Path], others: Iterable[Path]) -> Bool[np.ndarray, " n"]:
    """Return for each file whether its image is a near-duplicate of one of the others.

    Cropped, rotated and mirrored copies are not found, nor are images of one grey.
    """
    correlation: Float32[np.ndarray, "n m"] = thumbnail_vectors(files) @ thumbnail_vectors(others).T
    return np.logical_or.reduce(correlation >= MIN_CORRELATION, axis=1)
