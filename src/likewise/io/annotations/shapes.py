"""Shapes of objects, and their masks.

Coordinates are in pixels from the top left corner of the image: the pixel in row r and column c covers c to c + 1 and r
to r + 1. A pixel belongs to a shape if its centre does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Integer
from pycocotools import mask as coco_mask

from likewise.errors import DataSetError
from likewise.io.components import Runs, find_runs
from likewise.io.masks import Label, read_mask


class ShapeError(ValueError):
    """A shape has too few corners, or coordinates that are no numbers. Readers leave it out, and say so."""


Size = tuple[int, int]
"""Height and width in pixels."""

Ring = Float64[np.ndarray, "_n 2"]
"""The corners ``(x, y)`` of a closed outline."""

Edges = tuple[float, float, float, float]
"""Left, top, right and bottom."""


@dataclass(frozen=True, eq=False)
class Polygons:
    """Parts of an object, each an outer ring and the rings of its holes."""

    parts: tuple[tuple[Ring, ...], ...]

    def mask(self, size: Size) -> Bool[np.ndarray, "h w"]:
        found = np.zeros(size, bool)
        for rings in self.parts:
            found |= fill(rings, size)
        return found


@dataclass(frozen=True)
class Box:
    """A rectangle with upright edges.

    Raises:
        ShapeError: An edge is no finite number.
    """

    edges: Edges

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, self.edges)):
            raise ShapeError(f"a box of {self.edges}")

    def mask(self, size: Size) -> Bool[np.ndarray, "h w"]:
        left, top, right, bottom = self.edges
        return fill([ring_of([left, top, right, top, right, bottom, left, bottom])], size)


@dataclass(frozen=True)
class RunLengths:
    """COCO's compressed run lengths of a mask."""

    size: Size
    counts: str

    def mask(self, size: Size) -> Bool[np.ndarray, "h w"]:
        covered = covered_pixels(self.counts)
        if covered != self.size[0] * self.size[1]:  # the decoder would leave the rest undefined
            raise DataSetError(
                f"damaged run lengths: {covered} pixels of {self.size[0]} x {self.size[1]}; export them again"
            )
        return coco_mask.decode({"size": list(self.size), "counts": self.counts.encode("ascii")}).astype(bool)


@dataclass(frozen=True)
class Bitmap:
    """A mask file, read as `likewise.io.masks.read_mask` does."""

    path: Path
    label: Label | None = None

    def mask(self, size: Size) -> Bool[np.ndarray, "h w"]:
        return read_mask(self.path, label=self.label, size=size)


Shape = Polygons | Box | RunLengths | Bitmap
"""What an object covers."""


def encode(mask: Bool[np.ndarray, "h w"]) -> RunLengths:
    """Return the run lengths of a mask."""
    coded = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return RunLengths((mask.shape[0], mask.shape[1]), coded["counts"].decode("ascii"))


def covered_pixels(counts: str) -> int:
    """Return the sum of COCO's compressed run lengths, -1 if they are damaged.

    A letter has 5 bits of the difference to the run before the last, and a bit that says whether more follow.
    """
    letters = np.frombuffer(counts.encode("ascii", "replace"), np.uint8).astype(np.int64) - 48
    if not len(letters) or (letters < 0).any() or letters[-1] & 32:
        return -1
    last = np.flatnonzero(letters & 32 == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    place = np.arange(len(letters)) - np.repeat(first, last - first + 1)
    values = np.add.reduceat((letters & 31) << 5 * place.clip(max=11), first)
    values -= np.where(letters[last] & 16, np.int64(1) << 5 * (last - first + 1).clip(max=12), 0)
    runs = np.concatenate([values[:1], np.cumsum(values[1::2]), np.cumsum(values[2::2])])
    return int(runs.sum()) if (runs >= 0).all() else -1


def encode_counts(counts: Sequence[int], size: Size) -> RunLengths:
    """Return COCO's uncompressed run lengths, down the columns from a background run, compressed.

    Raises:
        ValueError: They cover another number of pixels than the image has.
    """
    if sum(counts) != size[0] * size[1]:
        raise ValueError(f"counts, which cover {sum(counts)} pixels of {size[0]} x {size[1]}")
    coded = coco_mask.frPyObjects({"size": list(size), "counts": list(counts)}, *size)
    return RunLengths(size, coded["counts"].decode("ascii"))


def encode_values(values: Integer[np.ndarray, "h w"]) -> dict[int, RunLengths]:
    """Return the run lengths of the pixels of each value but 0, in ascending order of the values."""
    runs = find_runs(np.ascontiguousarray(values.T))
    return encode_runs(runs, runs.value, (values.shape[0], values.shape[1]))


def encode_runs(runs: Runs, keys: Integer[np.ndarray, " n"], size: Size) -> dict[int, RunLengths]:
    """Return the run lengths of the runs of each key, in ascending order of the keys.

    Args:
        runs: Down the columns: of the transposed label map.
    """
    starts, ends = runs.row * size[0] + runs.start, runs.row * size[0] + runs.end
    order = np.argsort(keys, kind="stable")
    present, first = np.unique(keys[order], return_index=True)
    found = {}
    for key, own in zip(present.tolist(), np.split(order, first[1:]), strict=False):
        edges = np.stack([starts[own], ends[own]], axis=1).ravel()
        touching = np.flatnonzero(edges[1:-1:2] == edges[2::2])  # a run that goes on in the next column
        edges = np.delete(edges, np.concatenate([2 * touching + 1, 2 * touching + 2]))
        counts = np.diff(edges, prepend=0, append=size[0] * size[1]).tolist()
        found[key] = encode_counts(counts if counts[-1] else counts[:-1], size)
    return found


def ring_of(numbers: Iterable[Any]) -> Ring:
    """Return the ring of numbers x, y, x, y, ...

    Raises:
        ShapeError: A number is not finite.
    """
    ring = np.array([*numbers], np.float64).reshape(-1, 2)
    if not np.isfinite(ring).all():
        raise ShapeError("a corner that is no number")
    return ring


def polygon(numbers: Iterable[Any]) -> Polygons:
    """Return the polygon of numbers x, y, x, y, ...

    Raises:
        ShapeError: Fewer than three corners, or a number is not finite.
    """
    ring = ring_of(numbers)
    if len(ring) < 3:
        raise ShapeError(f"a polygon of {len(ring)} corners")
    return Polygons(((ring,),))


def box(x0: float, y0: float, x1: float, y1: float) -> Box:
    """Return the box between two corners in any order; errors are those of `Box`."""
    return Box((min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)))


def ellipse(x: float, y: float, across: float, down: float, degrees: float = 0.0) -> Ring:
    """Return the ring of an ellipse with this centre, these radii, turned clockwise."""
    count = max(16, math.ceil(2 * math.pi * max(across, down)))
    angles = np.arange(count) * (2 * np.pi / count)
    return turn(np.stack([x + across * np.cos(angles), y + down * np.sin(angles)], axis=1), (x, y), degrees)


def turn(ring: Ring, centre: tuple[float, float], degrees: float) -> Ring:
    """Return the ring turned clockwise around a point."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (ring - centre) @ np.array([[cosine, sine], [-sine, cosine]]) + centre


def scaled(shape: Shape, size: Size, to: Size) -> Shape:
    """Return the shape in an image of `size` after the image was resized `to` another one."""
    factors = np.array((to[1] / size[1], to[0] / size[0]))
    if isinstance(shape, Box | Polygons):
        return _moved(shape, lambda ring: ring * factors)
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(int) for old, new in zip(size, to, strict=True))
    return encode(shape.mask(size)[np.ix_(rows, columns)])


def turned(shape: Shape, orientation: int, size: Size) -> Shape:
    """Return the shape in an image of `size`, as stored, after the image was made upright.

    Args:
        orientation: EXIF orientation that exchanges rows and columns: 5, 6, 7 or 8.
    """
    down, across = orientation in (7, 8), orientation in (6, 7)
    if isinstance(shape, Box | Polygons):
        # the stored row becomes the column, and the stored column the row
        far = np.array((size[0] * across, size[1] * down))
        signs = np.where((across, down), -1, 1)
        return _moved(shape, lambda ring: far + signs * ring[:, ::-1])
    mask = shape.mask(size).T
    return encode(mask[:: -1 if down else 1, :: -1 if across else 1])


def _moved(shape: Box | Polygons, move: Callable[[Ring], Ring]) -> Shape:
    if isinstance(shape, Polygons):
        return Polygons(tuple(tuple(move(ring) for ring in rings) for rings in shape.parts))
    (x0, y0), (x1, y1) = move(np.reshape(shape.edges, (2, 2))).tolist()
    return box(x0, y0, x1, y1)


def fill(rings: Iterable[Ring], size: Size) -> Bool[np.ndarray, "h w"]:
    """Return the pixels whose centres lie inside an odd number of rings."""
    height, width = size
    found = np.zeros(size, bool)
    rings = [ring for ring in rings if len(ring) > 2]
    if not rings:
        return found
    start, end = np.concatenate(rings), np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    low, high = (np.ceil(each - 0.5).clip(0, height).astype(int) for each in np.sort([start[:, 1], end[:, 1]], axis=0))
    counts = high - low
    if not counts.any():
        return found
    edge = np.repeat(np.arange(len(start)), counts)
    rows = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + low[edge]
    slope = (end - start)[edge]
    x = start[edge, 0] + (rows + 0.5 - start[edge, 1]) * slope[:, 0] / slope[:, 1]
    columns = np.ceil(x - 0.5).clip(0, width).astype(int)
    (top, bottom), (left, right) = ((values.min(), values.max() + 1) for values in (rows, columns))
    crossings = np.zeros((bottom - top, right - left), np.uint8)
    np.bitwise_xor.at(crossings, (rows - top, columns - left), 1)
    found[top:bottom, left : right - 1] = np.bitwise_xor.accumulate(crossings, axis=1)[:, :-1]
    return found


def bounds(mask: Bool[np.ndarray, "h w"]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of a mask, the last two exclusive; zeros if it is empty."""
    if not mask.any():
        return 0, 0, 0, 0
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
