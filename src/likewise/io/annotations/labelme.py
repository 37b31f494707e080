"""labelme's JSON, one file an image: polygons, rectangles, circles, masks, lines and points.

https://github.com/wkentaro/labelme
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from likewise.errors import DataSetError, counted, warn
from likewise.io.annotations.dataset import AnnotatedImage, Annotations, Object
from likewise.io.annotations.files import (
    ImageFinder,
    damage_of,
    files_below,
    output_path,
    read_each,
    read_json,
    write_json,
)
from likewise.io.annotations.outlines import polygons_of, single_ring
from likewise.io.annotations.shapes import (
    Box,
    Polygons,
    Shape,
    ShapeError,
    Size,
    bounds,
    ellipse,
    encode,
    polygon,
    ring_of,
)

LINE, POINT = 10, 5
"""Width of a line and radius of a point in pixels, as labelme draws them in masks."""

VERSION = "5.5.0"
"""Of the format that is written; the first with masks is 5.3."""


def read(path: Path, finder: ImageFinder) -> Annotations:
    """Return the image of a file, or those of all labelme files in a folder."""
    files = [path] if path.is_file() else [file for file in files_below(path, ".json") if may_be_file(file)]
    return Annotations.of(read_each(files, lambda file: _read_image(file, finder)), "labelme")


def may_be_file(path: Path) -> bool:
    """Return whether a file is labelme's, or a damaged file that looks like it."""
    try:
        document = read_json(path)
    except DataSetError as error:
        return "looks like labelme" in str(error)
    return isinstance(document, dict) and "shapes" in document


def _read_image(path: Path, finder: ImageFinder) -> AnnotatedImage:
    document = read_json(path)
    with damage_of(path, "labelme", "a shape"):
        # the path is relative to the file and may lead out of its folder: only its end counts
        given = PurePosixPath(str(document.get("imagePath") or path.stem).replace("\\", "/"))
        end = PurePosixPath(*(part for part in given.parts if part not in ("..", "/") and ":" not in part))
        name = end.name
        size: Size | None = None
        if document.get("imageHeight") and document.get("imageWidth"):
            size = int(document["imageHeight"]), int(document["imageWidth"])
        beside = path.with_name(name)
        image: Path | bytes | None = beside if beside.is_file() else finder.find(str(end)) or finder.of_stem(path)
        if isinstance(image, Path):
            name = finder.name_of(image)
        elif path.is_relative_to(finder.root):
            name = path.relative_to(finder.root).with_name(name).as_posix()
        if image is None and document.get("imageData"):
            image = base64.b64decode(document["imageData"])
        grouped: dict[Any, list[dict[str, Any]]] = {}
        for index, shape in enumerate(document["shapes"]):
            group = shape.get("group_id")
            key = ("single", index) if group is None else ("group", group, shape["label"])
            grouped.setdefault(key, []).append(shape)
        own_size = size or AnnotatedImage(name, (), image).size
        objects, left_out = [], 0
        for shapes in grouped.values():
            try:
                objects.append(Object(str(shapes[0]["label"]), _shape(shapes, own_size), _score(shapes[0])))
            except ShapeError:
                left_out += 1
    if left_out:
        warn(f"{path}: {counted(left_out, 'shape')} without three corners or without numbers left out")
    return AnnotatedImage(name, tuple(objects), image, own_size)


def _score(shape: dict[str, Any]) -> float | None:
    text = str(shape.get("description") or "")
    return float(text.removeprefix("score ")) if text.startswith("score ") else None


def _shape(shapes: list[dict[str, Any]], size: Size) -> Shape:
    """Return the shape of one object; several that form a group are united."""
    parts = [_one_shape(shape, size) for shape in shapes]
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, Polygons) for part in parts):
        return Polygons(tuple(rings for part in parts if isinstance(part, Polygons) for rings in part.parts))
    return encode(np.any([part.mask(size) for part in parts], axis=0))


def _one_shape(shape: dict[str, Any], size: Size) -> Shape:
    kind = shape.get("shape_type", "polygon")
    if kind in ("polygon", "oriented_rectangle", "rotation", "quadrilateral"):  # the last two are X-AnyLabeling's
        return polygon(np.ravel(shape["points"]))
    points = ring_of(np.ravel(shape["points"]))
    if not len(points):
        raise ShapeError(kind)
    if kind == "rectangle":
        (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        return Box((left, top, right, bottom))
    if kind == "circle":
        (x, y), (ex, ey) = points.tolist()
        radius = float(np.hypot(ex - x, ey - y))
        return Polygons(((ellipse(x, y, radius, radius),),))
    if kind == "mask":
        found = np.zeros(size, bool)
        left, top = (int(edge) for edge in points.min(axis=0))
        patch = np.asarray(Image.open(io.BytesIO(base64.b64decode(shape["mask"])), formats=["PNG"])) > 0
        found[top : top + patch.shape[0], left : left + patch.shape[1]] = patch[: size[0] - top, : size[1] - left]
        return encode(found)
    if kind in ("point", "points"):
        return Polygons(tuple((ellipse(x, y, POINT, POINT),) for x, y in points.tolist()))
    if kind in ("line", "linestrip"):
        drawn = Image.new("1", (size[1], size[0]))
        ImageDraw.Draw(drawn).line([tuple(point) for point in points.tolist()], fill=1, width=LINE)
        return encode(np.asarray(drawn))
    raise ValueError(f"shape_type {kind!r}")


def write(images: Iterable[AnnotatedImage], classes: tuple[str, ...], folder: Path, tolerance: float) -> None:
    """Write a file for each image. An object in one part without holes is a polygon or rectangle, any other a mask.

    The path of the image is relative where the image is known. Crowds become objects.
    """
    for image in images:
        path = output_path(folder, image.name, ".json")
        place = os.path.relpath(image.image, path.parent) if isinstance(image.image, Path) else image.name
        document: dict[str, Any] = {
            "version": VERSION,
            "flags": {},
            "shapes": [shape for one in image.objects if (shape := _written(image, one, tolerance))],
            "imagePath": place.replace(os.sep, "/"),
            "imageData": None,
            "imageHeight": image.size[0],
            "imageWidth": image.size[1],
        }
        write_json(path, document, indent=2)


def _written(image: AnnotatedImage, one: Object, tolerance: float) -> dict[str, Any] | None:
    shape: dict[str, Any] = {"label": one.class_name, "group_id": None, "flags": {}, "mask": None}
    shape["description"] = "" if one.score is None else f"score {one.score:.6g}"
    if isinstance(one.shape, Box):
        left, top, right, bottom = one.shape.edges
        return shape | {"shape_type": "rectangle", "points": [[left, top], [right, bottom]]}
    if (ring := single_ring(polygons_of(image, one, tolerance))) is not None:
        return shape | {"shape_type": "polygon", "points": ring.tolist()}
    mask = image.mask_of(one)
    left, top, right, bottom = bounds(mask)
    if not mask.any():
        return None
    file = io.BytesIO()
    Image.fromarray(mask[top:bottom, left:right].astype(np.uint8)).save(file, "PNG")
    coded = base64.b64encode(file.getvalue()).decode("ascii")
    return shape | {"shape_type": "mask", "points": [[left, top], [right - 1, bottom - 1]], "mask": coded}
