"""A folder of images and a folder of label maps as a few-shot set: every label but 0 is a class."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from likewise.data.class_masks import listed_file, read_label_class
from likewise.data.episodes import Entry, EpisodeSet, keep_present
from likewise.data.folds import MIN_CLASS_PIXELS
from likewise.data.layout import Presence, images_by_stem, images_in, labels_by_stem
from likewise.errors import DataSetError
from likewise.io.labels import IGNORE
from likewise.io.masks import read_labels

FOLDERS = (("photos", "labels"), ("images", "labels"), ("images", "annotations"))
"""Pairs of names of the two folders, in the order in which they are tried."""


def label_folders(root: Path | str) -> EpisodeSet:
    """Return a few-shot set from `photos/` or `images/` and `labels/` or `annotations/`, such as Clothing Co-Parsing.

    0 is background, 255 is ignored, any other label is a class with its number as name. Label maps are PNG or TIFF. A
    class with at least `MIN_CLASS_PIXELS` pixels in an image is an entry. An image without labels counts as one missing
    entry, since its classes are unknown; labels without an image count as one for each class.
    """
    root = Path(root)
    places = [(root / images, root / labels) for images, labels in FOLDERS]
    home = next(((images, labels) for images, labels in places if images.is_dir() and labels.is_dir()), None)
    if home is None:
        looked = "; ".join(f"{images} with {labels}" for images, labels in places)
        raise DataSetError(f"{root} holds no folders of images and labels: looked for {looked}")
    labels = labels_by_stem(images_in(home[1]))
    images = images_by_stem(images_in(home[0]), labels)
    listed = []
    for stem, path in labels.items():
        counts = np.bincount(read_labels(path).ravel(), minlength=IGNORE + 1)
        found = np.flatnonzero(counts >= MIN_CLASS_PIXELS)
        listed += [Entry(stem, str(label)) for label in found if label not in (0, IGNORE)]
    if not listed:
        raise DataSetError(f"no label but 0 covers {MIN_CLASS_PIXELS} pixels of any image in {home[1]}")
    classes = tuple(sorted({entry.class_name for entry in listed}, key=int))
    image_path, label_path = partial(listed_file, images, home[0]), partial(listed_file, labels, home[1])
    read_class = partial(read_label_class, label_path, {name: int(name) for name in classes})
    name, entries = root.resolve().name, tuple(listed)
    dataset = keep_present(EpisodeSet(name, None, "all", classes, entries, image_path, read_class, label_path))
    missing = (*dataset.presence.missing, *(stem for stem in images if stem not in labels))
    return replace(dataset, presence=Presence(dataset.name, len(dataset.entries) + len(missing), missing))
