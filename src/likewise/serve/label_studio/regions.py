"""Smart regions to masks, and masks to regions.

smart regions -> marks -> selector -> mask -> regions of the interface
image -> segmenter -> masks of the classes -> regions of the interface
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from likewise.errors import ArgumentError
from likewise.io.annotations.label_studio import decode_brush, results_of
from likewise.io.annotations.shapes import ring_of, turn
from likewise.predict.result import Result
from likewise.predict.selector import Selector
from likewise.serve.label_studio.errors import PayloadError
from likewise.serve.label_studio.interface import Interface

SMART = {"rectanglelabels": "rectangle", "keypointlabels": "key point", "brushlabels": "brush"}
"""Types of smart regions that are marks."""


class Marks(NamedTuple):
    """What smart regions of one class mark, in pixels."""

    class_name: str
    points: list[tuple[float, float]]
    labels: list[int]
    boxes: list[tuple[int, int, int, int]]
    strokes: UInt8[np.ndarray, "h w"] | None


def suggest(selector: Selector, results: Sequence[Any], interface: Interface) -> list[dict[str, Any]]:
    """Return the regions of the object that smart regions mark; none without smart regions.

    Raises:
        PayloadError: regions that are not of the protocol.
        ArgumentError: regions of another type or class than the interface has masks for, or no mark of the object.
    """
    if not results:
        return []
    marks = marks_of(results, selector.size)
    control = interface.control(marks.class_name)
    mask = selector.mask(marks.points, marks.labels, marks.boxes or None, marks.strokes)
    found = results_of(mask, marks.class_name, control.kind, (control.name, control.to_name))
    # the same names for the same smart regions, so that a further one replaces the suggestion
    return [one | {"id": f"{results[0].get('id', 'smart')}-{index}"} for index, one in enumerate(found)]


def marks_of(results: Sequence[Any], size: tuple[int, int]) -> Marks:
    """Return what smart regions mark in an image of `size` (height, width); errors are those of `suggest`."""
    points, labels, boxes = [], [], []
    strokes: UInt8[np.ndarray, "h w"] | None = None
    try:
        types = {str(result["type"]) for result in results}
        names = {_class_of(result) for result in results}
        if not types <= SMART.keys():
            raise ArgumentError(f"smart regions of type {', '.join(sorted(types))}; use {', '.join(SMART.values())}")
        if any(result.get("image_rotation") for result in results):
            raise ArgumentError("the image is turned in the editor; turn it back for smart regions")
        if len(names) > 1:
            raise ArgumentError(f"smart regions of {len(names)} classes at once; mark one class")
        for result in results:
            value = result["value"]
            if result["type"] == "keypointlabels":
                x, y = (_number(value[axis]) * length / 100 for axis, length in (("x", size[1]), ("y", size[0])))
                points.append((min(max(x, 0.0), size[1] - 0.5), min(max(y, 0.0), size[0] - 0.5)))
                labels.append(int(result.get("is_positive", True)))
            elif result["type"] == "rectanglelabels":
                boxes.append(_box(value, size))
            else:
                stroke = decode_brush(value["rle"], size).astype(np.uint8)
                strokes = stroke if strokes is None else strokes | stroke
    except (LookupError, TypeError, AttributeError, OverflowError, ValueError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise PayloadError(f"a smart region lacks or has a wrong {error}") from error
    return Marks(names.pop(), points, labels, boxes, strokes)


def _class_of(result: dict[str, Any]) -> str:
    value = result["value"]
    names = value.get(result["type"]) or value["labels"]
    return str(names[0])


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"number {number}")
    return number


def _box(value: dict[str, Any], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the pixels that a rectangle, or the upright one around a turned one, covers in the image."""
    height, width = size
    left, right = (_number(value["x"]) + part * _number(value["width"]) for part in (0, 1))
    top, bottom = (_number(value["y"]) + part * _number(value["height"]) for part in (0, 1))
    ring = ring_of([left, top, right, top, right, bottom, left, bottom]) * (width / 100, height / 100)
    ring = turn(ring, (ring[0][0], ring[0][1]), _number(value.get("rotation", 0)))
    x0, y0 = np.floor(ring.min(axis=0)).astype(int).tolist()
    x1, y1 = np.ceil(ring.max(axis=0)).astype(int).tolist()
    return max(0, x0), max(0, y0), min(width, x1), min(height, y1)


def prediction_of(result: Result, interface: Interface) -> dict[str, Any]:
    """Return what is found in an image: a region for each class, a rectangle for each object, and presence as score.

    Classes that the interface does not have are left out.
    """
    regions: list[dict[str, Any]] = []
    scores = [0.0]
    for label, (name, presence) in enumerate(zip(result.classes, presences_of(result), strict=True), start=1):
        if name not in interface.classes:
            continue
        scores.append(presence)
        control = interface.control(name)
        for mask in objects_of(result, label) if control.kind == "rectangle" else [result.labels == label]:
            regions += results_of(mask, name, control.kind, (control.name, control.to_name), score=presence)
    return {"result": [one | {"id": f"likewise-{index}"} for index, one in enumerate(regions)], "score": max(scores)}


def objects_of(result: Result, label: int) -> Iterator[Bool[np.ndarray, "h w"]]:
    """Yield the mask of each object of a class."""
    found = result.instances
    for number, of in enumerate(found.labels, start=1):
        if of == label:
            yield found.ids == number


def presences_of(result: Result) -> tuple[float, ...]:
    """Return the presence of each class, or the score if the model does not judge presence."""
    return result.presences if result.presences is not None else result.scores
