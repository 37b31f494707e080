"""The objects of a result: one mask for each, also where they touch.

labels, probability, image -> separate, for each class -> ids -> boxes, scores, areas, centroids
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int32, UInt8
from PIL import Image

from likewise.io.resize import cell_means
from likewise.ops.distance import distance_to

GRID = 112
"""Objects are separated on a grid of about `GRID` x `GRID` positions; set without a measurement."""
PASS = 0.85
"""Two basins are one object if their pass is higher than this share of the lower peak (experiments/23-instances)."""
SURENESS = 2
"""Power of the probability by which the depth is multiplied (experiments/23-instances)."""
SMALLEST = 0.1
"""Pieces are dropped that have less than this share of the largest one's area (experiments/23-instances)."""
LEAST = 0.02
"""Share of its surroundings that a piece covers at least to take a pixel of the mask; set without a measurement."""
NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
"""Rows and columns from a position to its neighbours."""


@dataclass(frozen=True)
class Instances:
    """The objects in one image, n of them; their numbers are 1 to n.

    Attributes:
        ids: the number of each pixel's object, 0 for none.
        labels: for each object its label, `Result.labels`.
        scores: its score, in [0, 1], to sort by.
        areas: in pixels.
        boxes: `(x0, y0, x1, y1)` in pixels, the last two exclusive.
        centroids: `(x, y)` in pixels.
    """

    ids: Int32[np.ndarray, "h w"]
    labels: UInt8[np.ndarray, " n"]
    scores: Float32[np.ndarray, " n"]
    areas: Int[np.ndarray, " n"]
    boxes: Int[np.ndarray, "n 4"]
    centroids: Float[np.ndarray, "n 2"]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def masks(self) -> Bool[np.ndarray, "n h w"]:
        """A mask for each object: n planes of the size of the image, made at each call."""
        return self.ids == np.arange(1, len(self) + 1, dtype=np.int32)[:, None, None]


def find_instances(
    labels: UInt8[np.ndarray, "h w"], plane: Float32[np.ndarray, "_h _w"], scores: Sequence[float]
) -> Instances:
    """Return the objects of a result. Those of a class come together, each class's largest first.

    Args:
        labels: `Result.labels`.
        plane: `Result.plane`, at any size.
        scores: of each class.
    """
    ids = np.zeros(labels.shape, np.int32)
    for label in range(1, len(scores) + 1):
        mask = labels == label
        if mask.any():
            found = separate(mask, plane)
            ids[found > 0] = found[found > 0] + ids.max()
    areas, boxes, centroids = measure(ids)
    label_of = np.zeros(len(areas) + 1, np.uint8)
    label_of[ids.ravel()] = labels.ravel()
    return Instances(ids, label_of[1:], _scores(ids, label_of[1:], plane, scores), areas, boxes, centroids)


def _scores(
    ids: Int32[np.ndarray, "h w"],
    labels: UInt8[np.ndarray, " n"],
    plane: Float32[np.ndarray, "_h _w"],
    of_class: Sequence[float],
) -> Float32[np.ndarray, " n"]:
    """Return a score for each object: that of its class times what its mean probability is to that of the class."""
    rows, columns = (
        ((np.arange(count) + 0.5) * (length / count)).astype(np.intp)
        for count, length in zip(plane.shape, ids.shape, strict=True)
    )
    seen = ids[rows[:, None], columns].ravel()
    counts = np.bincount(seen, minlength=len(labels) + 1)[1:]
    sums = np.bincount(seen, plane.ravel(), len(labels) + 1)[1:]
    scores = np.zeros(len(labels), np.float32)
    for label in np.unique(labels):
        own = labels == label
        mean = sums[own].sum() / max(counts[own].sum(), 1)
        shares = np.where(counts[own] > 0, sums[own] / np.maximum(counts[own], 1) / max(mean, 1e-6), 1.0)
        scores[own] = (of_class[label - 1] * shares).clip(0, 1)
    return scores


def measure(
    ids: Int32[np.ndarray, "h w"],
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, "n 4"], Float[np.ndarray, "n 2"]]:
    """Return the areas, the boxes and the centroids of pieces 1 to n."""
    count, (rows, columns) = int(ids.max()), np.nonzero(ids)
    own = ids[rows, columns] - 1
    areas = np.bincount(own, minlength=count)
    boxes = np.empty((count, 4), np.int64)
    boxes[:, :2], boxes[:, 2:] = np.iinfo(np.int64).max, 0
    for axis, values in enumerate((columns, rows)):
        np.minimum.at(boxes[:, axis], own, values)
        np.maximum.at(boxes[:, axis + 2], own, values + 1)
    sums = np.stack([np.bincount(own, values + 0.5, count) for values in (columns, rows)], axis=1)
    return areas, boxes, sums / np.maximum(areas, 1)[:, None]


def separate(mask: Bool[np.ndarray, "h w"], plane: Float32[np.ndarray, "_h _w"]) -> Int32[np.ndarray, "h w"]:
    """Return the objects of a mask, numbered from 1, the largest first.

    Args:
        plane: the probability of the mask, at any size.
    """
    height, width = mask.shape
    scale = min(1.0, GRID / (height * width) ** 0.5)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    inside, probability = cell_means(mask, size) >= 0.5, cell_means(plane, size)
    depth = np.where(inside, distance_to(~inside) * probability**SURENESS, np.float32(0)).astype(np.float32)
    ids = join_basins(basins_of(depth), depth, PASS)
    areas = np.bincount(ids.ravel())
    areas[0] = 0
    order = np.argsort(-areas, kind="stable")
    order = order[areas[order] >= max(SMALLEST * areas.max(), 1)]
    number = np.zeros(len(areas), np.int32)
    number[order] = np.arange(1, len(order) + 1)
    return enlarge(number[ids], inside, mask)


def basins_of(depth: Float32[np.ndarray, "h w"]) -> Int32[np.ndarray, "h w"]:
    """Return the peak, numbered from 1, that steepest ascent leads to from each position of positive depth."""
    order = np.argsort(np.argsort(depth.ravel(), kind="stable"), kind="stable").reshape(depth.shape)
    positions = np.arange(depth.size).reshape(depth.shape)
    highest, goal = order, positions
    for step in NEIGHBOURS:
        neighbour = _shifted(order, step, -1)
        higher = neighbour > highest
        highest, goal = np.where(higher, neighbour, highest), np.where(higher, _shifted(positions, step, 0), goal)
    peak = goal.ravel()
    while (peak != (further := peak[peak])).any():
        peak = further
    found = np.zeros(depth.size, np.int32)
    inside = depth.ravel() > 0
    found[inside] = np.unique(peak[inside], return_inverse=True)[1] + 1
    return found.reshape(depth.shape)


def join_basins(
    basins: Int32[np.ndarray, "h w"], depth: Float32[np.ndarray, "h w"], passed: float
) -> Int32[np.ndarray, "h w"]:
    """Return the basins, joined where the pass between two is higher than a share of the lower peak."""
    peaks = np.zeros(int(basins.max()) + 1, np.float32)
    np.maximum.at(peaks, basins, depth)
    passes: dict[tuple[int, int], float] = {}
    for step in NEIGHBOURS[4:]:
        other = _shifted(basins, step, 0)
        meet = (basins > 0) & (other > 0) & (basins != other)
        height = np.minimum(depth, _shifted(depth, step, 0))[meet]
        pairs = np.sort(np.stack([basins[meet], other[meet]], axis=1), axis=1)
        for one, two, at in zip(*pairs.T.tolist(), height.tolist(), strict=True):
            passes[one, two] = max(passes.get((one, two), 0.0), at)
    root = np.arange(len(peaks))
    for (one, two), at in sorted(passes.items(), key=lambda item: -item[1]):
        low, high = sorted((root[one], root[two]), key=lambda each: peaks[each])
        if low != high and at + 0.5 > passed * peaks[low]:
            root[root == low] = high
    return root[basins].astype(np.int32)


def enlarge(
    ids: Int32[np.ndarray, "hg wg"], inside: Bool[np.ndarray, "hg wg"], mask: Bool[np.ndarray, "h w"]
) -> Int32[np.ndarray, "h w"]:
    """Return the pieces at the size of the mask, with smooth borders between them.

    Args:
        ids: of the pieces, on the grid; 0 for none.
        inside: the grid's positions in the mask; its other positions, thin parts and the rim, join a neighbour.
    """
    near = np.max([_shifted(ids, step, 0) for step in NEIGHBOURS], axis=0)
    ids = np.where(inside, ids, near)
    found, best = np.zeros(mask.shape, np.int32), np.full(mask.shape, LEAST, np.float32)
    scale = [length / count for length, count in zip(mask.shape, ids.shape, strict=True)]
    for number in range(1, int(ids.max()) + 1):
        own = ids == number
        spans = []
        for axis in (0, 1):
            places = np.flatnonzero(own.any(axis=1 - axis))
            first, last = max(places[0] - 1, 0), min(places[-1] + 2, own.shape[axis])
            spans.append((int(first * scale[axis]), min(int(np.ceil(last * scale[axis])), mask.shape[axis])))
        (top, bottom), (left, right) = spans
        edges = left / scale[1], top / scale[0], right / scale[1], bottom / scale[0]
        plane = Image.fromarray(own.astype(np.float32))
        covered = np.asarray(plane.resize((right - left, bottom - top), Image.Resampling.BILINEAR, box=edges))
        wins = covered > best[top:bottom, left:right]
        found[top:bottom, left:right][wins], best[top:bottom, left:right][wins] = number, covered[wins]
    return np.where(mask, found, 0)


def _shifted(plane: np.ndarray, step: tuple[int, int], fill: int) -> np.ndarray:
    """Return for each position the value of its neighbour, `fill` beyond the border."""
    rows, columns = step
    padded = np.pad(plane, 1, constant_values=fill)
    return padded[1 + rows : 1 + rows + plane.shape[0], 1 + columns : 1 + columns + plane.shape[1]]
