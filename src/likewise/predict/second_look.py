"""Look once for what, again for where.

    image at `side` -> features -> log-odds: what is there, and about where -------------------+
                                      |                                                        +--> weighted mean
    box around all that may be object, at FINER x `side` -> features -> log-odds there --------+

Features have one position for 16 pixels or more, so an image at twice the size has outlines twice as exact; but a part
of an object is less like its class than the whole, so the first look decides what is there, and its log-odds stay in
the mean. The examples are read at both sizes: an object's features change with its size. Outside of the box the first
look stands.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, UInt8

from likewise.ops.bilinear import resize_bilinear

QUALITIES = ("fast", "balanced")
"""One look, or two."""
FINER = 2
"""Sizes of the second look in those of the first (experiments/21-resolution)."""
WEIGHT = 0.75
"""Weight of the second look in the mean (experiments/21-resolution)."""
DOUBT = -2.0
"""Log-odds of the first look above which a position may be object (experiments/21-resolution)."""
MARGIN = 0.3
"""Margin around these positions, as a share of the square root of their box's area (experiments/21-resolution)."""
PREFIX = "finer_"
"""Start of the names of the rows of a concept that the second look needs."""

Planes = Float32[np.ndarray, "k _h _w"]


def look_again(
    planes: Float32[np.ndarray, "k h w"],
    odds: Float32[np.ndarray, "h w"],
    image: UInt8[np.ndarray, "hi wi 3"],
    taps_of: Callable[[UInt8[np.ndarray, "hc wc 3"]], Planes],
    answer: Callable[[Planes, Planes], Planes],
    *,
    multiple: int,
) -> Planes:
    """Return planes of both looks, at the finer size.

    Args:
        planes: of the first look: log-odds or logits of each class.
        odds: of the first look, that a position is any object.
        image: the whole image at the finer size; its sides are multiples of `multiple`.
        taps_of: returns the features of a part of the image whose sides are multiples of `multiple`.
        answer: returns the planes of both looks there, from these features and the planes of the first look.
        multiple: of pixels.
    """
    size = (image.shape[0], image.shape[1])
    top, bottom, left, right = doubtful_box(odds, (size[0] // multiple, size[1] // multiple))
    features = taps_of(image[top * multiple : bottom * multiple, left * multiple : right * multiple])
    cells = features.shape[1] // (bottom - top)  # positions in a multiple
    both = resize_bilinear(planes, (size[0] // multiple * cells, size[1] // multiple * cells))
    part = np.s_[:, top * cells : bottom * cells, left * cells : right * cells]
    both[part] = answer(features, both[part])
    return both


def mean_of_looks(first: Planes, second: Planes) -> Planes:
    """Return the planes that both looks together give."""
    return np.float32(1 - WEIGHT) * first + np.float32(WEIGHT) * second


def doubtful_box(odds: Float32[np.ndarray, "h w"], grid: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right (exclusive) of all that may be object, with a margin, in cells of a grid.

    Where nothing may be object, the most probable position counts.
    """
    rows, columns = np.nonzero(odds >= min(DOUBT, float(odds.max())))
    sides = []
    lengths = [np.ptp(at) + 1 for at in (rows, columns)]
    margin = MARGIN * (lengths[0] * lengths[1]) ** 0.5
    for at, length, cells in zip((rows, columns), odds.shape, grid, strict=True):
        first, last = (at.min() - margin) * cells / length, (at.max() + 1 + margin) * cells / length
        sides += [max(0, int(np.floor(first))), min(cells, int(np.ceil(last)))]
    return sides[0], sides[1], sides[2], sides[3]
