"""What a result is written as: masks, label maps, probabilities, overlays, cutouts, COCO's JSON, a table of areas.

`WRITERS` has the formats with one file an image, `SUMMARIES` those with one file for all of them.
"""

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from pycocotools import mask as coco_mask

from likewise.io.atomic import write_atomically
from likewise.io.images import save_image, save_pillow
from likewise.io.paths import OUTPUT_SUFFIXES
from likewise.viz import draw

Pixels = UInt8[np.ndarray, "h w 3"]


@runtime_checkable
class Result(Protocol):
    """What the writers need to know of `likewise.predict.few_shot.Result`."""

    @property
    def mask(self) -> Bool[np.ndarray, "h w"]: ...
    @property
    def probability(self) -> Float32[np.ndarray, "h w"]: ...
    @property
    def labels(self) -> UInt8[np.ndarray, "h w"]: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def scores(self) -> tuple[float, ...]: ...
    @property
    def first_label(self) -> int: ...


def write_mask(image: Pixels, result: Result, path: Path) -> None:
    """A 0/255 PNG; with several classes the same as `write_labels`."""
    if len(result.classes) == 1:
        save_image(result.mask, path)
    else:
        write_labels(image, result, path)


def write_labels(image: Pixels, result: Result, path: Path) -> None:
    """A palette PNG whose indices are `result.labels`."""
    save_pillow(draw.paletted(result.labels, result.first_label), path)


def write_probability(image: Pixels, result: Result, path: Path) -> None:
    """A 16-bit PNG of the probability of any class: 0 is 0, 65535 is 1."""
    save_image(np.rint(result.probability * np.float32(65535)).astype(np.uint16), path)


def write_overlay(image: Pixels, result: Result, path: Path) -> None:
    """A JPEG of the image with the classes tinted and outlined (a PNG would be four to five times as large)."""
    save_image(draw.overlay(image, result.labels + np.uint8(1 - result.first_label)), path)


def write_cutout(image: Pixels, result: Result, path: Path) -> None:
    """An RGBA PNG: the object on a transparent ground. Colours under transparent pixels are black."""
    alpha = result.mask.astype(np.uint8)[..., None]
    save_image(np.concatenate([image * alpha, alpha * np.uint8(255)], axis=2), path)


# format name: (suffix of its files, writer)
WRITERS: dict[str, tuple[str, Callable[[Pixels, Result, Path], None]]] = {
    "mask": (OUTPUT_SUFFIXES["mask"], write_mask),
    "labels": (OUTPUT_SUFFIXES["labels"], write_labels),
    "probability": (OUTPUT_SUFFIXES["probability"], write_probability),
    "overlay": (OUTPUT_SUFFIXES["overlay"], write_overlay),
    "cutout": (OUTPUT_SUFFIXES["cutout"], write_cutout),
}
COCO_FILE, AREAS_FILE = "coco.json", "areas.csv"


@dataclass(frozen=True)
class Region:
    """The pixels of one class in one image, run-length coded."""

    category: int  # 1 for the first class
    counts: str  # COCO's compressed run lengths
    score: float


@dataclass(frozen=True)
class Regions:
    """All classes' pixels in one image: what COCO's JSON has of it."""

    name: str
    height: int
    width: int
    regions: tuple[Region, ...]


def regions_of(name: str, result: Result) -> Regions:
    """A region for each class that has a pixel."""
    found = []
    for category, score in enumerate(result.scores, start=1):
        plane = result.labels == category - 1 + result.first_label
        if plane.any():
            found.append(Region(category, encode(plane), float(score)))
    height, width = result.labels.shape
    return Regions(name, height, width, tuple(found))


def encode(mask: Bool[np.ndarray, "h w"]) -> str:
    """COCO's compressed run lengths of a mask."""
    return coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode("ascii")


def coco_document(images: Iterable[Regions], classes: tuple[str, ...]) -> dict[str, Any]:
    """COCO's detection format, with a score in each annotation as in COCO's results.

    Categories are 1 to K in the order of the classes, images and annotations are counted from 1. An image
    without an object is listed without annotations.
    """
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image in images:
        image_id = len(entries) + 1
        size = [image.height, image.width]
        entries.append({"id": image_id, "file_name": image.name, "height": size[0], "width": size[1]})
        for region in image.regions:
            coded = {"size": size, "counts": region.counts.encode("ascii")}
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": region.category,
                    "segmentation": {"size": size, "counts": region.counts},
                    "area": int(coco_mask.area(coded)),
                    "bbox": [float(edge) for edge in coco_mask.toBbox(coded)],
                    "iscrowd": 0,
                    "score": region.score,
                }
            )
    categories = [{"id": index, "name": name} for index, name in enumerate(classes, start=1)]
    return {
        "info": {"description": "made by likewise"},
        "licenses": [],
        "images": entries,
        "annotations": annotations,
        "categories": categories,
    }


def write_coco(images: Iterable[Regions], classes: tuple[str, ...], path: Path) -> None:
    """Writes `coco_document` as JSON, whole or not at all."""
    document = coco_document(images, classes)
    with write_atomically(path) as part:
        part.write_text(json.dumps(document))


def write_areas(images: Iterable[Regions], classes: tuple[str, ...], path: Path) -> None:
    """Writes a CSV with the pixels of each class in each image, whole or not at all."""
    with write_atomically(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "width", "height", *classes])
        for image in images:
            areas = dict.fromkeys(range(1, len(classes) + 1), 0)
            for region in image.regions:
                coded = {"size": [image.height, image.width], "counts": region.counts.encode("ascii")}
                areas[region.category] = int(coco_mask.area(coded))
            table.writerow([image.name, image.width, image.height, *areas.values()])


# format name: (name of its file, writer)
SUMMARIES: dict[str, tuple[str, Callable[[Iterable[Regions], tuple[str, ...], Path], None]]] = {
    "coco": (COCO_FILE, write_coco),
    "areas": (AREAS_FILE, write_areas),
}
FORMATS = (*WRITERS, *SUMMARIES)


def checked_formats(names: Iterable[str]) -> tuple[str, ...]:
    """The names, each once. Raises `ValueError` for one that is not in `FORMATS`, and for none."""
    names = tuple(dict.fromkeys(names))
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        raise ValueError(f"formats are {', '.join(FORMATS)}; got {', '.join(unknown) or 'none'}")
    return names
