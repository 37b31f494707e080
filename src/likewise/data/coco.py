"""COCO-20i: the eighty object classes of COCO in four folds of twenty, in the two conventions in use.

Interleaved (HSNet, PFENet): fold f tests classes f, f + 4, f + 8, ... of 0 to 79. Contiguous (PANet): classes 20 f to
20 f + 19.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from likewise.data.class_masks import file_in, read_label_class
from likewise.data.class_names import COCO
from likewise.data.episodes import Entry, EpisodeSet
from likewise.data.folds import MIN_CLASS_PIXELS, entries_by_pixels, fold_set
from likewise.data.layout import find_home
from likewise.errors import DataSetError, check_known
from likewise.io.labels import IGNORE

FOLD_CONVENTIONS = ("interleaved", "contiguous")

Instances = dict[str, tuple[tuple[int, int], dict[str, list[dict[str, Any]]]]]
"""The (h, w) of each image by name, and the instance annotations of each class in it."""


def coco20i(
    root: Path | str, fold: int, split: str = "val", folds: str = "interleaved", drop_leaking: bool = False
) -> EpisodeSet:
    """Return a split of COCO-20i, from mask PNGs or instance JSON.

    Layout: `{train,val}2014/*.jpg`, and `annotations/{train,val}2014/*.png` (labels 0, 1 to 80 in the order of the
    category ids, 255 ignored) or else `annotations/instances_{train,val}2014.json`. A class with at least 2048 pixels
    in an image is an entry; for JSON the areas of its instances are added. The mask of a class is the union of its
    instances; crowd regions, which are not outlined, are IGNORE.

    Args:
        split: "val", the twenty novel classes of the fold in the validation images, or "trn", the other sixty classes
            in the training images.
        folds: "interleaved" or "contiguous".
        drop_leaking: leave out the training images with an entry of a novel class.
    """
    check_known(fold, range(4), "fold of COCO-20i", DataSetError)
    check_known(split, ("trn", "val"), "split of COCO-20i", DataSetError)
    check_known(folds, FOLD_CONVENTIONS, "fold convention of COCO-20i", DataSetError)
    part = "train2014" if split == "trn" else "val2014"
    home = find_home(root, (".", "COCO", "coco", "COCO2014"), (part, "annotations"), "COCO-20i (2014)")
    novel = COCO[fold::4] if folds == "interleaved" else COCO[20 * fold : 20 * fold + 20]
    pngs, instances_json = home / "annotations" / part, home / "annotations" / f"instances_{part}.json"
    if pngs.is_dir():
        label_path = partial(file_in, pngs, ".png")
        entries = entries_by_pixels(sorted(path.stem for path in pngs.glob("*.png")), COCO, label_path)
        read_class = partial(read_label_class, label_path, {name: index for index, name in enumerate(COCO, start=1)})
    elif instances_json.is_file():
        instances = read_instances(instances_json)
        entries = [
            Entry(image, name)
            for image, (_, by_class) in instances.items()
            for name in COCO
            if sum(one["area"] for one in by_class.get(name, ()) if not one["iscrowd"]) >= MIN_CLASS_PIXELS
        ]
        read_class = partial(read_instance_class, instances)
    else:
        raise DataSetError(f"{root} does not hold masks of COCO-20i: looked for {pngs} and {instances_json}")
    image_path = partial(file_in, home / part, ".jpg")
    dataset = EpisodeSet("COCO-20i", fold, split, COCO, tuple(entries), image_path, read_class)
    return fold_set(dataset, novel, drop_leaking=drop_leaking)


def read_instances(path: Path) -> Instances:
    """Return the instances in an instance JSON by image and class name; classes follow the ascending category ids."""
    try:
        tables = json.loads(path.read_text())
        ids = sorted(category["id"] for category in tables["categories"])
        if len(ids) != len(COCO):
            raise DataSetError(f"{path} has {len(ids)} categories; COCO has {len(COCO)}")
        names = dict(zip(ids, COCO, strict=True))
        images = sorted(tables["images"], key=lambda image: image["file_name"])
        by_class: dict[int, dict[str, list[dict[str, Any]]]] = {image["id"]: {} for image in images}
        for one in tables["annotations"]:
            by_class[one["image_id"]].setdefault(names[one["category_id"]], []).append(one)
        return {
            Path(image["file_name"]).stem: ((image["height"], image["width"]), by_class[image["id"]])
            for image in images
        }
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataSetError(f"{path} is not an instance JSON of COCO: {error!r}") from error


def read_instance_class(instances: Instances, image: str, class_name: str) -> UInt8[np.ndarray, "h w"]:
    """Return 1 on the instances of the class, IGNORE on the rest of its crowd regions, else 0."""
    # imported here: a compiled module that only instance JSON needs
    from pycocotools import mask as run_lengths

    (height, width), by_class = instances[image]
    labels = np.zeros((height, width), np.uint8)
    for one in sorted(by_class.get(class_name, ()), key=lambda one: -one["iscrowd"]):
        shape = one["segmentation"]
        if isinstance(shape, list):
            shape = run_lengths.merge(run_lengths.frPyObjects(shape, height, width))
        elif isinstance(shape["counts"], list):
            shape = run_lengths.frPyObjects(shape, height, width)
        labels[run_lengths.decode(shape) == 1] = IGNORE if one["iscrowd"] else 1
    return labels
