"""A folder of images and one of label PNGs as episodes: every label but 0 is a class."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from likewise.data.episodes import (
    LEAST_PIXELS,
    Entry,
    EpisodeSet,
    keep_present,
    one_class,
)
from likewise.data.layout import Presence, images_in
from likewise.errors import DataSetError
from likewise.io.labels import IGNORE
from likewise.io.masks import read_labels

FOLDERS = (("photos", "labels"), ("images", "labels"), ("images", "annotations"))


def label_folders(root: Path | str, least: int = LEAST_PIXELS) -> EpisodeSet:
    """`photos/` or `images/` beside `labels/` or `annotations/`, as Clothing Co-Parsing (CCP) has them.

    0 is background, 255 is ignored and no class, any other label is a class with its number as name. A class is present
    in an image where it has at least `least` pixels. A photo without labels counts as one missing entry, named by its
    stem, since nobody knows what it shows; labels without their photo as one for each class in them.

    Raises:
        DataSetError: no such folders; or no label covers enough of any image.
    """
    root = Path(root)
    places = [(root / photos, root / labels) for photos, labels in FOLDERS]
    home = next(((photos, labels) for photos, labels in places if photos.is_dir() and labels.is_dir()), None)
    if home is None:
        looked = "; ".join(f"{photos} with {labels}" for photos, labels in places)
        raise DataSetError(f"{root} holds no folders of images and labels: looked for {looked}")
    photos = {path.stem: path for path in images_in(home[0])}
    labels = images_in(home[1])
    labelled = {path.stem for path in labels}
    unlabelled = tuple(stem for stem in photos if stem not in labelled)
    listed = []
    for path in labels:
        counts = np.bincount(read_labels(path).ravel(), minlength=256)
        covering = np.flatnonzero(counts >= least)
        listed += [Entry(path.stem, str(label)) for label in covering if label not in (0, IGNORE)]
    if not listed:
        raise DataSetError(f"no label but 0 covers {least} pixels of any image in {home[1]}")
    classes = sorted({entry.class_name for entry in listed}, key=int)
    image_path, label_path = partial(stem_file, photos, home[0]), partial(label_file, home[1])
    read_class = partial(label_class, home[1])
    found = keep_present(root.resolve().name, None, "all", classes, listed, image_path, read_class, label_path)
    there = found.presence
    presence = Presence(there.of, there.listed + len(unlabelled), (*there.missing, *unlabelled))
    return replace(found, presence=presence)


def stem_file(files: dict[str, Path], folder: Path, image: str) -> Path:
    return files.get(image, folder / image)


def label_file(folder: Path, image: str) -> Path:
    return folder / f"{image}.png"


def label_class(folder: Path, image: str, class_name: str) -> UInt8[np.ndarray, "h w"]:
    return one_class(read_labels(label_file(folder, image)), int(class_name))
