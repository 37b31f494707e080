"""Clicks, boxes and strokes as planes for the network that turns them into masks.

image, features -> view_of --------------+
points, boxes, strokes -> seeds_of ------+--> planes_of --> planes at strides 16 and 4
the mask so far -------------------------+
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from PIL import Image

from likewise.engine.protocol import Features
from likewise.errors import ArgumentError
from likewise.io.marks import Box, box_mask
from likewise.io.opening import format_size
from likewise.io.resize import cell_means, resize_image
from likewise.ops.distance import distance_to

FINE, COARSE = 4, 16
"""Strides of the planes, in pixels of the network's input."""
MOST_SEEDS = 32
"""Most positions of a kind that are compared with the rest; like the next two lines set without a measurement."""
NEAR, FAR = 4.0, 16.0
"""Standard deviations of the closeness to seeds, in positions of the fine grid."""
SAME_COLOUR = 0.15
"""Standard deviation of the similarity of colours, which lie in [-1, 1]."""


class View(NamedTuple):
    """What is known of an image before anything is marked.

    Attributes:
        middle, deep: features at strides 16 and 32.
        units: features of unit length less their mean, one array for each level.
        colours: Lab at the fine grid, in [-1, 1].
    """

    middle: Float32[np.ndarray, "c h w"]
    deep: Float32[np.ndarray, "d h2 w2"]
    units: tuple[Float32[np.ndarray, "_c _h _w"], ...]
    colours: Float32[np.ndarray, "3 hf wf"]


class Seeds(NamedTuple):
    """What is marked, at the fine grid.

    Attributes:
        inside: on the object.
        outside: not on the object.
        limit: the boxes; the object is inside. None without a box.
        central: 1 in the centre of a box, 0 on its border, -1 far outside; zeros without a box.
    """

    inside: Bool[np.ndarray, "h w"]
    outside: Bool[np.ndarray, "h w"]
    limit: Bool[np.ndarray, "h w"] | None
    central: Float32[np.ndarray, "h w"]


def view_of(image: UInt8[np.ndarray, "h w 3"], features: Features) -> View:
    """Return the features and colours that planes are computed from.

    Args:
        image: at the size of the network's input.
        features: of this image alone.
    """
    small = resize_image(image, image.shape[0] // FINE, image.shape[1] // FINE)
    lab = np.asarray(Image.fromarray(small).convert("LAB"), np.float32).transpose(2, 0, 1) / 127.5 - 1
    levels = [*(level[0] for level in features.levels), features.semantic[0]]
    return View(levels[0], np.concatenate(levels[1:]), tuple(_unit(level) for level in levels), lab)


def seeds_of(
    size: tuple[int, int],
    grid: tuple[int, int],
    points: Sequence[tuple[float, float]] = (),
    labels: Sequence[int] | None = None,
    box: Box | Sequence[Box] | None = None,
    strokes: UInt8[np.ndarray, "h w"] | None = None,
) -> Seeds:
    """Return the marks of an image of `size` (height, width) at the grid; `likewise.Selector.mask` explains them.

    Raises:
        ArgumentError: no mark of the object, a point outside the image, an impossible box or label, or strokes of
            another size.
    """
    labels = [1] * len(points) if labels is None else list(labels)
    if len(labels) != len(points) or not set(labels) <= {0, 1}:
        raise ArgumentError(f"labels are {labels} for {len(points)} points; give 1 (object) or 0 (not) for each point")
    if len(points) and max(size) > 1 and all(0 <= edge <= 1 for point in points for edge in point):
        raise ArgumentError(f"points {list(points)} look normalised; multiply x by {size[1]} and y by {size[0]}")
    planes = np.zeros((2, *grid), bool)
    for (x, y), label in zip(points, labels, strict=True):
        if not (0 <= x < size[1] and 0 <= y < size[0]):
            raise ArgumentError(f"point {x:g},{y:g} lies outside the image of {format_size(*size)}")
        planes[label, int(y * grid[0] / size[0]), int(x * grid[1] / size[1])] = True
    if strokes is not None:
        check_shape("strokes", strokes, size)
        for label, value in ((1, 1), (0, 2)):
            planes[label] |= cell_means(strokes == value, grid) > 0
    planes[0] &= ~planes[1]
    if box is None:
        if not planes[1].any():
            raise ArgumentError("nothing marks the object; give a point on it (x,y,+; label 1), a box or a stroke")
        return Seeds(planes[1], planes[0], None, np.zeros(grid, np.float32))
    limit = cell_means(boxes_mask(box, size), grid) >= 0.5
    central = np.full(grid, -1, np.float32)
    rows, columns = ((np.arange(count) + 0.5) * (length / count) for count, length in zip(grid, size, strict=True))
    for x0, y0, x1, y1 in boxes_of(box):
        down, across = abs(2 * rows - y0 - y1) / (y1 - y0), abs(2 * columns - x0 - x1) / (x1 - x0)
        np.maximum(central, 1 - np.maximum(down[:, None], across), out=central, casting="same_kind")
    return Seeds(planes[1], planes[0], limit, central)


def boxes_of(box: Box | Sequence[Box]) -> Sequence[Box]:
    """Return one box, or several, as a list."""
    return box if np.ndim(box) > 1 else [box]  # type: ignore[return-value,list-item]


def boxes_mask(box: Box | Sequence[Box], size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Return the pixels inside any of the boxes; errors are those of `box_mask`."""
    return np.any([box_mask(one, size) for one in boxes_of(box)], axis=0)


def planes_of(
    view: View, seeds: Seeds, previous: Bool[np.ndarray, "h w"] | None = None
) -> tuple[Float32[np.ndarray, "13 hc wc"], Float32[np.ndarray, "8 hf wf"]]:
    """Return the planes of the network at the strides of `COARSE` and `FINE`.

    Args:
        previous: the mask so far, at the fine grid.
    """
    grid, size = (view.colours.shape[1], view.colours.shape[2]), (view.middle.shape[1], view.middle.shape[2])
    before = np.zeros(grid, np.float32) if previous is None else previous * np.float32(2) - 1
    close, colours, similar = [], [], []
    for marked in (seeds.inside, seeds.outside):
        squares = np.square(distance_to(marked))
        close.append([np.exp(squares / np.float32(-2 * sigma**2)) for sigma in (NEAR, FAR)])
        cells = np.argwhere(marked)
        cells = cells[:: max(1, len(cells) // MOST_SEEDS)]
        colours.append(_nearest_colour(view.colours, cells))
        similar += [_most_similar(unit, cells, grid, size) for unit in view.units]
    box = np.zeros(grid, np.float32) if seeds.limit is None else seeds.limit * np.float32(2) - 1
    coarse = np.stack([cell_means(plane, size) for plane in (*close[0], *close[1], box, seeds.central, before)])
    fine = np.stack([*view.colours, *colours, close[0][0], close[1][0], before])
    return np.concatenate([coarse, np.stack(similar)]).astype(np.float32), fine.astype(np.float32)


def check_shape(name: str, given: np.ndarray, size: tuple[int, int]) -> None:
    """Raise an `ArgumentError` unless an array has the size of the image."""
    if given.shape != size:
        shown = " x ".join(map(str, given.shape))
        raise ArgumentError(f"{name} has shape {shown}; the image is {size[0]} x {size[1]} (rows x columns)")


def _unit(features: Float32[np.ndarray, "c h w"]) -> Float32[np.ndarray, "c h w"]:
    unit = features / np.maximum(np.linalg.norm(features, axis=0), 1e-6)
    unit = unit - unit.mean(axis=(1, 2), keepdims=True)
    return unit / np.maximum(np.linalg.norm(unit, axis=0), 1e-6)


def _nearest_colour(colours: Float32[np.ndarray, "3 h w"], cells: np.ndarray) -> Float32[np.ndarray, "h w"]:
    """Return how similar each colour is to the most similar one of the cells."""
    nearest = np.full(colours.shape[1:], np.inf, np.float32)
    for row, column in cells:
        patch = colours[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].mean(axis=(1, 2))
        np.minimum(nearest, np.square(colours - patch[:, None, None]).sum(axis=0), out=nearest)
    return np.exp(nearest / np.float32(-2 * SAME_COLOUR**2))


def _most_similar(
    unit: Float32[np.ndarray, "c h w"], cells: np.ndarray, grid: tuple[int, int], size: tuple[int, int]
) -> Float32[np.ndarray, "hc wc"]:
    """Return the cosine of each position with the most similar one of the cells, at `size`; zeros without cells."""
    if not len(cells):
        return np.zeros(size, np.float32)
    height, width = unit.shape[1:]
    rows, columns = cells[:, 0] * height // grid[0], cells[:, 1] * width // grid[1]
    cosines = (unit[:, rows, columns].T @ unit.reshape(len(unit), -1)).max(axis=0).reshape(height, width)
    return cosines.repeat(size[0] // height, axis=0).repeat(size[1] // width, axis=1)
