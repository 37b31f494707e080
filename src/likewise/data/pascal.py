"""PASCAL-5i: the twenty classes of PASCAL VOC 2012 with the SBD masks, in four folds of five.

Folds: Shaban et al., One-Shot Learning for Semantic Segmentation, BMVC 2017. Lists: published with HSNet (Min et al.,
ICCV 2021).
"""

from functools import partial
from pathlib import Path

from likewise.data.class_masks import file_in, read_label_class
from likewise.data.episodes import Entry, EpisodeSet
from likewise.data.folds import Leakage, entries_by_pixels, find_leakage, fold_set
from likewise.data.layout import find_home
from likewise.errors import DataSetError, check_known
from likewise.io.class_lists import PASCAL, read_lines


def pascal5i(root: Path | str, fold: int | None, split: str = "val", drop_leaking: bool = False) -> EpisodeSet:
    """Return a split of PASCAL-5i, from `JPEGImages/*.jpg` and `SegmentationClassAug/*.png`; 255 is IGNORE.

    Entries are listed in `splits/pascal/{trn,val}/fold{0..3}.txt` near the data, with lines `<image id>__<class 1-20>`.
    Without lists, every class with at least 2048 pixels in a mask is an entry, for "val" in the images of
    `ImageSets/Segmentation/val.txt` and for "trn" in all others, or, without that file, in all images for both.

    Args:
        fold: 0 to 3: "val" holds classes 5 fold + 1 to 5 fold + 5, "trn" the other fifteen. None: "trn" holds all
            twenty classes, for training without a test on PASCAL.
        drop_leaking: leave out the training images that show a novel class.
    """
    check_known(split, ("trn", "val"), "split of PASCAL-5i", DataSetError)
    if fold is not None:
        check_known(fold, range(4), "fold of PASCAL-5i", DataSetError)
    elif split == "val":
        raise DataSetError("PASCAL-5i has test classes per fold only; give fold 0, 1, 2 or 3")
    home, folder = pascal_places(root)
    image_path = partial(file_in, home / "JPEGImages", ".jpg")
    mask_path = partial(file_in, home / "SegmentationClassAug", ".png")
    if folder is None:
        entries = entries_by_pixels(voc_images(home, split), PASCAL, mask_path)
    else:
        entries = list_entries(folder / split, range(4) if fold is None or split == "trn" else [fold])
    read_class = partial(read_label_class, mask_path, {name: index for index, name in enumerate(PASCAL, start=1)})
    novel = () if fold is None else novel_classes(fold)
    dataset = EpisodeSet("PASCAL-5i", fold, split, PASCAL, tuple(entries), image_path, read_class, mask_path)
    return fold_set(dataset, novel, drop_leaking=drop_leaking)


def novel_classes(fold: int) -> tuple[str, ...]:
    return PASCAL[5 * fold : 5 * fold + 5]


def pascal_places(root: Path | str) -> tuple[Path, Path | None]:
    """Return the folder of VOC 2012 at or below `root`, and the first `splits/pascal` near it, if there is one."""
    needs = "JPEGImages", "SegmentationClassAug"
    home = find_home(root, (".", "VOC2012", "VOCdevkit/VOC2012"), needs, "PASCAL-5i (VOC 2012 with SBD masks)")
    places = (place / "splits/pascal" for place in (Path(root), home, home.parent))
    return home, next((place for place in places if (place / "val").is_dir()), None)


def list_entries(folder: Path, folds: range | list[int]) -> list[Entry]:
    """Return the entries of `fold<n>.txt` of these folds, with lines `<image id>__<class 1-20>`."""
    entries = []
    for path in (folder / f"fold{fold}.txt" for fold in folds):
        for line in read_lines(path):
            image, _, number = line.rpartition("__")
            if not image or not number.isdecimal() or not 1 <= int(number) <= len(PASCAL):
                raise DataSetError(f"{path}: {line!r} is not <image id>__<class 1-20>")
            entries.append(Entry(image, PASCAL[int(number) - 1]))
    return entries


def voc_images(home: Path, split: str) -> list[str]:
    """Return the images with a mask, those of VOC's validation list for "val" and the others for "trn"."""
    images = sorted(path.stem for path in (home / "SegmentationClassAug").glob("*.png"))
    listed = home / "ImageSets/Segmentation/val.txt"
    if not listed.is_file():
        return images
    validation = set(read_lines(listed))
    return [image for image in images if (image in validation) == (split == "val")]


def pascal_leakage(root: Path | str) -> list[Leakage]:
    """Return the leakage of each fold, from the training lists; images are not needed."""
    _, lists = pascal_places(root)
    if lists is None:
        raise DataSetError(f"{root}: no lists in splits/pascal, such as trn/fold0.txt; the count needs them")
    entries = list_entries(lists / "trn", range(4))
    return [find_leakage(entries, novel_classes(fold)) for fold in range(4)]
