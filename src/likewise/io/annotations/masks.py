"""Images with mask files: masks of one class, label images with a legend, maps of object ids with a table."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from likewise.errors import DataSetError, requires_extra
from likewise.io.annotations.dataset import AnnotatedImage, Annotations, Object
from likewise.io.annotations.files import ImageFinder, output_path, save_palette
from likewise.io.annotations.shapes import Bitmap, bounds, encode_values
from likewise.io.atomic import write_atomically
from likewise.io.class_lists import LEGEND, NamedLabel, read_palette, voc_palette
from likewise.io.images import save_image
from likewise.io.labels import IGNORE
from likewise.io.masks import read_labels
from likewise.io.paths import OUTPUT_SUFFIXES, Listings, find_images, find_mask
from likewise.io.stored_values import stored_values
from likewise.io.tables import write_rows

TABLE, COUNTS = "objects.csv", "counts.csv"
COLUMNS = ("image", "id", "class", "score", "area", "left", "top", "width", "height", "x", "y")
"""Of the table of objects: box and centroid are in pixels."""
ROW_GROUP = 65536
"""Rows from which a row group of a Parquet file is written: pyarrow's readers like some tens of thousands."""
Row = tuple[Any, ...]


def read(path: Path, finder: ImageFinder) -> Annotations:
    """Return the images of a folder that have a mask file (`find_mask`).

    With ``legend.csv`` a mask is a label image, and x.instance.png holds ids of the objects in ``objects.csv``; else it
    shows one class, named like the folder.

    Raises:
        DataSetError: No image has a mask.
    """
    legend = {named.label: named for named in read_palette(path / LEGEND)} if (path / LEGEND).is_file() else {}
    table = _read_table(path / TABLE) if (path / TABLE).is_file() else {}
    listings, images = Listings(), []
    for file in find_images([path]):
        ids = next((each for each in listings.named(file.path.parent, f"{file.path.stem}.instance")), None)
        mask = ids or find_mask(file.path, listings)
        if mask is None:
            continue
        if ids is not None:
            numbers = encode_values(stored_values(ids).values.astype(np.int64))
            rows = (
                (shape, table.get((file.name, number), (path.resolve().name, None)))
                for number, shape in numbers.items()
            )
            objects = tuple(Object(name, shape, score) for shape, (name, score) in rows)
        elif legend:
            objects = _labelled(mask, legend)
        else:
            objects = (Object(path.resolve().name, Bitmap(mask)),)
        images.append(AnnotatedImage(file.name, objects, file.path))
    if not images:
        raise DataSetError(f"{path}: no image in this folder has a mask")
    named = [each.name for label, each in legend.items() if label != 0 or each.name != "background"]
    return Annotations.of(images, "mask", named)


def _labelled(mask: Path, legend: dict[int | None, NamedLabel]) -> tuple[Object, ...]:
    present = [value for value in np.unique(read_labels(mask)).tolist() if value != IGNORE]
    named = [(legend[value].name if value in legend else str(value), value) for value in present]
    return tuple(Object(name, Bitmap(mask, value)) for name, value in named if value or name != "background")


def _read_table(path: Path) -> dict[tuple[str, int], tuple[str, float | None]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        return {
            (row["image"], int(row["id"])): (row["class"], float(row["score"]) if row.get("score") else None)
            for row in rows
        }
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise DataSetError(f"{path}: no table of objects; its columns are {', '.join(COLUMNS)} ({error})") from error


def write(images: Iterable[AnnotatedImage], classes: tuple[str, ...], folder: Path, tolerance: float) -> None:
    """Write x.mask.png: 0 and 255 for one class, else a palette PNG of labels and ``legend.csv``.

    Where objects overlap, the later one covers the earlier one. Objects of a class are united.
    """
    if len(classes) >= IGNORE:
        raise DataSetError(f"{len(classes)} classes; a palette PNG has room for {IGNORE - 1}")
    for image in images:
        labels, path = image.labels(classes), output_path(folder, image.name, OUTPUT_SUFFIXES["mask"])
        if len(classes) == 1:
            save_image(labels == 1, path)
        else:
            save_palette(labels, path)
    if len(classes) != 1:
        named = zip(("background", *classes), voc_palette(), strict=False)
        rows = [(label, name, *colour) for label, (name, colour) in enumerate(named)]
        write_rows(folder / LEGEND, ("label", "class", "red", "green", "blue"), rows)


def write_instances(images: Iterable[AnnotatedImage], classes: tuple[str, ...], folder: Path, tolerance: float) -> None:
    """Write x.instance.png, 16-bit ids from 1 in the order of the objects, and ``objects.csv``. Crowds are lost."""
    images = list(images)
    for image in images:
        ids = np.zeros(image.size, np.uint16)
        objects = [one for one in image.objects if not one.crowd]
        if len(objects) > np.iinfo(np.uint16).max:
            raise DataSetError(f"{image.name}: {len(objects)} objects; 16 bits have room for 65535")
        for number, one in enumerate(objects, start=1):
            ids[image.mask_of(one)] = number
        save_image(ids, output_path(folder, image.name, OUTPUT_SUFFIXES["instance"]))
    write_table(images, classes, folder / TABLE, tolerance)


def write_table(images: Iterable[AnnotatedImage], classes: tuple[str, ...], path: Path, tolerance: float) -> None:
    """Write a CSV table with a row for each object, and beside it ``counts.csv``: objects of each class in each image.

    Ids are numbers within the image, from 1.
    """
    rows: list[tuple[object, ...]] = []
    counts: list[tuple[object, ...]] = []
    for image in images:
        for *others, score, area, left, top, width, height, x, y in _measured(image):
            shown = "" if score is None else f"{score:.6g}"
            rows.append((*others, shown, area, left, top, width, height, f"{x:.1f}", f"{y:.1f}"))
        counts.append((image.name, *_counted(image, classes)))
    write_rows(path, COLUMNS, rows)
    write_rows(path.with_name(COUNTS), ("image", *classes), counts)


def write_parquet(images: Iterable[AnnotatedImage], classes: tuple[str, ...], path: Path, tolerance: float) -> None:
    """Write the tables of `write_table` as Parquet, in row groups, so that any number of images fits in memory.

    A class named image counts in a column "image (class)", since names of columns are unique.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    with requires_extra("jobs", "the format parquet"):
        import pyarrow
        from pyarrow import parquet

    text, number, real = pyarrow.string(), pyarrow.int64(), pyarrow.float64()
    types = (text, number, text, real, number, number, number, number, number, real, real)
    schemas = (
        pyarrow.schema(list(zip(COLUMNS, types, strict=True))),
        pyarrow.schema(
            [("image", text), *((f"{name} (class)" if name == "image" else name, number) for name in classes)]
        ),
    )
    names = (path, path.with_name(Path(COUNTS).with_suffix(".parquet").name))
    with ExitStack() as open_files:
        parts = [open_files.enter_context(write_atomically(name)) for name in names]
        writers = [
            open_files.enter_context(parquet.ParquetWriter(part, schema, compression="zstd"))
            for part, schema in zip(parts, schemas, strict=True)
        ]
        waiting: tuple[list[Row], list[Row]] = ([], [])

        def flush(least: int) -> None:
            for rows, writer, schema in zip(waiting, writers, schemas, strict=True):
                if len(rows) >= least:
                    columns = list(zip(*rows, strict=True)) or [[] for _ in schema]
                    writer.write_table(pyarrow.table([list(column) for column in columns], schema=schema))
                    rows.clear()

        for image in images:
            name = image.name.encode("utf-8", "backslashreplace").decode()  # names of files need not be UTF-8
            waiting[0].extend((name, *row) for _, *row in _measured(image))
            waiting[1].append((name, *_counted(image, classes)))
            flush(ROW_GROUP)
        flush(0)


def _measured(image: AnnotatedImage) -> Iterator[Row]:
    """Yield a row of `COLUMNS` for each object that is no crowd."""
    for number, one in enumerate((one for one in image.objects if not one.crowd), start=1):
        mask = image.mask_of(one)
        left, top, right, bottom = bounds(mask)
        part = mask[top:bottom, left:right]
        area = int(part.sum())
        x, y = (
            start + float(part.sum(axis=axis) @ (np.arange(part.shape[1 - axis]) + 0.5)) / max(area, 1)
            for axis, start in ((0, left), (1, top))
        )
        yield image.name, number, one.class_name, one.score, area, left, top, right - left, bottom - top, x, y


def _counted(image: AnnotatedImage, classes: tuple[str, ...]) -> tuple[int, ...]:
    names = Counter(one.class_name for one in image.objects if not one.crowd)
    return tuple(names[name] for name in classes)
