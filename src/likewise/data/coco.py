"""COCO-20i: the eighty classes of COCO in four folds of twenty, in both conventions of the papers.

Interleaved (HSNet, PFENet): fold f tests classes f, f + 4, f + 8, ... of 0..79. Contiguous (PANet): classes
20 f .. 20 f + 19.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from likewise.data.class_names import COCO
from likewise.data.episodes import (
    LEAST_PIXELS,
    Entry,
    EpisodeSet,
    entries_by_rule,
    keep_present,
    leakage,
    one_class,
)
from likewise.data.layout import find_home
from likewise.errors import DataSetError, check_known
from likewise.io.labels import IGNORE
from likewise.io.masks import read_labels

FOLD_CONVENTIONS = ("interleaved", "contiguous")

Instances = dict[str, tuple[tuple[int, int], dict[str, list[dict[str, Any]]]]]
"""Image name -> its (h, w), and the instance annotations of each class in it."""


def coco20i(
    root: Path | str,
    fold: int,
    split: str = "val",
    folds: str = "interleaved",
    year: int = 2014,
    drop_leaking: bool = False,
) -> EpisodeSet:
    """COCO-20i from mask PNGs or instance JSON.

    Layout: `{train,val}<year>/*.jpg`, and `annotations/{train,val}<year>/*.png` (labels 0, 1..80 in the order of the
    category ids, 255 ignored) or else `annotations/instances_{train,val}<year>.json`. `split` "val" holds the twenty
    novel classes of `fold` in the validation images, "trn" the other sixty in the training images. An entry is a
    class with at least 2048 pixels in an image (by the sum of the instances' areas for JSON).

    A mask is the union of a class's instances. Crowd regions of that class are IGNORE, since nobody outlined them.
    `drop_leaking` leaves out the training images in which a novel class has an entry too.
    """
    check_known(fold, range(4), "fold of COCO-20i", DataSetError)
    check_known(split, ("trn", "val"), "split of COCO-20i", DataSetError)
    check_known(folds, FOLD_CONVENTIONS, "fold convention of COCO-20i", DataSetError)
    part = f"{'train' if split == 'trn' else 'val'}{year}"
    home = find_home(root, (".", "COCO", "coco", f"COCO{year}"), (part, "annotations"), f"COCO-20i ({year})")
    chosen = range(fold, 80, 4) if folds == "interleaved" else range(20 * fold, 20 * fold + 20)
    novel = [COCO[i] for i in chosen]
    classes = novel if split == "val" else [name for name in COCO if name not in novel]
    pngs, instances_json = home / "annotations" / part, home / "annotations" / f"instances_{part}.json"
    image_path = partial(coco_image, home / part)
    if pngs.is_dir():
        images = sorted(path.stem for path in pngs.glob("*.png"))
        everything = entries_by_rule(images, COCO, partial(png_labels, pngs), LEAST_PIXELS)
        read_class = partial(png_class, pngs)
    elif instances_json.is_file():
        instances = read_instances(instances_json)
        everything = [
            Entry(image, name)
            for image, (_, shown) in instances.items()
            for name in COCO
            if sum(one["area"] for one in shown.get(name, ()) if not one["iscrowd"]) >= LEAST_PIXELS
        ]
        read_class = partial(instances_class, instances)
    else:
        raise DataSetError(f"{root} does not hold masks of COCO-20i: looked for {pngs} and {instances_json}")
    leaking = leakage(everything, novel).leaking if drop_leaking and split == "trn" else frozenset()
    listed = [entry for entry in everything if entry.class_name in classes and entry.image not in leaking]
    return keep_present("COCO-20i", fold, split, classes, listed, image_path, read_class)


def coco_image(folder: Path, image: str) -> Path:
    return folder / f"{image}.jpg"


def png_labels(folder: Path, image: str) -> UInt8[np.ndarray, "h w"]:
    return read_labels(folder / f"{image}.png")


def png_class(folder: Path, image: str, class_name: str) -> UInt8[np.ndarray, "h w"]:
    return one_class(png_labels(folder, image), COCO.index(class_name) + 1)


def read_instances(path: Path) -> Instances:
    """The instances of every image of an instance JSON, under our class names; categories go by ascending id."""
    try:
        tables = json.loads(path.read_text())
        ids = sorted(category["id"] for category in tables["categories"])
        if len(ids) != len(COCO):
            raise DataSetError(f"{path} has {len(ids)} categories, COCO has {len(COCO)}")
        names = dict(zip(ids, COCO, strict=True))
        images = sorted(tables["images"], key=lambda image: image["file_name"])
        shown: dict[int, dict[str, list[dict[str, Any]]]] = {image["id"]: {} for image in images}
        for one in tables["annotations"]:
            shown[one["image_id"]].setdefault(names[one["category_id"]], []).append(one)
        return {
            Path(image["file_name"]).stem: ((image["height"], image["width"]), shown[image["id"]]) for image in images
        }
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataSetError(f"{path} is not an instance JSON of COCO: {error!r}") from error


def instances_class(instances: Instances, image: str, class_name: str) -> UInt8[np.ndarray, "h w"]:
    """1 on the instances of the class, IGNORE on its crowd regions elsewhere, else 0."""
    # a compiled module that only JSON masks need
    from pycocotools import mask as run_lengths

    (height, width), shown = instances[image]
    labels = np.zeros((height, width), np.uint8)
    for one in sorted(shown.get(class_name, ()), key=lambda one: -one["iscrowd"]):
        shape = one["segmentation"]
        if isinstance(shape, list):
            shape = run_lengths.merge(run_lengths.frPyObjects(shape, height, width))
        elif isinstance(shape["counts"], list):
            shape = run_lengths.frPyObjects(shape, height, width)
        labels[run_lengths.decode(shape) == 1] = IGNORE if one["iscrowd"] else 1
    return labels
