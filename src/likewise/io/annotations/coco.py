"""COCO's JSON: polygons, run lengths compressed or not, boxes; crowds.

https://cocodataset.org/#format-data
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from likewise.errors import DataSetError, warn
from likewise.io.annotations.dataset import AnnotatedImage, Annotations, Object
from likewise.io.annotations.files import ImageFinder, damage_of, read_json, write_json
from likewise.io.annotations.shapes import (
    Box,
    Polygons,
    RunLengths,
    Shape,
    ShapeError,
    Size,
    box,
    encode,
    encode_counts,
    ring_of,
)

MOST_ID = 2**31 - 1
"""Ids of 32 bits are what every tool can read."""


def read(path: Path, finder: ImageFinder, document: Any = None) -> Annotations:
    """Return the images and objects of a file. Annotations without an area, such as keypoints, are left out.

    Raises:
        DataSetError: An entry lacks a field, names an image or category that the file does not have, or shares its id.
    """
    document = read_json(path) if document is None else document
    with damage_of(path, "COCO", "an entry"):
        # some tools write ids as texts in one place and as numbers in another
        names = {str(entry["id"]): str(entry["name"]) for entry in document["categories"]}
        entries = _by_id(document["images"], path)
        named = {key: finder.named(str(entry["file_name"]), path) for key, entry in entries.items()}
        sizes = {named[key]: _size(entry) for key, entry in entries.items()}  # an image may be listed twice
        objects: dict[tuple[str, Path | None], list[Object]] = {image: [] for image in sizes}
        for entry in document["annotations"]:
            image = named[str(entry["image_id"])]
            shape = _shape(entry)
            if shape is not None:
                crowd = bool(entry.get("iscrowd", 0))
                one = Object(names[str(entry["category_id"])], shape, entry.get("score"), crowd)
                objects[image].append(one)
        images = [AnnotatedImage(name, tuple(objects[name, file]), file, size) for (name, file), size in sizes.items()]
    left_out = len(document["annotations"]) - sum(len(image.objects) for image in images)
    if left_out:
        warn(f"{path}: {left_out} annotations have neither a polygon, a mask nor a box of numbers, and are left out")
    return Annotations(images, tuple(dict.fromkeys(names.values())), "coco")


def _size(entry: dict[str, Any]) -> Size | None:
    return (int(entry["height"]), int(entry["width"])) if entry.get("height") and entry.get("width") else None


def _by_id(entries: list[dict[str, Any]], path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        other = found.setdefault(str(entry["id"]), entry)
        if other is not entry:
            raise DataSetError(
                f"{path}: {other['file_name']} and {entry['file_name']} both have the image id {entry['id']}; files "
                "that are joined need new ids"
            )
    return found


def _shape(entry: dict[str, Any]) -> Shape | None:
    coded = entry.get("segmentation")
    if isinstance(coded, dict):
        height, width = coded["size"]
        if isinstance(coded["counts"], str):
            return RunLengths((height, width), coded["counts"])
        return encode_counts(coded["counts"], (height, width))
    try:
        rings = [ring_of(numbers) for numbers in coded or () if len(numbers) > 5]
        if rings:
            return Polygons(tuple((ring,) for ring in rings))
        if entry.get("bbox"):
            x, y, width, height = map(float, entry["bbox"])
            return box(x, y, x + width, y + height)
    except ShapeError:
        return None
    return None


def write(images: Iterable[AnnotatedImage], classes: tuple[str, ...], path: Path, tolerance: float) -> None:
    """Write one file. Boxes and polygons without holes stay what they are, other shapes become run lengths.

    Ids of categories (in the order of `classes`) and annotations start at 1; those of images are `image_id`. An image
    without an object has no annotations. An object of a model has a score, as in COCO's results.
    """
    entries: list[dict[str, Any]] = []
    used: set[int] = set()
    annotations: list[dict[str, Any]] = []
    categories = {name: index for index, name in enumerate(classes, start=1)}
    for image in images:
        number = image_id(image.name, used)
        used.add(number)
        height, width = image.size
        entries.append({"id": number, "file_name": image.name, "height": height, "width": width})
        for one in image.objects:
            annotation: dict[str, Any] = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": categories[one.class_name],
            }
            annotation |= _coded(image, one)
            if one.score is not None:
                annotation["score"] = one.score
            annotations.append(annotation)
    document = {
        "info": {"description": "made by likewise"},
        "licenses": [],
        "images": entries,
        "annotations": annotations,
        "categories": [{"id": index, "name": name} for name, index in categories.items()],
    }
    write_json(path, document)


def image_id(name: str, used: Container[int] = ()) -> int:
    """Return the id of an image: a hash of its name, from 1 to 2**31 - 1, so that it stays when images are added.

    Args:
        used: Ids of other images; the next free one is taken.
    """
    number = int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8]) % MOST_ID
    while number + 1 in used:
        number = (number + 1) % MOST_ID
    return number + 1


def _coded(image: AnnotatedImage, one: Object) -> dict[str, Any]:
    if isinstance(one.shape, Box):
        left, top, right, bottom = one.shape.edges
        box = [left, top, right - left, bottom - top]
        return {"segmentation": [], "area": box[2] * box[3], "bbox": box, "iscrowd": int(one.crowd)}
    runs = one.shape if isinstance(one.shape, RunLengths) else encode(image.mask_of(one))
    coded = {"size": list(runs.size), "counts": runs.counts.encode("ascii")}
    segmentation: Any = {"size": list(runs.size), "counts": runs.counts}
    if isinstance(one.shape, Polygons) and all(len(rings) == 1 for rings in one.shape.parts) and not one.crowd:
        segmentation = [rings[0].ravel().tolist() for rings in one.shape.parts]
    return {
        "segmentation": segmentation,
        "area": int(coco_mask.area(coded)),
        "bbox": [float(edge) for edge in coco_mask.toBbox(coded)],
        "iscrowd": int(one.crowd),
    }
