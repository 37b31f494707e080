"""FSS-1000, DAVIS, and any folder of `<class>/<image>` with masks: an image shows the one class of its folder."""

from collections import Counter
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from likewise.data.class_masks import folder_class_set, read_grey_mask
from likewise.data.episodes import EpisodeSet
from likewise.data.layout import find_home, folders_in, images_by_folder, images_by_stem, images_in, labels_by_stem
from likewise.errors import DataSetError
from likewise.io.class_lists import read_lines
from likewise.io.masks import read_labels, read_mask
from likewise.io.paths import pairing_key

FSS_CLASSES = 240
"""Number of test classes of FSS-1000 (Li et al., CVPR 2020)."""


def fss1000(root: Path | str) -> EpisodeSet:
    """Return the test split of FSS-1000, from `<class>/<n>.jpg` and `<class>/<n>.png`, n = 1 to 10.

    The classes are listed in `splits/fss/test.txt`, in the root or beside the data.
    """
    home = fss_home(root)
    places = [place / "splits/fss/test.txt" for place in (Path(root), home, home.parent)]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise DataSetError(f"no list of the test classes of FSS-1000: looked for {', '.join(map(str, places))}")
    classes = read_lines(path)
    if len(classes) != FSS_CLASSES:
        raise DataSetError(f"{path} lists {len(classes)} classes; the test split of FSS-1000 has {FSS_CLASSES}")
    names = [f"{name}/{n}" for name in classes for n in range(1, 11)]
    images = {name: home / f"{name}.jpg" for name in names}
    masks = {name: home / f"{name}.png" for name in names}
    return folder_class_set("FSS-1000", "test", home, images, masks, read_grey_mask)


def fss_home(root: Path | str) -> Path:
    """Return the first usual place at or below `root` with a folder that holds 1.jpg and 1.png."""
    places = [Path(root) / place for place in (".", "FSS-1000", "fewshot_data", "FSS-1000/fewshot_data")]
    for place in places:
        folders = folders_in(place) if place.is_dir() else []
        if any((folder / "1.jpg").is_file() and (folder / "1.png").is_file() for folder in folders):
            return place
    looked = ", ".join(map(str, places))
    raise DataSetError(f"{root} does not hold FSS-1000: looked for <class>/1.jpg and <class>/1.png in {looked}")


def class_folders(root: Path | str) -> EpisodeSet:
    """Return any folder of `<class>/<image>` with masks beside the images.

    The mask of `a.jpg` is `a_mask.png`, `a.png` or `a.tif` in the same folder (see `read_mask` for the formats). An
    image without a mask and a mask without an image count as missing.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataSetError(f"a folder of classes: the folder {root} does not exist")
    images: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    folders = folders_in(root)
    for folder in folders:
        files = images_in(folder)
        named = {path.stem.removesuffix("_mask"): path for path in files if path.stem.endswith("_mask")}
        others = [path for path in files if not path.stem.endswith("_mask")]
        stems = Counter(pairing_key(path.stem) for path in others)
        own_masks = labels_by_stem(path for path in others if stems[pairing_key(path.stem)] > 1) | named
        own_images = images_by_stem(others, own_masks)
        images |= {f"{folder.name}/{stem}": path for stem, path in own_images.items()}
        masks |= {f"{folder.name}/{stem}": path for stem, path in own_masks.items()}
    if not images.keys() & masks.keys():
        raise DataSetError(
            f"{root} does not hold a folder of classes: looked in {len(folders)} folders for <class>/<image> with "
            "<image>_mask.png or <image>.png beside it"
        )
    return folder_class_set(root.name, "all", root, images, masks, read_mask)


def davis_sequences(root: Path | str) -> EpisodeSet:
    """Return DAVIS at 480p, from `{JPEGImages,Annotations}/480p/<sequence>/<frame>`; each sequence is a class.

    Every mask value but 0 is the object of the sequence: 255 too, and all instances of DAVIS 2017.
    """
    home = find_home(root, (".", "DAVIS"), ("JPEGImages/480p", "Annotations/480p"), "DAVIS (480p)")
    images, masks = images_by_folder(home / "JPEGImages/480p"), images_by_folder(home / "Annotations/480p")
    return folder_class_set("DAVIS", "all", home, images, masks, read_object)


def read_object(path: Path) -> Bool[np.ndarray, "h w"]:
    return read_labels(path) > 0
