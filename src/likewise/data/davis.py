"""DAVIS: video sequences with one masked object; each sequence is a class."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool

from likewise.data.class_masks import folder_class_set
from likewise.data.episodes import EpisodeSet
from likewise.data.layout import find_home, images_by_folder
from likewise.io.masks import read_labels


def davis_sequences(root: Path | str) -> EpisodeSet:
    """Return DAVIS at 480p, from `{JPEGImages,Annotations}/480p/<sequence>/<frame>`.

    Every mask value but 0 is the object of the sequence: 255 too, and all instances of DAVIS 2017.
    """
    home = find_home(root, (".", "DAVIS"), ("JPEGImages/480p", "Annotations/480p"), "DAVIS (480p)")
    images, masks = images_by_folder(home / "JPEGImages/480p"), images_by_folder(home / "Annotations/480p")
    return folder_class_set("DAVIS", "all", home, images, masks, read_object)


def read_object(path: Path) -> Bool[np.ndarray, "h w"]:
    return read_labels(path) > 0
