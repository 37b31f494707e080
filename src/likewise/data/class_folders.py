"""FSS-1000, and any folder of `class/image + mask`: each image shows the one class of its folder."""

from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from likewise.data.episodes import Entry, EpisodeSet, keep_present
from likewise.data.layout import folders_in, images_in, read_list
from likewise.errors import DataSetError, check_known
from likewise.io.images import read_image
from likewise.io.masks import read_mask

FSS_CLASSES = {"trn": 520, "val": 240, "test": 240}
"""How many classes the splits of FSS-1000 have."""


def fss1000(root: Path | str, split: str = "test", lists: Path | str | None = None) -> EpisodeSet:
    """FSS-1000 (Li et al., CVPR 2020): `<class>/<n>.jpg` with `<class>/<n>.png`, n = 1..10.

    The classes of a split (520 / 240 / 240) come from `lists`, a folder of `{trn,val,test}.txt` with a class name a
    line (searched in `splits/fss` of the root and beside it when not given); `split` "all" takes every folder and
    needs none. A mask pixel is the object from 128 up, as HSNet reads them.
    """
    check_known(split, (*FSS_CLASSES, "all"), "split of FSS-1000", DataSetError)
    home = fss_home(root)
    if split == "all":
        classes = [folder.name for folder in folders_in(home)]
    else:
        places = [Path(lists)] if lists is not None else [p / "splits/fss" for p in (Path(root), home, home.parent)]
        folder = next((place for place in places if (place / f"{split}.txt").is_file()), None)
        if folder is None:
            looked = ", ".join(str(place / f"{split}.txt") for place in places)
            raise DataSetError(
                f"the class list of FSS-1000 {split} is needed: looked for {looked}; split 'all' needs no list"
            )
        classes = read_list(folder / f"{split}.txt")
        if len(classes) != FSS_CLASSES[split]:
            raise DataSetError(
                f"{folder / f'{split}.txt'} lists {len(classes)} classes, FSS-1000 {split} has {FSS_CLASSES[split]}"
            )
    listed = [Entry(f"{name}/{n}", name) for name in classes for n in range(1, 11)]
    return keep_present(
        "FSS-1000",
        None,
        split,
        classes,
        listed,
        partial(fss_image, home),
        partial(fss_class, home),
        partial(fss_mask, home),
    )


def fss_home(root: Path | str) -> Path:
    """The first of the usual places under `root` with a folder that holds 1.jpg and 1.png."""
    places = [Path(root) / place for place in (".", "FSS-1000", "fewshot_data", "FSS-1000/fewshot_data")]
    for place in places:
        folders = folders_in(place) if place.is_dir() else []
        if any((folder / "1.jpg").is_file() and (folder / "1.png").is_file() for folder in folders):
            return place
    looked = ", ".join(map(str, places))
    raise DataSetError(f"{root} does not hold FSS-1000: looked for <class>/1.jpg and <class>/1.png in {looked}")


def fss_image(home: Path, image: str) -> Path:
    return home / f"{image}.jpg"


def fss_mask(home: Path, image: str) -> Path:
    return home / f"{image}.png"


def fss_class(home: Path, image: str, class_name: str) -> UInt8[np.ndarray, "h w"]:
    mask = read_image(fss_mask(home, image))[..., 0] >= 128
    return own_class(mask, image, class_name)


def own_class(mask: np.ndarray, image: str, class_name: str) -> UInt8[np.ndarray, "h w"]:
    """The mask for the class of the image's folder, nothing for another class."""
    return (mask & (image.split("/")[0] == class_name)).astype(np.uint8)


def class_folders(root: Path | str) -> EpisodeSet:
    """Any folder of `<class>/<image>` with its mask beside it.

    The mask of `a.jpg` is `a_mask.png` or `a.png` in the same folder; `likewise.io.masks.read_mask` says what counts
    as the object. An image without a mask, and a mask without its image, count as missing.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataSetError(f"a folder of classes: the folder {root} does not exist")
    files: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    folders = folders_in(root)
    for folder in folders:
        inside = images_in(folder)
        photos = {p.stem for p in inside if p.suffix.lower() != ".png"}
        for path in inside:
            stem = path.stem.removesuffix("_mask")
            is_mask = stem != path.stem or (path.suffix.lower() == ".png" and stem in photos)
            (masks if is_mask else files)[f"{folder.name}/{stem}"] = path
    if not files.keys() & masks.keys():
        raise DataSetError(
            f"{root} does not hold a folder of classes: looked in {len(folders)} folders for <class>/<image> with "
            "<image>_mask.png or <image>.png beside it"
        )
    listed = [Entry(image, image.split("/")[0]) for image in dict.fromkeys((*files, *masks))]
    classes = dict.fromkeys(entry.class_name for entry in listed)
    image_path, mask_path = partial(folder_file, root, files), partial(folder_file, root, masks)
    read_class = partial(folder_class, masks)
    return keep_present(root.name, None, "all", tuple(classes), listed, image_path, read_class, mask_path)


def folder_file(root: Path, files: dict[str, Path], image: str) -> Path:
    return files.get(image, root / image)


def folder_class(masks: dict[str, Path], image: str, class_name: str) -> UInt8[np.ndarray, "h w"]:
    return own_class(read_mask(masks[image]), image, class_name)
