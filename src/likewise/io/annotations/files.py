"""Files of annotations: the images that they name, and paths that stay in their folder."""

from __future__ import annotations

import filecmp
import itertools
import json
import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from likewise.errors import DataSetError, warn
from likewise.io.annotations.dataset import AnnotatedImage
from likewise.io.atomic import write_atomically
from likewise.io.class_lists import voc_palette
from likewise.io.images import save_pillow
from likewise.io.paths import (
    IMAGE_FOLDERS,
    IMAGE_SUFFIXES,
    MASK_FOLDERS,
    Listings,
    is_hidden,
    natural_order,
    pairing_key,
    visible_entries,
)

JSON_FORMATS = {
    "coco": ("COCO", ("images", "annotations", "categories")),
    "labelme": ("labelme", ("shapes", "imagePath")),
    "label-studio": ("Label Studio", ("data", "annotations")),
    "geojson": ("GeoJSON", ("type", "features")),
}
"""JSON format to its name and the keys that it needs."""

FOREIGN: dict[str, Callable[[dict[str, Any]], bool]] = {
    "VIA (VGG Image Annotator)": lambda content: any(
        name.startswith("_via_") or (isinstance(one, dict) and {"filename", "regions"} <= set(one))
        for name, one in content.items()
    ),
    "Supervisely": lambda content: {"objects", "size"} <= set(content) or "projectType" in content,
}
"""Formats that are recognised and not read."""

_MARKS = {
    "coco": ('"categories"', '"category_id"', '"file_name"', '"bbox"'),
    "labelme": ('"shapes"', '"imagePath"', '"shape_type"'),
    "label-studio": ('"from_name"', '"original_width"', '"predictions"', '"to_name"'),
    "geojson": ('"FeatureCollection"', '"geometry"', '"coordinates"'),
}
"""Words by which a damaged file is recognised."""


def safe_name(name: str, source: Path | str) -> str:
    """Return a relative path with forward slashes.

    Raises:
        DataSetError: The path is absolute or leads out of its folder.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name) or "\0" in name or not path.name:
        raise DataSetError(f"{source}: the file name {name!r} leads out of the folder of the images; make it relative")
    return str(path)


def output_path(folder: Path, name: str, suffix: str) -> Path:
    """Return the file of an image in an output folder: ``folder/sub/cat.json`` for sub/cat.jpg.

    Raises:
        DataSetError: The name leads out of the folder.
    """
    return folder / f"{PurePosixPath(safe_name(name, folder)).with_suffix('')}{suffix}"


class ImageFinder:
    """Finds the images that an annotation names.

    Args:
        root: The folder of the annotation.
        images: The folder of the images; None searches the root, folders of images in it, and those next to it.
    """

    def __init__(self, root: Path, images: Path | None = None) -> None:
        self.root = images or root
        self.places = [self.root]
        if images is None:
            inner = {*MASK_FOLDERS, "annotations", "labelme"}
            above = [root.parent, *_folders(root.parent, IMAGE_FOLDERS)] if root.name.lower() in inner else []
            self.places += [*_folders(root, IMAGE_FOLDERS), *above]
        self._index: dict[str, list[Path]] | None = None
        self._listings = Listings()

    def find(self, name: str) -> Path | None:
        """Return the image of this path: the file there, or the one in the folder whose path ends most like it.

        Case and the Unicode normal form do not matter. None if no image has this name.

        Raises:
            DataSetError: Several different images fit equally well.
        """
        for place in self.places:
            if (path := place / name).is_file():
                return path
        if self._index is None:
            self._index = {}
            for place in self.places:
                for path in images_below(place):
                    if not {part.lower() for part in path.relative_to(place).parts[:-1]} & {*MASK_FOLDERS}:
                        self._index.setdefault(pairing_key(path.name), []).append(path)
        found = {path: _common_end(path, name) for path in self._index.get(pairing_key(PurePosixPath(name).name), [])}
        first, *others = (path for path, common in found.items() if common == max(found.values())) if found else (None,)
        for other in others:
            if first is not None and not filecmp.cmp(first, other, shallow=False):
                raise DataSetError(f"{name}: there are {first} and {other}; name the folder of the images")
        return first

    def named(self, name: str, source: Path) -> tuple[str, Path | None]:
        """Return the relative path and the image of a name in an annotation file.

        An address counts by its last part. An absolute path of another machine means the image of that name here.

        Raises:
            DataSetError: The name leads out of the folder, or fits several images.
        """
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", name):
            name = PurePosixPath(urllib.parse.unquote(urllib.parse.urlparse(name).path)).name
        path = PurePosixPath(re.sub(r"^[A-Za-z]:(?=[\\/])", "", name).replace("\\", "/"))
        if path.is_absolute() and ".." not in path.parts and (image := self.find(str(path.relative_to("/")))):
            return self.name_of(image), image
        name = safe_name(name, source)
        return name, self.find(name)

    def name_of(self, image: Path) -> str:
        """Return the path of an image relative to the folder of the images."""
        inner = [place for place in self.places if image.is_relative_to(place)]
        return image.relative_to(max(inner, key=lambda place: len(place.parts), default=image.parent)).as_posix()

    def of_stem(self, path: Path, stem: str | None = None) -> Path | None:
        """Return the image that an annotation file is named after: beside it, or where images are.

        Args:
            stem: The image's path without suffix, relative to the folder of the images; None takes that of the file.
        """
        for place in (path.with_suffix(""), *(place / (stem or path.stem) for place in self.places)):
            for entry in self._listings.named(place.parent, place.name):
                if entry != path and entry.suffix.lower() in IMAGE_SUFFIXES:
                    return entry
        return None


def _common_end(path: Path, name: str) -> int:
    """Return the number of parts at their ends that a path and a name have in common."""
    pairs = zip(reversed(path.parts), reversed(PurePosixPath(name).parts), strict=False)
    return len(list(itertools.takewhile(lambda pair: pairing_key(pair[0]) == pairing_key(pair[1]), pairs)))


def _folders(folder: Path, names: Iterable[str]) -> list[Path]:
    return [entry for entry in visible_entries(folder) if entry.name.lower() in names and entry.is_dir()]


def images_below(folder: Path) -> list[Path]:
    """Return the images in a folder and its subfolders, in natural order, without hidden ones."""
    return files_below(folder, *IMAGE_SUFFIXES)


def files_below(folder: Path, *suffixes: str) -> list[Path]:
    """Return the files with one of these suffixes in a folder and its subfolders, in natural order."""
    files = [path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file()]
    files = [path for path in files if not any(map(is_hidden, path.relative_to(folder).parts))]
    return sorted(files, key=lambda path: natural_order(path.as_posix()))


def read_each(files: Sequence[Path], read: Callable[[Path], AnnotatedImage]) -> list[AnnotatedImage]:
    """Return the image of each file. If there are several, unreadable ones are left out with a warning.

    Raises:
        DataSetError: The only file, or every file, cannot be read.
    """
    images, errors = [], []
    for file in files:
        try:
            images.append(read(file))
        except DataSetError as error:
            errors.append(error)
    if errors and not images:
        raise errors[0]
    for error in errors:
        warn(f"left out: {error}")
    return images


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        DataSetError: It cannot be read or is no JSON; the message says which format it looks like.
    """
    try:
        content = path.read_bytes()
        text = content.decode(json.detect_encoding(content))  # UTF-16 is what PowerShell writes
    except OSError as error:
        raise DataSetError(f"{path}: cannot be read ({error.strerror}); check the file") from error
    except UnicodeDecodeError as error:
        raise DataSetError(f"{path}: not UTF-8 ({error}); save it as UTF-8") from error
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        counts = {name: sum(text.count(mark) for mark in marks) for name, marks in _MARKS.items()}
        best = max(counts, key=lambda name: counts[name])
        looks = f"looks like {JSON_FORMATS[best][0]}" if counts[best] else "looks like no known annotation format"
        raise DataSetError(f"{path}: {looks}, but is damaged or cut off ({error}); export it again") from error


@contextmanager
def damage_of(source: Path | str, title: str, part: str) -> Iterator[None]:
    """Turn errors about the content of a document in the block into a `DataSetError`.

    Args:
        title: Of the format.
        part: What of a document lacks a field or has a wrong one, such as "a shape".
    """
    try:
        yield
    except DataSetError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise DataSetError(f"{source}: looks like {title}, but {part} lacks or has a wrong {error}") from error


def json_format(document: Any, path: Path) -> str:
    """Return the format of a JSON document, a key of `JSON_FORMATS`.

    Raises:
        DataSetError: No known format; the message names the nearest one and what is missing.
    """
    if isinstance(document, list) and document and all(isinstance(one, dict) for one in document):
        keys = set(document[0])
        if "data" in keys or {"id", "label", "image"} <= keys:
            return "label-studio"
        if document[0].get("type") == "Feature":
            return "geojson"
        if {"image_id", "category_id"} <= keys:
            raise DataSetError(f"{path}: COCO results, which lack images and categories; give the file with these too")
        if {"image", "annotations"} <= keys:
            raise DataSetError(f"{path}: looks like CreateML, which is not read; export as COCO")
    elif isinstance(document, dict):
        keys = set(document)
        foreign = next((name for name, is_of in FOREIGN.items() if is_of(document)), None)
        if foreign:
            raise DataSetError(f"{path}: looks like {foreign}, which is not read; export as COCO")
        if document.get("type") in ("FeatureCollection", "Feature"):
            return "geojson"
        nearest = max(JSON_FORMATS, key=lambda name: len(keys & set(JSON_FORMATS[name][1])))
        title, needed = JSON_FORMATS[nearest]
        missing = [key for key in needed if key not in keys]
        if not missing or (nearest == "labelme" and "shapes" in keys):
            return nearest
        if len(missing) < len(needed):
            raise DataSetError(f"{path}: looks like {title}, but lacks {' and '.join(missing)}; export it again")
    known = ", ".join(title for title, _ in JSON_FORMATS.values())
    shown = ", ".join(sorted(map(str, document))[:6]) if isinstance(document, dict) else type(document).__name__
    raise DataSetError(f"{path}: no known annotation format (its content: {shown}); known are {known}")


def read_xml(path: Path) -> ElementTree.Element:
    """Return the root of an XML file.

    Raises:
        DataSetError: It cannot be read or is no XML.
    """
    try:
        return ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataSetError(f"{path}: damaged or cut off XML ({error}); export it again") from error


def write_json(path: Path, document: Any, **options: Any) -> None:
    """Write JSON atomically, in ASCII."""
    with write_atomically(path) as part:
        part.write_text(json.dumps(document, **options), encoding="utf-8")


def save_palette(labels: UInt8[np.ndarray, "h w"], path: Path) -> None:
    """Write a label map as an image with PASCAL VOC's colours."""
    image = Image.fromarray(labels)
    image.putpalette([number for colour in voc_palette() for number in colour])
    save_pillow(image, path)


def write_text(path: Path, text: str) -> None:
    """Write a text atomically, in UTF-8."""
    with write_atomically(path) as part:
        # names of files need not be UTF-8
        part.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
