"""PASCAL-5i: the twenty classes of PASCAL VOC 2012 with the SBD masks, in four folds of five.

Shaban et al., One-Shot Learning for Semantic Segmentation, BMVC 2017 (the folds); the lists are those
published with HSNet (Min et al., ICCV 2021).
"""

from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from likewise.data.class_names import PASCAL
from likewise.data.episodes import (
    LEAST_PIXELS,
    Entry,
    EpisodeSet,
    Leakage,
    entries_by_rule,
    keep_present,
    leakage,
    one_class,
)
from likewise.data.layout import find_home, read_list
from likewise.errors import DataSetError, check_known
from likewise.io.masks import read_labels


def pascal5i(
    root: Path | str,
    fold: int | None,
    split: str = "val",
    lists: Path | str | None = None,
    drop_leaking: bool = False,
) -> EpisodeSet:
    """PASCAL-5i (VOC 2012 with the SBD masks): `JPEGImages/*.jpg`, `SegmentationClassAug/*.png`.

    `split` "val" holds the five novel classes of `fold` (classes 5 fold + 1 .. 5 fold + 5), "trn" the other
    fifteen. Entries come from `lists`, a folder of `{trn,val}/fold{0..3}.txt` with a line `<id>__<class 1-20>`
    (searched in `splits/pascal` of the root when not given). Without lists, by rule: every class with at least
    2048 pixels in a mask, in the images of `ImageSets/Segmentation/val.txt` (val) or all others (trn); in all
    images for both splits when that file is not there either.

    `fold` None is for a training that tests on other data: "trn" then holds all twenty classes.

    `drop_leaking` leaves out the training images that also show a novel class (see `leakage`).
    Boundary pixels, 255, are IGNORE.
    """
    check_known(split, ("trn", "val"), "split of PASCAL-5i", DataSetError)
    if fold is not None:
        check_known(fold, range(4), "fold of PASCAL-5i", DataSetError)
    elif split == "val":
        raise DataSetError("the test classes of PASCAL-5i are those of a fold: give fold 0, 1, 2 or 3")
    novel = () if fold is None else PASCAL[5 * fold : 5 * fold + 5]
    home = pascal_home(root)
    classes = novel if split == "val" else [name for name in PASCAL if name not in novel]
    folder = pascal_lists(root, home, lists)
    if folder is None:
        everything = entries_by_rule(voc_images(home, split), PASCAL, partial(voc_labels, home), least=LEAST_PIXELS)
    else:
        folds = [fold] if split == "val" else range(4)
        everything = [entry for f in folds for entry in pascal_list(folder / split / f"fold{f}.txt")]
    leaking = leakage(everything, novel).leaking if drop_leaking and split == "trn" else frozenset()
    listed = [e for e in everything if e.class_name in classes and e.image not in leaking]
    return keep_present(
        "PASCAL-5i",
        fold,
        split,
        classes,
        listed,
        partial(voc_image, home),
        partial(voc_class, home),
        partial(voc_mask, home),
    )


def pascal_home(root: Path | str) -> Path:
    return find_home(
        root,
        (".", "VOC2012", "VOCdevkit/VOC2012"),
        ("JPEGImages", "SegmentationClassAug"),
        "PASCAL-5i (VOC 2012 with SBD masks)",
    )


def pascal_lists(root: Path | str, home: Path, lists: Path | str | None) -> Path | None:
    if lists is not None:
        return find_home(lists, (".",), ("trn/fold0.txt", "val/fold0.txt"), "the lists of PASCAL-5i")
    places = (Path(root) / "splits/pascal", home / "splits/pascal", home.parent / "splits/pascal")
    return next((place for place in places if (place / "val").is_dir()), None)


def pascal_list(path: Path) -> list[Entry]:
    """The entries of a file of `<id>__<class 1-20>` lines."""
    entries = []
    for line in read_list(path):
        image, _, number = line.rpartition("__")
        if not image or not number.isdecimal() or not 1 <= int(number) <= len(PASCAL):
            raise DataSetError(f"{path}: {line!r} is not <image id>__<class 1-20>")
        entries.append(Entry(image, PASCAL[int(number) - 1]))
    return entries


def voc_images(home: Path, split: str) -> list[str]:
    images = sorted(path.stem for path in (home / "SegmentationClassAug").glob("*.png"))
    listed = home / "ImageSets/Segmentation/val.txt"
    if not listed.is_file():
        return images
    validation = set(read_list(listed))
    return [image for image in images if (image in validation) == (split == "val")]


def voc_image(home: Path, image: str) -> Path:
    return home / "JPEGImages" / f"{image}.jpg"


def voc_mask(home: Path, image: str) -> Path:
    return home / "SegmentationClassAug" / f"{image}.png"


def voc_labels(home: Path, image: str) -> UInt8[np.ndarray, "h w"]:
    return read_labels(voc_mask(home, image))


def voc_class(home: Path, image: str, class_name: str) -> UInt8[np.ndarray, "h w"]:
    return one_class(voc_labels(home, image), PASCAL.index(class_name) + 1)


def pascal_leakage(lists: Path | str, fold: int) -> Leakage:
    """The leakage of a PASCAL-5i fold, from the four training lists alone: no image is needed."""
    check_known(fold, range(4), "fold of PASCAL-5i", DataSetError)
    everything = [entry for f in range(4) for entry in pascal_list(Path(lists) / "trn" / f"fold{f}.txt")]
    return leakage(everything, PASCAL[5 * fold : 5 * fold + 5])
