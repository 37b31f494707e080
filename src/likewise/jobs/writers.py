"""Write results: masks, label maps, ids of objects, probabilities, overlays, cutouts, annotations, a table of areas.

`WRITERS` holds the formats with one file for each image, `SUMMARIES` those that are written once for all images.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int, Int32, Integer
from PIL import Image
from pycocotools import mask as coco_mask

from likewise.errors import ArgumentError, ImageError, OutputError, check_known, requires_extra
from likewise.io.annotations import FORMATS as ANNOTATIONS
from likewise.io.annotations import AnnotatedImage, Object, RunLengths
from likewise.io.annotations.geojson import write_features
from likewise.io.annotations.outlines import TOLERANCE, outline
from likewise.io.annotations.shapes import encode_runs
from likewise.io.components import Runs, find_runs, join_runs, label_pieces
from likewise.io.images import ScaledImage, save_image, save_pillow
from likewise.io.opening import open_file
from likewise.io.paths import OUTPUT_SUFFIXES
from likewise.io.tables import write_rows
from likewise.predict.result import Result as PredictedResult
from likewise.predict.result import SceneResult
from likewise.viz import draw

Result = PredictedResult | SceneResult


def write_mask(image: ScaledImage, result: Result, path: Path) -> None:
    """Write a PNG of 0 and 255; for several classes the same as `write_labels`."""
    if len(result.classes) == 1:
        save_image(result.mask, path)
    else:
        write_labels(image, result, path)


def write_labels(image: ScaledImage, result: Result, path: Path) -> None:
    """Write a palette PNG whose indices are the stored labels of the classes."""
    labels = result.labels
    if result.stored:
        table = np.zeros(256, np.uint8)
        table[result.first_label : result.first_label + len(result.stored)] = result.stored
        labels = table[labels]
    save_pillow(draw.paletted(labels, result.first_label), path)


def write_legend(classes: tuple[str, ...], labels: Sequence[int] | None, path: Path) -> None:
    """Write a CSV table of the label, the class and the colour of label images; `labels` of None are 1, 2, ..."""
    colours = draw.label_palette()
    if labels is not None:
        colours = np.roll(colours, -1, axis=0)
    named = enumerate(("background", *classes)) if labels is None else zip(labels, classes, strict=True)
    rows = ((label, name, *colours[label].tolist()) for label, name in named)
    write_rows(path, ("label", "class", "red", "green", "blue"), rows)


def write_probability(image: ScaledImage, result: Result, path: Path) -> None:
    """Write a 16-bit PNG of `result.probability`, scaled from [0, 1] to [0, 65535]."""
    save_image(np.rint(result.probability * np.float32(65535)).astype(np.uint16), path)


def write_overlay(image: ScaledImage, result: Result, path: Path) -> None:
    """Write a JPEG of the image with its classes tinted and outlined; a PNG would be four to five times as large."""
    save_image(draw.overlay(image.whole, result.labels + np.uint8(1 - result.first_label)), path)


def write_cutout(image: ScaledImage, result: Result, path: Path) -> None:
    """Write an RGBA PNG of the object; transparent pixels are black."""
    alpha = result.mask.astype(np.uint8)[..., None]
    save_image(np.concatenate([image.whole * alpha, alpha * np.uint8(255)], axis=2), path)


def write_instance(image: ScaledImage, result: Result, path: Path) -> None:
    """Write a 16-bit PNG of the numbers of the objects, those of the table's ids.

    Raises:
        OutputError: More than 65535 objects.
    """
    pieces = objects_of(result)
    if pieces.max(initial=0) > np.iinfo(np.uint16).max:
        raise OutputError(f"{path}: {pieces.max()} objects; 16 bits have room for 65535")
    save_image(pieces.astype(np.uint16), path)


def write_geojson(image: ScaledImage, result: Result, path: Path) -> None:
    """Write the outlines of the objects in pixels."""
    regions = regions_of(path.name, result)
    write_features(
        path,
        (
            (result.classes[region.category - 1], region.score, outline(coco_mask.decode(coded).astype(bool)))
            for region, coded in regions.coded_masks()
        ),
    )


# format: (suffix of its files, writer)
WRITERS: dict[str, tuple[str, Callable[[ScaledImage, Result, Path], None]]] = {
    "mask": (OUTPUT_SUFFIXES["mask"], write_mask),
    "labels": (OUTPUT_SUFFIXES["labels"], write_labels),
    "probability": (OUTPUT_SUFFIXES["probability"], write_probability),
    "overlay": (OUTPUT_SUFFIXES["overlay"], write_overlay),
    "cutout": (OUTPUT_SUFFIXES["cutout"], write_cutout),
    "instance": (OUTPUT_SUFFIXES["instance"], write_instance),
    "geojson": (OUTPUT_SUFFIXES["geojson"], write_geojson),
}


def encode(format: str, image: ScaledImage, result: Result) -> bytes:
    """Return the content of a format's file for one image."""
    suffix, write = WRITERS[format]
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"image{suffix}"
        write(image, result, path)
        return path.read_bytes()


@dataclass(frozen=True)
class Region:
    """One object of a class in one image, or the pixels of a class of a scene.

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
    """Return a region for each object; for each class of a scene, whose regions are no objects."""
    if isinstance(result, PredictedResult) and result.separate:
        return _regions_of_instances(name, result)
    height, width = result.labels.shape
    runs = find_runs(_transposed(result.labels if result.first_label else result.labels + np.uint8(1)))
    presences = tuple(result.presences or ())
    if not len(runs.row):
        return Regions(name, height, width, (), presences)
    keys = _pieces_in_order(runs, height) if result.first_label else runs.value.astype(np.intp)
    sums, counts = _sample_pieces(runs, keys, result.plane, (height, width))
    first = np.zeros(len(counts), np.uint8)
    first[keys] = runs.value
    sizes = np.bincount(keys, runs.end - runs.start, len(counts))
    means = sums / counts.clip(1)
    found = []
    for piece, coded in encode_runs(runs, keys, (height, width)).items():
        index = int(first[piece]) - 1
        of_class = first == first[piece]
        mean = np.average(means[of_class], weights=sizes[of_class])
        share = means[piece] / mean if mean else 1.0
        score = min(float(result.scores[index] * share), 1.0) if of_class.sum() > 1 else float(result.scores[index])
        found.append(Region(index + 1, coded.counts, score))
    return Regions(name, height, width, tuple(found), presences)


def _regions_of_instances(name: str, result: PredictedResult) -> Regions:
    found, (height, width) = result.instances, result.labels.shape
    runs = find_runs(_transposed(found.ids))
    regions = tuple(
        Region(int(found.labels[number - 1]), coded.counts, float(found.scores[number - 1]))
        for number, coded in encode_runs(runs, runs.value.astype(np.intp), (height, width)).items()
    )
    return Regions(name, height, width, regions, tuple(result.presences or ()))


def _transposed(labels: Integer[np.ndarray, "h w"]) -> Integer[np.ndarray, "w h"]:
    return np.asarray(Image.fromarray(labels).transpose(Image.Transpose.TRANSPOSE))  # numpy takes three times as long


def _pieces_in_order(runs: Runs, height: int) -> Int[np.ndarray, " n"]:
    """Return the number of each run's piece as `label_pieces` counts them, for runs down the columns."""
    pieces = join_runs(runs, height)
    width = runs.row.max(initial=0) + 1
    first = np.full(pieces.max(initial=0) + 1, np.iinfo(np.int64).max)
    first[0] = -1
    np.minimum.at(first, pieces, runs.start * width + runs.row)
    number = np.empty(len(first), np.intp)
    number[np.argsort(first)] = np.arange(len(first))
    return number[pieces]


def _sample_pieces(
    runs: Runs, pieces: Int[np.ndarray, " n"], plane: Float32[np.ndarray, "hp wp"], size: tuple[int, int]
) -> tuple[Float64[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Return the sum of the plane over each piece and the number of its positions there, at least one."""
    rows, columns = (
        ((np.arange(n) + 0.5) * (length / n)).astype(np.intp) for n, length in zip(plane.shape, size, strict=True)
    )
    sums = np.zeros((plane.shape[1], plane.shape[0] + 1))
    np.cumsum(plane.T, axis=1, dtype=np.float64, out=sums[:, 1:])
    column = np.searchsorted(columns, runs.row).clip(max=len(columns) - 1)
    top, bottom = np.searchsorted(rows, runs.start), np.searchsorted(rows, runs.end)
    bottom = np.where(columns[column] == runs.row, bottom, top)
    count = int(pieces.max(initial=0)) + 1
    total = np.bincount(pieces, sums[column, bottom] - sums[column, top], count)
    positions = np.bincount(pieces, bottom - top, count).astype(np.intp)
    missed = np.flatnonzero(positions == 0)[1:]  # pieces between the positions; 0 is no piece
    run = np.argsort(pieces, kind="stable")[np.searchsorted(np.sort(pieces), missed)]
    near = runs.start[run] * plane.shape[0] // size[0], runs.row[run] * plane.shape[1] // size[1]
    total[missed], positions[missed] = plane[near], 1
    return total, positions


def objects_of(result: Result) -> Int32[np.ndarray, "h w"]:
    """Return the number of each pixel's object: a connected region, or one of the result's instances."""
    if isinstance(result, PredictedResult) and result.separate:
        return result.instances.ids
    return label_pieces(result.labels)


def regions_of_file(name: str, path: Path, classes: tuple[str, ...]) -> Regions | None:
    """Return the regions of a mask or label file that a person made; None for an unreadable one."""
    try:
        labels = np.array(open_file(path).image.convert("L" if len(classes) == 1 else "P"))
    except ImageError:
        return None
    labels = (labels > 127).astype(np.uint8) if len(classes) == 1 else np.where(labels <= len(classes), labels, 0)
    size = height, width = labels.shape
    runs = find_runs(_transposed(labels.astype(np.uint8)))
    pieces = _pieces_in_order(runs, height)
    category = dict(zip(pieces.tolist(), runs.value.tolist(), strict=True))
    coded = encode_runs(runs, pieces, size)
    return Regions(name, height, width, tuple(Region(category[key], one.counts, 1.0) for key, one in coded.items()))


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


def write_areas(images: Iterable[Regions], classes: tuple[str, ...], path: Path, paths: Mapping[str, Path]) -> None:
    """Write a CSV table with the number of pixels of each class in each image."""

    def row(image: Regions) -> tuple[object, ...]:
        areas = dict.fromkeys(range(1, len(classes) + 1), 0)
        for region, coded in image.coded_masks():
            areas[region.category] += int(coco_mask.area(coded))
        return image.name, image.width, image.height, *areas.values()

    write_rows(path, ("image", "width", "height", *classes), map(row, images))


def write_scores(images: Iterable[Regions], classes: tuple[str, ...], path: Path, paths: Mapping[str, Path]) -> None:
    """Write a CSV table with pixels, score (0 without pixels) and presence (if judged) of each class in each image."""

    def rows() -> Iterator[tuple[object, ...]]:
        for image in images:
            regions = [(region, int(coco_mask.area(coded))) for region, coded in image.coded_masks()]
            for index, name in enumerate(classes, start=1):
                own = [(pixels, region.score) for region, pixels in regions if region.category == index]
                area = sum(pixels for pixels, _ in own)
                score = sum(pixels * score for pixels, score in own) / max(area, 1)
                presence = f"{image.presences[index - 1]:.4f}" if index <= len(image.presences) else ""
                yield image.name, name, area, f"{score:.4f}", presence

    write_rows(path, ("image", "class", "pixels", "score", "presence"), rows())


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
        MissingExtraError: What a format needs is not installed.
    """
    names = tuple(dict.fromkeys(names))
    if not names:
        raise ArgumentError(f"no output format; formats are {', '.join(known)}")
    for name in names:
        check_known(name, known, "format")
    if "parquet" in names:
        with requires_extra("jobs", "the format parquet"):
            import pyarrow  # noqa: F401 (before the first image, since the tables are written after the last)
    return names
