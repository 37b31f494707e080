"""Write results: masks, label maps, probabilities, overlays, cutouts, COCO JSON and a table of areas.

`WRITERS` holds the formats with one file for each image, `SUMMARIES` those with one file for all images.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from pycocotools import mask as coco_mask

from likewise.errors import ArgumentError, ImageError, check_known
from likewise.io.atomic import write_atomically
from likewise.io.images import open_image, save_image, save_pillow
from likewise.io.paths import OUTPUT_SUFFIXES
from likewise.viz import draw

Pixels = UInt8[np.ndarray, "h w 3"]
ESCAPE = "backslashreplace"


@runtime_checkable
class Result(Protocol):
    """The part of `likewise.Result` and `likewise.SceneResult` that the writers use."""

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
    @property
    def stored(self) -> tuple[int, ...]: ...


def write_mask(image: Pixels, result: Result, path: Path) -> None:
    """Write a PNG of 0 and 255; for several classes the same as `write_labels`."""
    if len(result.classes) == 1:
        save_image(result.mask, path)
    else:
        write_labels(image, result, path)


def write_labels(image: Pixels, result: Result, path: Path) -> None:
    """Write a palette PNG whose indices are the stored labels of the classes."""
    labels = result.labels
    if result.stored:
        table = np.zeros(256, np.uint8)
        table[result.first_label : result.first_label + len(result.stored)] = result.stored
        labels = table[labels]
    save_pillow(draw.paletted(labels, result.first_label), path)


def write_legend(classes: tuple[str, ...], labels: Sequence[int] | None, path: Path) -> None:
    """Write a CSV table of the label, the class and the colour of label images; `labels` of None are 1, 2, ..."""
    colours = draw.label_palette(draw.MOST_CLASSES)
    if labels is not None:
        colours = np.roll(colours, -1, axis=0)
    named = enumerate(("background", *classes)) if labels is None else zip(labels, classes, strict=True)
    with write_atomically(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["label", "class", "red", "green", "blue"])
        table.writerows([label, name, *colours[label].tolist()] for label, name in named)


def write_probability(image: Pixels, result: Result, path: Path) -> None:
    """Write a 16-bit PNG of `result.probability`, scaled from [0, 1] to [0, 65535]."""
    save_image(np.rint(result.probability * np.float32(65535)).astype(np.uint16), path)


def write_overlay(image: Pixels, result: Result, path: Path) -> None:
    """Write a JPEG of the image with its classes tinted and outlined; a PNG would be four to five times as large."""
    save_image(draw.overlay(image, result.labels + np.uint8(1 - result.first_label)), path)


def write_cutout(image: Pixels, result: Result, path: Path) -> None:
    """Write an RGBA PNG of the object; transparent pixels are black."""
    alpha = result.mask.astype(np.uint8)[..., None]
    save_image(np.concatenate([image * alpha, alpha * np.uint8(255)], axis=2), path)


# format: (suffix of its files, writer)
WRITERS: dict[str, tuple[str, Callable[[Pixels, Result, Path], None]]] = {
    "mask": (OUTPUT_SUFFIXES["mask"], write_mask),
    "labels": (OUTPUT_SUFFIXES["labels"], write_labels),
    "probability": (OUTPUT_SUFFIXES["probability"], write_probability),
    "overlay": (OUTPUT_SUFFIXES["overlay"], write_overlay),
    "cutout": (OUTPUT_SUFFIXES["cutout"], write_cutout),
}


@dataclass(frozen=True)
class Region:
    """The pixels of one class in one image.

    Attributes:
        category: 1 for the first class.
        counts: COCO's compressed run lengths.
        score: Of the class, in [0, 1].
    """

    category: int
    counts: str
    score: float


@dataclass(frozen=True)
class Regions:
    """The regions of one image, with its name and size in pixels."""

    name: str
    height: int
    width: int
    regions: tuple[Region, ...]

    def coded_masks(self) -> Iterator[tuple[Region, dict[str, Any]]]:
        """Yield each region with its mask as pycocotools reads it."""
        for region in self.regions:
            yield region, {"size": [self.height, self.width], "counts": region.counts.encode("ascii")}


def regions_of(name: str, result: Result) -> Regions:
    """Return a region for each class that has a pixel."""
    found = []
    for index, score in enumerate(result.scores):
        plane = result.labels == index + result.first_label
        if plane.any():
            found.append(Region(index + 1, encode(plane), float(score)))
    height, width = result.labels.shape
    return Regions(name, height, width, tuple(found))


def regions_of_file(name: str, path: Path, classes: tuple[str, ...]) -> Regions | None:
    """Return the regions of a mask or label file that a person made; None for an unreadable one."""
    try:
        labels = np.array(open_image(path)[1].convert("L" if len(classes) == 1 else "P"))
    except ImageError:
        return None
    if len(classes) == 1:
        labels = labels > 127
    planes = ((index, labels == index) for index in range(1, len(classes) + 1))
    height, width = labels.shape
    return Regions(name, height, width, tuple(Region(index, encode(own), 1.0) for index, own in planes if own.any()))


def encode(mask: Bool[np.ndarray, "h w"]) -> str:
    """Return COCO's compressed run lengths of a mask."""
    return coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode("ascii")


def coco_document(images: Iterable[Regions], classes: tuple[str, ...]) -> dict[str, Any]:
    """Return COCO's detection format; each annotation has a score, as in COCO's results.

    Ids of categories (in the order of `classes`), images and annotations start at 1. An image without an object has no
    annotations.
    """
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image in images:
        image_id = len(entries) + 1
        entries.append({"id": image_id, "file_name": image.name, "height": image.height, "width": image.width})
        for region, coded in image.coded_masks():
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": region.category,
                    "segmentation": {"size": coded["size"], "counts": region.counts},
                    "area": int(coco_mask.area(coded)),
                    "bbox": [float(edge) for edge in coco_mask.toBbox(coded)],
                    "iscrowd": 0,
                    "score": region.score,
                }
            )
    return {
        "info": {"description": "made by likewise"},
        "licenses": [],
        "images": entries,
        "annotations": annotations,
        "categories": [{"id": index, "name": name} for index, name in enumerate(classes, start=1)],
    }


def write_coco(images: Iterable[Regions], classes: tuple[str, ...], path: Path) -> None:
    """Write `coco_document` as JSON."""
    document = coco_document(images, classes)
    with write_atomically(path) as part:
        part.write_text(json.dumps(document))


def write_areas(images: Iterable[Regions], classes: tuple[str, ...], path: Path) -> None:
    """Write a CSV table with the number of pixels of each class in each image."""
    # names of files need not be UTF-8
    with write_atomically(path) as part, part.open("w", newline="", encoding="utf-8", errors=ESCAPE) as file:
        table = csv.writer(file)
        table.writerow(["image", "width", "height", *classes])
        for image in images:
            areas = dict.fromkeys(range(1, len(classes) + 1), 0)
            areas |= {region.category: int(coco_mask.area(coded)) for region, coded in image.coded_masks()}
            table.writerow([image.name, image.width, image.height, *areas.values()])


def write_scores(images: Iterable[Regions], classes: tuple[str, ...], path: Path) -> None:
    """Write a CSV table with the pixels and the score of each class in each image; 0 for a class without pixels."""
    with write_atomically(path) as part, part.open("w", newline="", encoding="utf-8", errors=ESCAPE) as file:
        table = csv.writer(file)
        table.writerow(["image", "class", "pixels", "score"])
        for image in images:
            found = {region.category: (coco_mask.area(coded), region.score) for region, coded in image.coded_masks()}
            for index, name in enumerate(classes, start=1):
                pixels, score = found.get(index, (0, 0.0))
                table.writerow([image.name, name, pixels, f"{score:.4f}"])


# format: (name of its file, writer)
SUMMARIES: dict[str, tuple[str, Callable[[Iterable[Regions], tuple[str, ...], Path], None]]] = {
    "coco": ("coco.json", write_coco),
    "areas": ("areas.csv", write_areas),
    "scores": ("scores.csv", write_scores),
}
FORMATS = (*WRITERS, *SUMMARIES)


def check_formats(names: Iterable[str], known: Iterable[str] = FORMATS) -> tuple[str, ...]:
    """Return the format names without duplicates.

    Raises:
        ArgumentError: A name is not in `known`, or there is none.
    """
    names = tuple(dict.fromkeys(names))
    if not names:
        raise ArgumentError(f"no output format; formats are {', '.join(known)}")
    for name in names:
        check_known(name, known, "format")
    return names
