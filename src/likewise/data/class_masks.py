"""Picklable functions with which data sets find and read the mask of one class: 0, 1 and IGNORE."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from likewise.data.episodes import Entry, EpisodeSet, keep_present
from likewise.io.images import read_image
from likewise.io.labels import IGNORE
from likewise.io.masks import read_labels


def file_in(folder: Path, suffix: str, image: str) -> Path:
    """Return the file of an image in a data set that stores all files in one folder with one suffix."""
    return folder / f"{image}{suffix}"


def listed_file(files: Mapping[str, Path], folder: Path, image: str) -> Path:
    """Return the file of an image, or, where it has none, the path without suffix that it would have."""
    return files.get(image, folder / image)


def read_label_class(
    label_path: Callable[[str], Path], values: Mapping[str, int], image: str, class_name: str
) -> UInt8[np.ndarray, "h w"]:
    """Return the mask of a class from the image's label map, where `values` holds the label of each class."""
    return mask_of_label(read_labels(label_path(image)), values[class_name])


def mask_of_label(labels: UInt8[np.ndarray, "h w"], value: int) -> UInt8[np.ndarray, "h w"]:
    """Return 1 where `labels` is `value`, IGNORE where it is IGNORE, else 0."""
    return np.where(labels == IGNORE, IGNORE, labels == value).astype(np.uint8)


def read_grey_mask(path: Path) -> Bool[np.ndarray, "h w"]:
    """Return where a grey image exceeds 127: the threshold of HSNet for FSS-1000 and of the co-saliency sets."""
    return read_image(path)[..., 0] > 127


def read_folder_class(
    mask_path: Callable[[str], Path], read: Callable[[Path], np.ndarray], image: str, class_name: str
) -> UInt8[np.ndarray, "h w"]:
    """Return the mask of the image "<class>/<name>"; it is empty for any other class than that of its folder."""
    return (read(mask_path(image)) & (image.split("/")[0] == class_name)).astype(np.uint8)


def folder_class_set(
    benchmark: str,
    split: str,
    home: Path,
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    read: Callable[[Path], np.ndarray],
) -> EpisodeSet:
    """Return the set of images "<class>/<name>", where every image shows the one class of its folder.

    An entry that lacks its image or its mask counts as missing; `read` returns the mask in a file.
    """
    listed = tuple(Entry(image, image.split("/")[0]) for image in dict.fromkeys((*images, *masks)))
    classes = tuple(dict.fromkeys(entry.class_name for entry in listed))
    image_path, mask_path = partial(listed_file, images, home), partial(listed_file, masks, home)
    read_class = partial(read_folder_class, mask_path, read)
    return keep_present(EpisodeSet(benchmark, None, split, classes, listed, image_path, read_class, mask_path))
