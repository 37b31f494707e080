"""The public scene data sets: VOC, ADE20K, Cityscapes, COCO-Stuff 10k, LIP and CamVid.

Every loader takes the root of the public download and raises `DataSetError` for an unknown split or missing files.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from likewise.data.class_names import CAMVID, CITYSCAPES, CITYSCAPES_IDS, LIP, LIP_MIRRORED
from likewise.data.layout import find_home
from likewise.data.scenes import SceneSet, keep_present_scenes, label_table, pair_by_stem
from likewise.errors import DataSetError, ImageError, check_known
from likewise.io.class_lists import PASCAL, read_lines


def voc_scenes(root: Path | str, split: str = "val") -> SceneSet:
    """Return PASCAL VOC 2012: labels 0 (background), 1 to 20, 255 ignored.

    Masks come from `SegmentationClassAug` (with SBD) if it exists, else from `SegmentationClass`. `split` names a list
    in `ImageSets/Segmentation` (train, val, trainval, ...); "all" takes every mask.
    """
    home = find_home(root, (".", "VOC2012", "VOCdevkit/VOC2012"), ("JPEGImages",), "PASCAL VOC 2012")
    masks = next((home / f for f in ("SegmentationClassAug", "SegmentationClass") if (home / f).is_dir()), None)
    if masks is None:
        raise DataSetError(f"{home} holds neither SegmentationClassAug nor SegmentationClass")
    if split == "all":
        names: Iterable[str] = sorted(path.stem for path in masks.glob("*.png"))
    else:
        lists = home / "ImageSets/Segmentation"
        check_known(
            split, ["all", *sorted(path.stem for path in lists.glob("*.txt"))], f"split of {home}", DataSetError
        )
        names = read_lines(lists / f"{split}.txt")
    pairs = [(home / "JPEGImages" / f"{name}.jpg", masks / f"{name}.png") for name in names]
    return keep_present_scenes(f"VOC 2012 {split}", ("background", *PASCAL), pairs, same_labels(21))


def ade20k_scenes(root: Path | str, split: str = "val") -> SceneSet:
    """Return ADE20K, from `ADEChallengeData2016/{images,annotations}/{training,validation}`.

    Labels are 1 to 150, 0 is ignored; class names come from the `objectInfo150.txt` of the download.
    """
    check_known(split, ("train", "val"), "split of ADE20K", DataSetError)
    home = find_home(
        root, (".", "ADEChallengeData2016"), ("images", "annotations", "objectInfo150.txt"), "ADE20K (scene parsing)"
    )
    part = {"train": "training", "val": "validation"}[split]
    # one header line, then tab-separated Idx, Ratio, Train, Val, Name
    rows = [line.split("\t") for line in read_lines(home / "objectInfo150.txt")[1:]]
    classes = [row[-1].split(",")[0].strip() for row in rows]
    pairs = pair_by_stem(home / "images" / part, home / "annotations" / part)
    return keep_present_scenes(f"ADE20K {split}", classes, pairs, label_table({i + 1: i for i in range(len(classes))}))


def cityscapes_scenes(root: Path | str, split: str = "val") -> SceneSet:
    """Return Cityscapes, from `{leftImg8bit,gtFine}/<split>/<city>/*_{leftImg8bit,gtFine_labelIds}.png`.

    The 19 evaluated label ids become 0 to 18, all others are ignored.
    """
    check_known(split, ("train", "val"), "split of Cityscapes", DataSetError)
    home = find_home(root, (".", "cityscapes"), (f"leftImg8bit/{split}", f"gtFine/{split}"), "Cityscapes")
    ends = "_leftImg8bit.png", "_gtFine_labelIds.png"
    folders = home / "leftImg8bit" / split, home / "gtFine" / split
    names = {
        str(path.relative_to(folder)).removesuffix(end)
        for folder, end in zip(folders, ends, strict=True)
        for path in folder.glob(f"*/*{end}")
    }
    pairs = [(folders[0] / f"{name}{ends[0]}", folders[1] / f"{name}{ends[1]}") for name in sorted(names)]
    lookup = label_table({value: i for i, value in enumerate(CITYSCAPES_IDS)})
    return keep_present_scenes(f"Cityscapes {split}", CITYSCAPES, pairs, lookup)


def cocostuff10k_scenes(root: Path | str, split: str = "test") -> SceneSet:
    """Return COCO-Stuff 10k v1.1, from `images/*.jpg`, `annotations/*.mat` and `imageLists/{train,test}.txt`.

    The matrix `S` of a .mat file holds 0 (unlabelled, ignored) and 1 to 182. Of these, 11 never occur; the other 171
    become 0 to 170 in their order, with the names in the .mat files.
    """
    check_known(split, ("train", "test"), "split of COCO-Stuff 10k", DataSetError)
    home = find_home(
        root, (".", "cocostuff-10k-v1.1"), ("images", "annotations", f"imageLists/{split}.txt"), "COCO-Stuff 10k"
    )
    names = read_lines(home / "imageLists" / f"{split}.txt")
    pairs = [(home / "images" / f"{name}.jpg", home / "annotations" / f"{name}.mat") for name in names]
    used = [value for value in range(1, 183) if value not in COCOSTUFF_UNUSED]
    first = next((labels for _, labels in pairs if labels.is_file()), None)
    classes = stuff_names(first, used) if first else [f"label {value}" for value in used]
    lookup = label_table({value: i for i, value in enumerate(used)})
    return keep_present_scenes(f"COCO-Stuff 10k {split}", classes, pairs, lookup, read_stuff_labels)


COCOSTUFF_UNUSED = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91})
"""Labels of the first COCO list that were never annotated."""


def stuff_names(path: Path, used: Sequence[int]) -> list[str]:
    """Return the names of the used labels from a .mat file of COCO-Stuff, which names these or all 182 labels."""
    names = [str(np.ravel(entry)[0]) for entry in np.ravel(load_mat(path, "names"))][1:]
    if len(names) not in (182, len(used)):
        raise DataSetError(f"{path} names {len(names)} classes; COCO-Stuff has 182, {len(used)} of them in use")
    return names if len(names) == len(used) else [names[value - 1] for value in used]


def read_stuff_labels(path: Path) -> UInt8[np.ndarray, "h w"]:
    return load_mat(path, "S").astype(np.uint8)


def load_mat(path: Path, variable: str) -> np.ndarray:
    # imported here: scipy's readers load slowly, and no other data set needs them
    from scipy.io import loadmat

    try:
        return loadmat(path, variable_names=[variable])[variable]
    except Exception as error:  # on damaged bytes scipy's readers raise almost any type
        raise ImageError(f"{path}: no labels of COCO-Stuff 10k ({error!r}); download it again") from error


def lip_scenes(root: Path | str, split: str = "val") -> SceneSet:
    """Return Look into Person, from `{train,val}_images/*.jpg` and `{train,val}_segmentations/*.png`.

    Labels are 0 to 19, none is ignored; left and right parts are `mirrored`. The folders are in the root, or in
    `TrainVal_images` and `TrainVal_parsing_annotations`, as the archives unpack.
    """
    check_known(split, ("train", "val"), "split of LIP", DataSetError)
    archives = ".", "TrainVal_images", "TrainVal_images/TrainVal_images"
    images = find_home(root, archives, (f"{split}_images",), "LIP") / f"{split}_images"
    archives = ".", "TrainVal_parsing_annotations", "TrainVal_parsing_annotations/TrainVal_parsing_annotations"
    labels = find_home(root, archives, (f"{split}_segmentations",), "LIP") / f"{split}_segmentations"
    return keep_present_scenes(
        f"LIP {split}", LIP, pair_by_stem(images, labels), same_labels(20), mirrored=LIP_MIRRORED
    )


def camvid_scenes(root: Path | str, split: str = "test") -> SceneSet:
    """Return CamVid as packed by the SegNet tutorial, from `{train,val,test}/` and `{train,val,test}annot/`.

    Labels are 0 to 10; 11 (void) is ignored.
    """
    check_known(split, ("train", "val", "test"), "split of CamVid", DataSetError)
    home = find_home(root, (".", "CamVid"), (split, f"{split}annot"), "CamVid")
    return keep_present_scenes(
        f"CamVid {split}", CAMVID, pair_by_stem(home / split, home / f"{split}annot"), same_labels(11)
    )


def same_labels(classes: int) -> UInt8[np.ndarray, "256"]:
    """Return the table of a set whose stored labels are the class indices."""
    return label_table({index: index for index in range(classes)})
