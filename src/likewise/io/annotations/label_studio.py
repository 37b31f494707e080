"""Label Studio's JSON and JSON_MIN: brush masks, polygons, rectangles and ellipses.

https://labelstud.io/guide/predictions
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from jaxtyping import Bool, UInt8

from likewise.errors import DataSetError, warn
from likewise.io.annotations.dataset import AnnotatedImage, Annotations, Object
from likewise.io.annotations.files import ImageFinder, damage_of, read_json, safe_name, write_json, write_text
from likewise.io.annotations.outlines import TOLERANCE, outline, polygons_of, single_ring
from likewise.io.annotations.shapes import (
    Box,
    Polygons,
    Ring,
    Shape,
    ShapeError,
    Size,
    bounds,
    box,
    ellipse,
    encode,
    polygon,
    ring_of,
    turn,
)
from likewise.io.paths import IMAGE_SUFFIXES

KINDS = {"brush": "brushlabels", "polygon": "polygonlabels", "rectangle": "rectanglelabels", "ellipse": "ellipselabels"}
CONFIG = "label-studio-config.xml"
"""The labelling interface that the written file belongs to."""

DAMAGED = "Label Studio", "a task"
"""What an error about an export is about."""

LOCAL_FILES = "/data/local-files/?d="
"""Prefix of an image in Label Studio's local file storage."""

_UPLOAD = re.compile(r"[0-9a-f]{8}-(?=.)")


def read(path: Path, finder: ImageFinder, document: Any = None) -> Annotations:
    """Return the images of an export. The last annotation of a task counts; where a task has none, its predictions.

    Raises:
        DataSetError: A task that names no image, or a result that lacks a field.
    """
    tasks = read_json(path) if document is None else document
    images, left_out = [], 0
    with damage_of(path, *DAMAGED):
        for task in tasks if isinstance(tasks, list) else [tasks]:
            name = _image_name(task, path)
            results, predicted = _results(task)
            objects, size, others = _objects(results, predicted)
            left_out += others
            image = finder.find(name) or finder.find(_UPLOAD.sub("", name))
            images.append(AnnotatedImage(name, objects, image, size))
    _warn_of(left_out, path)
    return Annotations.of(images, "label-studio")


def read_results(results: Sequence[dict[str, Any]], source: Path | str) -> tuple[tuple[Object, ...], Size | None]:
    """Return the objects of one annotation, and the size of the image that its results state; None without any.

    Args:
        source: What messages call the annotation.

    Raises:
        DataSetError: A result that lacks a field.
    """
    with damage_of(source, *DAMAGED):
        objects, size, left_out = _objects(results, predicted=False)
    _warn_of(left_out, source)
    return objects, size


def _warn_of(left_out: int, source: Path | str) -> None:
    if left_out:
        warn(f"{source}: {left_out} results are no brush, polygon, rectangle or ellipse with a label, and are left out")


def _objects(results: Sequence[dict[str, Any]], predicted: bool) -> tuple[tuple[Object, ...], Size | None, int]:
    """Return the objects of results, the size of their image, and the number of results that are no objects."""
    objects: list[Object] = []
    size: Size | None = None
    for result in results:
        kind = next((kind for kind, key in KINDS.items() if _value(result).get(key)), None)
        if kind is None:
            continue
        size = int(result["original_height"]), int(result["original_width"])
        label = _value(result)[KINDS[kind]]
        score = result.get("score") if predicted else None
        with suppress(ShapeError):
            objects.append(Object(str(label[0]), _shape(kind, _value(result), size), score))
    return tuple(objects), size, len(results) - len(objects)


def _image_name(task: dict[str, Any], path: Path) -> str:
    data = task.get("data", task)
    named = [str(data[key]) for key in ("image", "img", "photo", "$undefined$") if data.get(key)]
    others = [each for each in data.values() if isinstance(each, str)]  # the interface may call it anything
    named += [
        each for each in others if PurePosixPath(urllib.parse.urlparse(each).path).suffix.lower() in IMAGE_SUFFIXES
    ]
    address = next(iter(named), None)
    if address is None:
        raise DataSetError(f"{path}: looks like Label Studio, but a task has no image: {', '.join(map(str, data))}")
    parts = urllib.parse.urlparse(address)
    place = urllib.parse.parse_qs(parts.query).get("d", [parts.path])[0]
    if parts.scheme or "?d=" not in address:
        return PurePosixPath(urllib.parse.unquote(place).replace("\\", "/")).name
    return safe_name(urllib.parse.unquote(place), path)


def _results(task: dict[str, Any]) -> tuple[list[dict[str, Any]], bool]:
    """Return the results of a task, and whether they are a prediction."""
    if "data" not in task:  # JSON_MIN
        keys = ("label", "tag", "labels", *KINDS)
        return next((task[key] for key in keys if isinstance(task.get(key), list)), []), False
    done = [one for one in task.get("annotations") or task.get("completions") or () if not one.get("was_cancelled")]
    if done:
        return done[-1]["result"], False
    predictions = [one for one in task.get("predictions") or () if isinstance(one, dict)]
    return (predictions[-1]["result"], True) if predictions else ([], False)


def _value(result: dict[str, Any]) -> dict[str, Any]:
    value = result.get("value", result)
    return value if isinstance(value, dict) else {}


def _shape(kind: str, value: dict[str, Any], size: Size) -> Shape:
    height, width = size
    scale = np.array([width, height]) / 100
    if kind == "brush":
        return encode(decode_brush(value["rle"], size))
    if kind == "polygon":
        return polygon(np.ravel(value["points"]) * np.tile(scale, len(value["points"])))
    turned, x, y = float(value.get("rotation", 0)), value["x"] * scale[0], value["y"] * scale[1]
    if kind == "ellipse":
        return Polygons(((ellipse(x, y, value["radiusX"] * scale[0], value["radiusY"] * scale[1], turned),),))
    right, bottom = x + value["width"] * scale[0], y + value["height"] * scale[1]
    if not turned:
        return box(float(x), float(y), float(right), float(bottom))
    return Polygons(((turn(ring_of([x, y, right, y, right, bottom, x, bottom]), (float(x), float(y)), turned),),))


def decode_brush(coded: Sequence[int], size: Size) -> Bool[np.ndarray, "h w"]:
    """Return the mask of a brush: where the RGBA image that the bits encode is not transparent.

    The bits are: 32 for the number of values, 5 for the bits of a value less one, four times 4 for the bits of a length
    less one. Then for each run: 1 bit for its kind, 2 for which of the lengths follows, the length less one, and one
    value for a run of equal values, or as many values as the length says.
    """
    bits = "".join(f"{byte:08b}" for byte in coded)
    at = 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        if at > len(bits):
            raise ValueError("rle, which ends early")
        return int(bits[at - count : at], 2)

    count, value_bits = take(32), take(5) + 1
    if count != size[0] * size[1] * 4:
        raise ValueError(f"rle of {count} values for an image of {size[0]} x {size[1]} pixels of four")
    lengths = [take(4) + 1 for _ in range(4)]
    values, done = np.zeros(count, np.uint8), 0
    while done < count:
        same = take(1)
        length = take(lengths[take(2)]) + 1
        if same:
            values[done : done + length] = take(value_bits)
        else:
            values[done : done + length] = [take(value_bits) for _ in range(length)]
        done += length
    return values.reshape(*size, 4)[..., 3] > 0


LENGTH_BITS = (3, 4, 8, 16)
"""Bits of the lengths of runs that are written, as Label Studio's own converter has them."""


def encode_brush(mask: Bool[np.ndarray, "h w"]) -> list[int]:
    """Return the bits of a brush of a mask in white: those that Label Studio's converter writes."""
    values: UInt8[np.ndarray, " n"] = np.repeat(mask.ravel(), 4).astype(np.uint8) * 255
    edges = np.concatenate([[0], np.flatnonzero(values[1:] != values[:-1]) + 1, [len(values)]])
    bits = [f"{len(values):032b}", f"{7:05b}", *(f"{length - 1:04b}" for length in LENGTH_BITS)]
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        which = sum(end - start > 1 << width for width in LENGTH_BITS[:-1])
        while start < end:
            length = min(end - start, 1 << LENGTH_BITS[-1])
            bits.append(f"1{which:02b}{length - 1:0{LENGTH_BITS[which]}b}{values[start]:08b}")
            start += length
    text = "".join(bits)
    text += "0" * (8 - len(text) % 8)  # a whole byte where none is needed, as the converter does
    return [int(text[at : at + 8], 2) for at in range(0, len(text), 8)]


def write(images: Iterable[AnnotatedImage], classes: tuple[str, ...], path: Path, tolerance: float) -> None:
    """Write predictions, ready to import, and the labelling interface that they belong to (`CONFIG`).

    An object in one part without holes is a polygon or rectangle, any other a brush mask. Crowds become objects.
    """
    tasks = []
    for image in images:
        results = [_written(image, one, tolerance) for one in image.objects]
        scores = [one.score for one in image.objects if one.score is not None]
        prediction: dict[str, Any] = {"model_version": "likewise", "result": results}
        if scores:
            prediction["score"] = min(scores)
        tasks.append({"data": {"image": LOCAL_FILES + image.name}, "predictions": [prediction]})
    write_json(path, tasks)
    labels = "".join(f"\n    <Label value={quoteattr(name)}/>" for name in classes)
    controls = "".join(
        f'\n  <{tag} name="{name}" toName="image">{labels}\n  </{tag}>'
        for tag, name in (("BrushLabels", "brush"), ("PolygonLabels", "polygon"), ("RectangleLabels", "rectangle"))
    )
    write_text(path.with_name(CONFIG), f'<View>\n  <Image name="image" value="$image"/>{controls}\n</View>\n')


def _written(image: AnnotatedImage, one: Object, tolerance: float) -> dict[str, Any]:
    if isinstance(one.shape, Box):
        kind, value = "rectangle", _rectangle(one.shape.edges, image.size)
    elif (ring := single_ring(polygons_of(image, one, tolerance))) is not None:
        kind, value = "polygon", _polygon(ring, image.size)
    else:
        kind, value = "brush", _brush(image.mask_of(one))
    return _result(kind, value, one.class_name, image.size, kind, "image", one.score)


def results_of(
    mask: Bool[np.ndarray, "h w"],
    class_name: str,
    kind: str,
    names: tuple[str, str],
    *,
    score: float | None = None,
    tolerance: float = TOLERANCE,
) -> list[dict[str, Any]]:
    """Return the results that show a mask: one brush, one rectangle, or a polygon for each part, without its holes.

    Args:
        kind: A key of `KINDS` but "ellipse".
        names: Of the control and of the image in the labelling interface.
        tolerance: See `likewise.write_annotations`.
    """
    if not mask.any():
        return []
    size = mask.shape[0], mask.shape[1]
    if kind == "brush":
        values = [_brush(mask)]
    elif kind == "rectangle":
        values = [_rectangle(bounds(mask), size)]
    else:
        values = [_polygon(rings[0], size) for rings in outline(mask, tolerance).parts]
    return [_result(kind, value, class_name, size, *names, score) for value in values]


def _brush(mask: Bool[np.ndarray, "h w"]) -> dict[str, Any]:
    return {"format": "rle", "rle": encode_brush(mask)}


def _polygon(ring: Ring, size: Size) -> dict[str, Any]:
    return {"points": (ring / (size[1], size[0]) * 100).tolist(), "closed": True}


def _rectangle(edges: Sequence[float], size: Size) -> dict[str, Any]:
    left, top, right, bottom = edges
    height, width = size
    found = {"x": left / width * 100, "y": top / height * 100, "rotation": 0}
    return found | {"width": (right - left) / width * 100, "height": (bottom - top) / height * 100}


def _result(
    kind: str, value: dict[str, Any], class_name: str, size: Size, from_name: str, to_name: str, score: float | None
) -> dict[str, Any]:
    result = {
        "from_name": from_name,
        "to_name": to_name,
        "type": KINDS[kind],
        "original_width": size[1],
        "original_height": size[0],
        "image_rotation": 0,
        "value": value | {KINDS[kind]: [class_name]},
    }
    return result if score is None else result | {"score": score}
