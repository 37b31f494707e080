"""Write results: masks, label maps, ids of objects, probabilities, overlays, cutouts, annotations, a table of areas.

`WRITERS` holds the formats with one file for each image, `SUMMARIES` those that are written once for all images.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from pycocotools import mask as coco_mask

from likewise.errors import ArgumentError, ImageError, OutputError, check_known
from likewise.io.annotations import FORMATS as ANNOTATIONS
from likewise.io.annotations import AnnotatedImage, Object, RunLengths
from likewise.io.annotations.outlines import TOLERANCE
from likewise.io.annotations.shapes import encode_values
from likewise.io.atomic import write_atomically
from likewise.io.components import label_pieces
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


def write_instance(image: Pixels, result: Result, path: Path) -> None:
    """Write a 16-bit PNG of the numbers of connected pieces, those of the table's ids.

    Raises:
        OutputError: More than 65535 pieces.
    """
    pieces = label_pieces(result.labels)
    if pieces.max(initial=0) > np.iinfo(np.uint16).max:
        raise OutputError(f"{path}: {pieces.max()} objects; 16 bits have room for 65535")
    save_image(pieces.astype(np.uint16), path)


# format: (suffix of its files, writer)
WRITERS: dict[str, tuple[str, Callable[[Pixels, Result, Path], None]]] = {
    "mask": (OUTPUT_SUFFIXES["mask"], write_mask),
    "labels": (OUTPUT_SUFFIXES["labels"], write_labels),
    "probability": (OUTPUT_SUFFIXES["probability"], write_probability),
    "overlay": (OUTPUT_SUFFIXES["overlay"], write_overlay),
    "cutout": (OUTPUT_SUFFIXES["cutout"], write_cutout),
    "instance": (OUTPUT_SUFFIXES["instance"], write_instance),
}


@dataclass(frozen=True)
class Region:
    """The connected pixels of one class in one image.

    Attributes:
        category: 1 for the first class.
        counts: COCO's compressed run lengths.
        score: The mean probability of its pixels, in [0, 1].
    """

    category: int
    counts: str
    score: float


@dataclass(frozen=True)
class Regions:
    """The regions of one image, its name, its size in pixels, and `presences` of the classes if a model judges them."""

    name: str
    height: int
    width: int
    regions: tuple[Region, ...]
    presences: tuple[float, ...] = ()

    def coded_masks(self) -> Iterator[tuple[Region, dict[str, Any]]]:
        """Yield each region with its mask as pycocotools reads it."""
        for region in self.regions:
            yield region, {"size": [self.height, self.width], "counts": region.counts.encode("ascii")}


def regions_of(name: str, result: Result) -> Regions:
    """Return a region for each connected piece of a class; for each class of a scene, whose regions are no objects."""
    pieces = label_pieces(result.labels) if result.first_label else result.labels + 1
    flat = pieces.ravel()
    sizes = np.bincount(flat)
    sums = np.bincount(flat, result.probability.ravel())
    first = np.zeros(len(sizes), np.uint8)
    first[flat[::-1]] = result.labels.ravel()[::-1]
    found = []
    for piece, runs in encode_values(pieces).items():
        index = int(first[piece]) - result.first_label
        of_class = (first == first[piece]) & (np.arange(len(first)) > 0)
        mean = sums[of_class].sum() / sizes[of_class].sum()
        share = sums[piece] / sizes[piece] / mean if mean else 1.0
        score = min(float(result.scores[index] * share), 1.0) if of_class.sum() > 1 else float(result.scores[index])
        found.append(Region(index + 1, runs.counts, score))
    height, width = result.labels.shape
    return Regions(name, height, width, tuple(found), tuple(getattr(result, "presences", None) or ()))


def regions_of_file(name: str, path: Path, classes: tuple[str, ...]) -> Regions | None:
    """Return the regions of a mask or label file that a person made; None for an unreadable one."""
    try:
        labels = np.array(open_image(path)[1].convert("L" if len(classes) == 1 else "P"))
    except ImageError:
        return None
    labels = (labels > 127).astype(np.uint8) if len(classes) == 1 else np.where(labels <= len(classes), labels, 0)
    pieces = label_pieces(labels)
    runs = encode_values(pieces)
    height, width = labels.shape
    found = (Region(int(labels[pieces == piece][0]), coded.counts, 1.0) for piece, coded in runs.items())
    return Regions(name, height, width, tuple(found))


def annotated(
    images: Iterable[Regions], classes: tuple[str, ...], paths: Mapping[str, Path]
) -> Iterator[AnnotatedImage]:
    """Yield regions as annotated images; `paths` has the files of the images that are known."""
    for image in images:
        size = image.height, image.width
        objects = (
            Object(classes[region.category - 1], RunLengths(size, region.counts), region.score)
            for region in image.regions
        )
        yield AnnotatedImage(image.name, tuple(objects), paths.get(image.name), size)


def write_areas(
    images: Iterable[Regions], classes: tuple[str, ...], path: Path, paths: Mapping[str, Path] | None = None
) -> None:
    """Write a CSV table with the number of pixels of each class in each image."""
    # names of files need not be UTF-8
    with write_atomically(path) as part, part.open("w", newline="", encoding="utf-8", errors=ESCAPE) as file:
        table = csv.writer(file)
        table.writerow(["image", "width", "height", *classes])
        for image in images:
            areas = dict.fromkeys(range(1, len(classes) + 1), 0)
            for region, coded in image.coded_masks():
                areas[region.category] += int(coco_mask.area(coded))
            table.writerow([image.name, image.width, image.height, *areas.values()])


def write_scores(
    images: Iterable[Regions], classes: tuple[str, ...], path: Path, paths: Mapping[str, Path] | None = None
) -> None:
    """Write a CSV table with pixels, score (0 without pixels) and presence (if judged) of each class in each image."""
    with write_atomically(path) as part, part.open("w", newline="", encoding="utf-8", errors=ESCAPE) as file:
        table = csv.writer(file)
        table.writerow(["image", "class", "pixels", "score", "presence"])
        for image in images:
            regions = [(region, int(coco_mask.area(coded))) for region, coded in image.coded_masks()]
            for index, name in enumerate(classes, start=1):
                own = [(pixels, region.score) for region, pixels in regions if region.category == index]
                area = sum(pixels for pixels, _ in own)
                score = sum(pixels * score for pixels, score in own) / max(area, 1)
                presence = f"{image.presences[index - 1]:.4f}" if index <= len(image.presences) else ""
                table.writerow([image.name, name, area, f"{score:.4f}", presence])


def write_annotated(
    format: str, images: Iterable[Regions], classes: tuple[str, ...], path: Path, paths: Mapping[str, Path]
) -> None:
    """Write the regions of all images in an annotation format."""
    ANNOTATIONS[format][1](annotated(images, classes, paths), classes, path, TOLERANCE)


Summary = Callable[[Iterable[Regions], tuple[str, ...], Path, Mapping[str, Path]], None]

# format: (name of its file or folder, writer)
SUMMARIES: dict[str, tuple[str, Summary]] = {
    **{name: (ANNOTATIONS[name][0], partial(write_annotated, name)) for name in ANNOTATIONS if ANNOTATIONS[name][0]},
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
