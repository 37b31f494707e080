"""Images in overlapping windows, whose probabilities are blended so that no seam appears."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float32


def blend_windows(
    size: tuple[int, int],
    planes: int,
    window: int,
    overlap: float,
    probabilities: Callable[[slice, slice], Float32[np.ndarray, "k h w"]],
) -> Iterator[Float32[np.ndarray, "k _rows w"]]:
    """Yield blended planes in bands of rows from top to bottom; a band ends where the next row of windows begins.

    One row of windows is in memory at a time.

    Args:
        size: height and width of the image.
        planes: their number.
        window: side of a window in pixels.
        overlap: see `axis_windows`.
        probabilities: returns the planes of a window, given its rows and columns. Windows come from the left to the
            right, then from the top to the bottom.
    """
    height, width = size
    down, across = (axis_windows(length, window, overlap) for length in size)
    waiting: Float32[np.ndarray, "k rows w"] | None = None
    for index, (top, weights_down) in enumerate(down):
        band = np.zeros((planes, len(weights_down), width), np.float32)
        for left, weights_across in across:
            rows, columns = slice(top, top + len(weights_down)), slice(left, left + len(weights_across))
            band[:, :, columns] += probabilities(rows, columns) * (weights_down[:, None] * weights_across)
        if waiting is not None:
            band[:, : waiting.shape[1]] += waiting
        done = (down[index + 1][0] if index + 1 < len(down) else height) - top
        yield band[:, :done]
        waiting = band[:, done:]


def axis_windows(length: int, window: int, overlap: float) -> list[tuple[int, Float32[np.ndarray, " side"]]]:
    """The start of each window along an axis of `length` pixels, and the weights of its pixels.

    The smallest number of windows with at least this overlap, at equal distances; the last one ends at the end of the
    axis. Weights change linearly where windows overlap, and sum to 1 over the windows at every pixel.
    """
    if length <= window:
        return [(0, np.ones(length, np.float32))]
    count = math.ceil((length - window) / (window * (1 - overlap))) + 1
    starts = [round(index * (length - window) / (count - 1)) for index in range(count)]
    weights, total = [], np.zeros(length, np.float32)
    for index, start in enumerate(starts):
        weight = np.ones(window, np.float32)
        if index > 0:
            shared = starts[index - 1] + window - start
            weight[:shared] = np.arange(1, shared + 1, dtype=np.float32) / (shared + 1)
        if index + 1 < count:
            shared = start + window - starts[index + 1]
            weight[window - shared :] *= np.arange(shared, 0, -1, dtype=np.float32) / (shared + 1)
        weights.append(weight)
        total[start : start + window] += weight
    return [(start, weight / total[start : start + window]) for start, weight in zip(starts, weights, strict=True)]
