"""COCO's JSON: polygons, run lengths compressed or not, boxes; crowds.

https://cocodataset.org/#format-data
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from likewise.errors import DataSetError, warn
from likewise.io.annotations.dataset import AnnotatedImage, Annotations, Object
from likewise.io.annotations.files import ImageFinder, read_json, safe_name, write_json
from likewise.io.annotations.shapes import Box, Polygons, RunLengths, Shape, Size, encode, encode_counts, ring_of


def read(path: Path, finder: ImageFinder, document: Any = None) -> Annotations:
    """Return the images and objects of a file. Annotations without an area, such as keypoints, are left out.

    Raises:
        DataSetError: An entry lacks a field, or names an image or category that the file does not have.
    """
    document = read_json(path) if document is None else document
    try:
        names = {entry["id"]: str(entry["name"]) for entry in document["categories"]}
        objects: dict[Any, list[Object]] = {entry["id"]: [] for entry in document["images"]}
        sizes = {entry["id"]: _size(entry) for entry in document["images"]}
        for entry in document["annotations"]:
            shape = _shape(entry, sizes[entry["image_id"]])
            if shape is not None:
                crowd = bool(entry.get("iscrowd", 0))
                one = Object(names[entry["category_id"]], shape, entry.get("score"), crowd)
                objects[entry["image_id"]].append(one)
        images = [
            AnnotatedImage(
                name := safe_name(str(entry["file_name"]), path),
                tuple(objects[entry["id"]]),
                finder.find(name),
                sizes[entry["id"]],
            )
            for entry in document["images"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        if isinstance(error, DataSetError):
            raise
        raise DataSetError(
            f"{path}: looks like COCO, but an entry lacks or has an unknown {error}; export it again"
        ) from error
    left_out = len(document["annotations"]) - sum(len(image.objects) for image in images)
    if left_out:
        warn(f"{path}: {left_out} annotations have neither a polygon, a mask nor a box, and are left out")
    return Annotations(images, tuple(dict.fromkeys(names.values())), "coco")


def _size(entry: dict[str, Any]) -> Size | None:
    return (int(entry["height"]), int(entry["width"])) if entry.get("height") and entry.get("width") else None


def _shape(entry: dict[str, Any], size: Size | None) -> Shape | None:
    coded = entry.get("segmentation")
    if isinstance(coded, dict):
        height, width = coded["size"]
        if isinstance(coded["counts"], str):
            return RunLengths((height, width), coded["counts"])
        return encode_counts(coded["counts"], (height, width))
    rings = [ring_of(numbers) for numbers in coded or () if len(numbers) > 5]
    if rings:
        return Polygons(tuple((ring,) for ring in rings))
    if entry.get("bbox"):
        x, y, width, height = map(float, entry["bbox"])
        return Box((x, y, x + width, y + height))
    return None


def write(images: Iterable[AnnotatedImage], classes: tuple[str, ...], path: Path, tolerance: float) -> None:
    """Write one file. Boxes and polygons without holes stay what they are, other shapes become run lengths.

    Ids of categories (in the order of `classes`), images and annotations start at 1. An image without an object has no
    annotations. An object of a model has a score, as in COCO's results.
    """
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    categories = {name: index for index, name in enumerate(classes, start=1)}
    for image in images:
        image_id = len(entries) + 1
        height, width = image.size
        entries.append({"id": image_id, "file_name": image.name, "height": height, "width": width})
        for one in image.objects:
            annotation: dict[str, Any] = {
                "id": len(annotations) + 1,
                "image_id": image_id,
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
