"""Fully labelled images for scene parsing: VOC, ADE20K, Cityscapes, COCO-Stuff 10k, LIP, CamVid and plain folders.

Inside, a label map holds the class's index 0 .. K-1 and `IGNORE` (255); each loader states the convention it
converts from. Every loader takes the root of the public download.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from likewise.data.class_names import (
    CAMVID,
    CITYSCAPES,
    CITYSCAPES_IDS,
    LIP,
    LIP_MIRRORED,
    PASCAL,
    mirrored_pairs,
)
from likewise.data.layout import (
    Presence,
    find_home,
    images_in,
    read_list,
)
from likewise.errors import DataSetError, ImageError, check_known
from likewise.io.labels import IGNORE
from likewise.io.masks import read_labels
from likewise.io.paths import natural_order


@dataclass(frozen=True)
class Scene:
    """An image and its label file."""

    image: Path
    labels: Path


@dataclass(frozen=True)
class SceneSet:
    """An index of labelled images. `read_labels(path)` gives uint8 (h, w) with 0 .. K-1 and IGNORE.

    `mirrored` names the pairs of class indices that change places when an image is mirrored (left and right arm).
    """

    name: str
    classes: tuple[str, ...]
    scenes: tuple[Scene, ...]
    presence: Presence
    read_labels: Callable[[Path], np.ndarray] = field(repr=False)
    mirrored: tuple[tuple[int, int], ...] = ()


def voc_scenes(root: Path | str, split: str = "val") -> SceneSet:
    """PASCAL VOC 2012: labels 0 (background), 1..20, 255 ignored.

    `SegmentationClassAug` (with SBD) is taken where it is there, else `SegmentationClass`. `split` is a list of
    `ImageSets/Segmentation` (train, val, trainval, ...), or "all" for every mask.
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
        names = read_list(lists / f"{split}.txt")
    pairs = [(home / "JPEGImages" / f"{name}.jpg", masks / f"{name}.png") for name in names]
    return present_scenes(f"VOC 2012 {split}", ("background", *PASCAL), pairs, identity(21))


def ade20k_scenes(root: Path | str, split: str = "val") -> SceneSet:
    """ADE20K as `ADEChallengeData2016`: `{images,annotations}/{training,validation}`; labels 1..150, 0 is ignored.

    Names are those of the download's own `objectInfo150.txt`.
    """
    check_known(split, ("train", "val"), "split of ADE20K", DataSetError)
    home = find_home(
        root, (".", "ADEChallengeData2016"), ("images", "annotations", "objectInfo150.txt"), "ADE20K (scene parsing)"
    )
    part = {"train": "training", "val": "validation"}[split]
    # a header, then Idx, Ratio, Train, Val, Name between tabs
    rows = [line.split("\t") for line in read_list(home / "objectInfo150.txt")[1:]]
    classes = [row[-1].split(",")[0].strip() for row in rows]
    pairs = by_stem(home / "images" / part, home / "annotations" / part)
    return present_scenes(f"ADE20K {split}", classes, pairs, table({i + 1: i for i in range(len(classes))}))


def cityscapes_scenes(root: Path | str, split: str = "val") -> SceneSet:
    """Cityscapes: `leftImg8bit/<split>/<city>/*_leftImg8bit.png`, `gtFine/<split>/<city>/*_gtFine_labelIds.png`.

    The 19 evaluated label ids become 0..18, all others are ignored.
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
    lookup = table({value: i for i, value in enumerate(CITYSCAPES_IDS)})
    return present_scenes(f"Cityscapes {split}", CITYSCAPES, pairs, lookup)


def cocostuff10k_scenes(root: Path | str, split: str = "test") -> SceneSet:
    """COCO-Stuff 10k v1.1: `images/*.jpg`, `annotations/*.mat`, `imageLists/{train,test}.txt`.

    The matrix `S` of a .mat holds 0 (unlabelled, ignored) and 1..182, of which 11 never occur; the 171 used ones
    become 0..170 in their order, under the names that the same files carry.
    """
    check_known(split, ("train", "test"), "split of COCO-Stuff 10k", DataSetError)
    home = find_home(
        root, (".", "cocostuff-10k-v1.1"), ("images", "annotations", f"imageLists/{split}.txt"), "COCO-Stuff 10k"
    )
    names = read_list(home / "imageLists" / f"{split}.txt")
    pairs = [(home / "images" / f"{name}.jpg", home / "annotations" / f"{name}.mat") for name in names]
    used = [value for value in range(1, 183) if value not in COCOSTUFF_UNUSED]
    first = next((labels for _, labels in pairs if labels.is_file()), None)
    classes = stuff_names(first, used) if first else [f"label {value}" for value in used]
    lookup = table({value: i for i, value in enumerate(used)})
    return present_scenes(f"COCO-Stuff 10k {split}", classes, pairs, lookup, read_stuff)


COCOSTUFF_UNUSED = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91})
"""Labels of COCO's first list that were never annotated."""


def stuff_names(path: Path, used: Sequence[int]) -> list[str]:
    """Class names out of a .mat of COCO-Stuff: "unlabeled", then either all 182 names or those of the used labels."""
    names = [str(np.ravel(entry)[0]) for entry in np.ravel(load_mat(path, "names"))][1:]
    if len(names) not in (182, len(used)):
        raise DataSetError(f"{path} names {len(names)} classes, COCO-Stuff has 182, of which {len(used)} are used")
    return names if len(names) == len(used) else [names[value - 1] for value in used]


def read_stuff(path: Path) -> UInt8[np.ndarray, "h w"]:
    return load_mat(path, "S").astype(np.uint8)


def load_mat(path: Path, variable: str) -> np.ndarray:
    # scipy's readers take a while to load, and no other data set needs them
    from scipy.io import loadmat

    try:
        return loadmat(path, variable_names=[variable])[variable]
    except Exception as error:  # on damaged bytes scipy's readers raise nearly anything
        raise ImageError(
            f"{path} is no label file of COCO-Stuff 10k with the variable {variable} ({error!r}); download it again"
        ) from error


def lip_scenes(root: Path | str, split: str = "val") -> SceneSet:
    """Look into Person: `{train,val}_images/*.jpg`, `{train,val}_segmentations/*.png`, labels 0..19, none ignored.

    The folders stand in the root, or in `TrainVal_images` and `TrainVal_parsing_annotations` as the archives unpack.
    Left and right parts are `mirrored`.
    """
    check_known(split, ("train", "val"), "split of LIP", DataSetError)
    archives = ".", "TrainVal_images", "TrainVal_images/TrainVal_images"
    images = find_home(root, archives, (f"{split}_images",), "LIP") / f"{split}_images"
    archives = ".", "TrainVal_parsing_annotations", "TrainVal_parsing_annotations/TrainVal_parsing_annotations"
    labels = find_home(root, archives, (f"{split}_segmentations",), "LIP") / f"{split}_segmentations"
    return present_scenes(f"LIP {split}", LIP, by_stem(images, labels), identity(20), mirrored=LIP_MIRRORED)


def camvid_scenes(root: Path | str, split: str = "test") -> SceneSet:
    """CamVid as SegNet packs it: `{train,val,test}/`, `{train,val,test}annot/`; labels 0..10, 11 (void) is ignored."""
    check_known(split, ("train", "val", "test"), "split of CamVid", DataSetError)
    home = find_home(root, (".", "CamVid"), (split, f"{split}annot"), "CamVid")
    return present_scenes(f"CamVid {split}", CAMVID, by_stem(home / split, home / f"{split}annot"), identity(11))


def folder_scenes(
    images: Path | str,
    labels: Path | str,
    classes: Path | str | Sequence[str] | None = None,
    *,
    strict: bool = False,
) -> SceneSet:
    """Any folder of images and one of label PNGs with the same stems (it may be the same folder).

    `classes` are the names of labels 0, 1, ..., or a text file with a line `<label> <name>`, or just `<name>` for
    0, 1, ...; labels without a name are ignored, or with `strict` an error that names file, label and count when the
    file is read. Without it every label but 255 that occurs in the first 100 files, with `strict` in any, is a class
    named by its number. Classes whose names differ by left and right are `mirrored`.
    """
    images, labels = Path(images), Path(labels)
    for folder in images, labels:
        if not folder.is_dir():
            raise DataSetError(f"a folder of images and labels: the folder {folder} does not exist")
    pairs = by_stem(images, labels)
    if classes is None:
        values: set[int] = set()
        for _, path in pairs if strict else pairs[:100]:
            if path.is_file():
                values |= set(np.unique(read_labels(path)).tolist())
        named = {value: str(value) for value in sorted(values - {IGNORE})}
    elif isinstance(classes, str | Path):
        named = read_class_table(Path(classes))
    else:
        named = dict(enumerate(classes))
    lookup = table({value: i for i, value in enumerate(named)})
    names = tuple(named.values())
    read = partial(read_named, tuple(named)) if strict else read_labels
    return present_scenes(images.name, names, pairs, lookup, read, mirrored_pairs(names))


def read_named(known_values: tuple[int, ...], path: Path) -> UInt8[np.ndarray, "h w"]:
    """The labels of a file; raises `ImageError` for one that is neither a known value nor 255."""
    labels = read_labels(path)
    counts = np.bincount(labels.ravel(), minlength=IGNORE + 1)
    counts[[*known_values, IGNORE]] = 0
    strange = counts.nonzero()[0]
    if strange.size:
        shown = ", ".join(f"{value} ({counts[value]} pixels)" for value in strange[:4])
        raise ImageError(
            f"{path}: holds labels that are no class: {shown}{', ...' if strange.size > 4 else ''}; there are "
            f"{len(known_values)} classes, labels {_ranges(known_values)}, and {IGNORE} for what does not count: name "
            "them among the classes, or make them 255"
        )
    return labels


def _ranges(values: tuple[int, ...]) -> str:
    if values == tuple(range(len(values))):
        return f"0 to {len(values) - 1}"
    return ", ".join(map(str, values[:12])) + (", ..." if len(values) > 12 else "")


def read_class_table(path: Path) -> dict[int, str]:
    """Label -> name, from lines `<label> <name>` or, when no line starts with a number, `<name>` for 0, 1, ..."""
    lines = read_list(path)
    if not any(line.split()[0].isdecimal() for line in lines):
        return dict(enumerate(lines))
    found = {}
    for line in lines:
        value, _, name = line.replace("\t", " ").partition(" ")
        if not value.isdecimal() or int(value) >= IGNORE or not name.strip() or int(value) in found:
            raise DataSetError(f"{path}: {line!r} is not <label 0-254, once> <name>")
        found[int(value)] = name.strip()
    return found


def table(values: Mapping[int, int]) -> UInt8[np.ndarray, "256"]:
    """Stored label -> class index; whatever is not named becomes IGNORE."""
    lookup = np.full(256, IGNORE, np.uint8)
    for stored, index in values.items():
        lookup[stored] = index
    return lookup


def identity(classes: int) -> UInt8[np.ndarray, "256"]:
    return table({i: i for i in range(classes)})


def by_stem(images: Path, labels: Path) -> list[tuple[Path, Path]]:
    """Pairs of image and label PNG of one stem; a partner that is not there gets the name it should have."""
    pngs = {path.stem: path for path in images_in(labels) if path.suffix.lower() == ".png"}
    photos = {path.stem: path for path in images_in(images) if path not in pngs.values()}
    stems = sorted({**photos, **pngs}, key=natural_order)
    return [(photos.get(s, images / f"{s}.jpg"), pngs.get(s, labels / f"{s}.png")) for s in stems]


def present_scenes(
    name: str,
    classes: Sequence[str],
    pairs: Sequence[tuple[Path, Path]],
    lookup: UInt8[np.ndarray, "256"],
    read: Callable[[Path], np.ndarray] = read_labels,
    mirrored: tuple[tuple[int, int], ...] = (),
) -> SceneSet:
    """The set of those pairs of which both files are there; the others are counted."""
    there = [Scene(*pair) for pair in pairs if pair[0].is_file() and pair[1].is_file()]
    if not there:
        example = f", for example {pairs[0][0]} with {pairs[0][1]}" if pairs else ""
        raise DataSetError(f"none of the {len(pairs)} images of {name} is present{example}")
    missing = tuple(p.stem for p, labels in pairs if not (p.is_file() and labels.is_file()))
    presence = Presence(name, len(pairs), missing)
    return SceneSet(name, tuple(classes), tuple(there), presence, partial(converted, lookup, read), mirrored)


def converted(
    lookup: UInt8[np.ndarray, "256"], read: Callable[[Path], np.ndarray], path: Path
) -> UInt8[np.ndarray, "h w"]:
    return lookup[read(path)]
