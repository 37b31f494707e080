"""YOLO's text files: polygons and boxes in fractions of the image, with the class names in data.yaml or classes.txt.

https://docs.ultralytics.com/datasets/segment/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from likewise.errors import DataSetError
from likewise.io.annotations.dataset import AnnotatedImage, Annotations, Object
from likewise.io.annotations.files import (
    ImageFinder,
    files_below,
    images_below,
    output_path,
    read_each,
    write_text,
)
from likewise.io.annotations.outlines import join, polygons_of
from likewise.io.annotations.shapes import Box, Polygons, Shape, ring_of
from likewise.io.class_lists import read_class_table, read_lines
from likewise.io.images import read_size
from likewise.io.paths import Listings, visible_entries

SPLITS = ("train", "val", "valid", "test")
YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
CLASS_FILES = ("classes.txt", "obj.names", "labels.txt")


def read(path: Path, finder: ImageFinder) -> Annotations:
    """Return the images of a data.yaml, of a folder with images and text files, or of one text file.

    An image without a text file has no objects. Images in a folder ``images`` have their text files in ``labels``.

    Raises:
        DataSetError: A damaged file, or no image; images are needed, since their sizes are.
    """
    if path.suffix.lower() == ".txt":
        image = finder.of_stem(path)
        if image is None:
            raise DataSetError(f"{path}: its image {path.stem}.jpg is not beside it; YOLO's numbers need its size")
        return read_files([(image, image.name, path)], names_beside(path.parent))
    table = path if path.is_file() else find_table(path)
    folder = path if path.is_dir() else path.parent
    inner = next((entry for entry in visible_entries(folder) if entry.name.lower() == "images"), folder)
    names, places = _read_table(table) if table else (names_beside(folder), [])
    listings, pairs = Listings(), []
    for place in dict.fromkeys(places or [inner]):
        for image in images_below(place):
            labels = _labels_of(image, listings)
            if table or labels is not None:
                pairs.append((image, image.relative_to(place).as_posix(), labels))
    if not pairs:
        raise DataSetError(f"{path}: no image with a YOLO label file; images/x.jpg needs labels/x.txt")
    return read_files(pairs, names)


def read_files(files: Iterable[tuple[Path, str, Path | None]], names: dict[int, str]) -> Annotations:
    """Return the objects of images with these names and text files; classes without a name are called by number."""
    named, used = {image: (name, labels) for image, name, labels in files}, dict(names)

    def read_one(image: Path) -> AnnotatedImage:
        name, labels = named[image]
        size = read_size(image)[0]
        objects = []
        for index, shape, score in _read_objects(labels, size) if labels else ():
            objects.append(Object(used.setdefault(index, str(index)), shape, score))
        return AnnotatedImage(name, tuple(objects), image, size)

    images = read_each(list(named), read_one)
    return Annotations(images, tuple(name for _, name in sorted(used.items())), "yolo")


def _read_objects(path: Path, size: tuple[int, int]) -> Iterator[tuple[int, Shape, float | None]]:
    height, width = size
    for number, line in enumerate(read_lines(path), start=1):
        try:
            index, *numbers = map(float, line.split())
            if not numbers or len(numbers) < 4 or not index.is_integer() or not np.isfinite(numbers).all():
                raise ValueError
        except ValueError:
            raise DataSetError(f"{path}: line {number} is no YOLO label, <class> <numbers>: {line[:60]!r}") from None
        if max(map(abs, numbers)) > 2:
            raise DataSetError(f"{path}: line {number} is in pixels; YOLO's numbers are fractions of the image")
        score = numbers.pop() if len(numbers) % 2 else None  # a prediction ends with its confidence
        if len(numbers) == 4:
            x, y, across, down = numbers
            left, top = (x - across / 2) * width, (y - down / 2) * height
            yield int(index), Box((left, top, left + across * width, top + down * height)), score
        else:
            yield int(index), Polygons(((ring_of(numbers) * (width, height),),)), score


def _labels_of(image: Path, listings: Listings) -> Path | None:
    """Return the text file of an image, beside it or in ``labels`` for ``images``."""
    places = [image.parent]
    for folder in image.parents:
        if folder.name.lower() == "images":
            places.append(folder.with_name("labels") / image.parent.relative_to(folder))
            break
    files = [file for place in places for file in listings.named(place, image.stem)]
    return next(
        (file for file in files if file.suffix.lower() == ".txt" and file.name.lower() not in CLASS_FILES), None
    )


def names_beside(folder: Path) -> dict[int, str]:
    """Return the class names of a list in the folder or the one above."""
    for place in (folder, folder.parent):
        if table := find_table(place):
            return _read_table(table)[0]
        for entry in visible_entries(place):
            if entry.name.lower() in CLASS_FILES:
                return read_class_table(entry)
    return {}


def find_table(folder: Path) -> Path | None:
    """Return the data.yaml of a folder, or its only YAML file with a list of names."""
    files = [entry for entry in visible_entries(folder) if entry.suffix.lower() in (".yaml", ".yml")]
    usual = next((file for file in files if file.name.lower() in YAML_NAMES), None)
    named = [file for file in files if re.search(r"^names\s*:", file.read_text("utf-8-sig", "replace"), re.MULTILINE)]
    return usual or (named[0] if len(named) == 1 else None)


def _read_table(path: Path) -> tuple[dict[int, str], list[Path]]:
    """Return the class names and the folders of images that a data.yaml names."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
        names: Any = content["names"]
        found = {
            int(index): str(name) for index, name in (names.items() if isinstance(names, dict) else enumerate(names))
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise DataSetError(f"{path}: looks like YOLO, but lacks a list of names ({error})") from error
    places = []
    for split in SPLITS:
        given = content.get(split)
        for one in given if isinstance(given, list) else [given] if given else []:
            # an absolute path is of the machine that exported it; Roboflow writes ../train/images for train/images
            parts = [part for part in PurePosixPath(str(one).replace("\\", "/")).parts if part not in ("..", ".", "/")]
            inside = [path.parent.joinpath(*parts[start:]) for start in range(len(parts))]
            places += [place for place in inside if place.is_dir()][:1]
    return found, places


def is_folder(folder: Path) -> bool:
    """Return whether a folder holds YOLO's files."""
    names = {entry.name.lower(): entry for entry in visible_entries(folder)}
    if find_table(folder):
        return True
    if "labels" in names and names["labels"].is_dir():
        return any(path.name.lower() not in CLASS_FILES for path in files_below(names["labels"], ".txt"))
    return "classes.txt" in names and any(name.endswith(".txt") for name in names if name not in CLASS_FILES)


def write(images: Iterable[AnnotatedImage], classes: tuple[str, ...], folder: Path, tolerance: float) -> None:
    """Write ``data.yaml`` and ``labels/x.txt``; the images belong in ``images``.

    Boxes stay boxes. Parts and holes of a polygon are connected by lines without width. Scores and crowds are lost.
    """
    for image in images:
        height, width = image.size
        lines = []
        for one in image.objects:
            if one.crowd:
                continue
            if isinstance(one.shape, Box):
                left, top, right, bottom = one.shape.edges
                numbers = np.array([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top])
                numbers /= (width, height, width, height)
            else:
                shape = polygons_of(image, one, tolerance)
                if not shape.parts:
                    continue
                numbers = (join(shape) / (width, height)).clip(0, 1).ravel()
            lines.append(" ".join([str(classes.index(one.class_name)), *(f"{number:.8g}" for number in numbers)]))
        write_text(output_path(folder / "labels", image.name, ".txt"), "".join(f"{line}\n" for line in lines))
    names = "".join(f"  {index}: {json.dumps(name, ensure_ascii=False)}\n" for index, name in enumerate(classes))
    write_text(folder / "data.yaml", f"path: .\ntrain: images\nval: images\nnames:\n{names or '  {}'}")
