"""Video sequences in which one thing is masked in every frame: each sequence is a class."""

from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from likewise.data.episodes import Entry, EpisodeSet, keep_present
from likewise.data.layout import find_home, folders_in, images_in
from likewise.io.masks import read_labels


def davis_sequences(root: Path | str) -> EpisodeSet:
    """DAVIS at 480p: `JPEGImages/480p/<sequence>/*.jpg`, `Annotations/480p/<sequence>/*.png`.

    Whatever is not 0 in a mask is the sequence's object, 255 too: of several instances (DAVIS 2017), all together.
    """
    folders = "JPEGImages/480p", "Annotations/480p"
    home = find_home(root, (".", "DAVIS"), folders, "DAVIS (480p)")
    listed = [
        Entry(f"{folder.name}/{path.stem}", folder.name)
        for folder in folders_in(home / folders[0])
        for path in images_in(folder)
    ]
    classes = tuple(dict.fromkeys(entry.class_name for entry in listed))
    image_path, mask_path = partial(frame, home / folders[0], ".jpg"), partial(frame, home / folders[1], ".png")
    read_class = partial(frame_class, mask_path)
    return keep_present("DAVIS", None, "all", classes, listed, image_path, read_class, mask_path)


def frame(folder: Path, ending: str, image: str) -> Path:
    return folder / f"{image}{ending}"


def frame_class(mask_path: partial[Path], image: str, class_name: str) -> UInt8[np.ndarray, "h w"]:
    """The mask for the class of the frame's sequence, nothing for another class."""
    mask = read_labels(mask_path(image)) > 0
    return (mask & (image.split("/")[0] == class_name)).astype(np.uint8)
