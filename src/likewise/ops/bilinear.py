"""Bilinear resizing of planes, by the conventions of the papers' programs."""

import math

import numpy as np
from jaxtyping import Float32, Int, UInt8

BAND = 1 << 18
"""Values that are resized at a time: temporary arrays stay in the cache of the processor."""


def resize_bilinear(
    planes: Float32[np.ndarray, "*more h w"], size: tuple[int, int], *, align_corners: bool = False
) -> Float32[np.ndarray, "*more ho wo"]:
    """Return the planes at another `(height, width)`, without antialiasing, as `torch.nn.functional.interpolate` does.

    Args:
        planes: any values.
        size: height and width of the result.
        align_corners: whether the centres of the corner pixels, or the outer edges of the planes, stay in place.
    """
    height, width = planes.shape[-2:]
    if size == (height, width):
        return planes.astype(np.float32)
    top, bottom, down = neighbours(height, size[0], align_corners=align_corners)
    left, right, across = neighbours(width, size[1], align_corners=align_corners)
    result = np.empty((*planes.shape[:-2], *size), np.float32)
    step = max(1, BAND // max(1, math.prod(planes.shape[:-2]) * max(size[1], width)))
    for start in range(0, size[0], step):
        band = slice(start, start + step)
        rows = planes[..., top[band], :] * (1 - down[band])[:, None]
        rows += planes[..., bottom[band], :] * down[band][:, None]
        part = result[..., band, :]
        np.multiply(np.take(rows, left, axis=-1), 1 - across, out=part)
        part += np.take(rows, right, axis=-1) * across
    return result


def largest_plane(planes: Float32[np.ndarray, "k h w"], size: tuple[int, int]) -> UInt8[np.ndarray, "ho wo"]:
    """Return the index of the largest plane, the first of equals, at each pixel of `size` (height, width).

    The same as the argmax of the resized planes, computed only at pixels whose four neighbours do not agree: between
    neighbours with one largest plane, that plane stays the largest.

    Args:
        planes: at most 256.
    """
    labels = np.zeros(planes.shape[1:], np.uint8)
    highest = planes[0].copy()
    for index, own in enumerate(planes[1:], start=1):  # faster than argmax over few planes
        labels[own > highest] = index
        np.maximum(highest, own, out=highest)
    height, width = labels.shape
    if size == (height, width):
        return labels
    top, bottom, down = neighbours(height, size[0], align_corners=False)
    left, right, across = neighbours(width, size[1], align_corners=False)
    result = np.empty(size, np.uint8)
    np.take(labels[:, left], top, axis=0, out=result)
    below, beside = np.minimum(np.arange(height) + 1, height - 1), np.minimum(np.arange(width) + 1, width - 1)
    unsure = (labels != labels[below]) | (labels != labels[:, beside]) | (labels != labels[below][:, beside])
    first_row, first_column = (np.searchsorted(each, np.arange(n + 1)) for each, n in ((top, height), (left, width)))
    tall, wide = int(np.diff(first_row).max()), int(np.diff(first_column).max())
    step = max(1, BAND // (tall * wide * width))
    for start in range(0, height, step):
        r, c = np.nonzero(unsure[start : start + step])
        r += start
        y, x = first_row[r, None, None] + np.arange(tall)[:, None], first_column[c, None, None] + np.arange(wide)
        y, x = (np.broadcast_to(y, (len(r), tall, wide)), np.broadcast_to(x, (len(r), tall, wide)))
        within = (y < first_row[r + 1, None, None]) & (x < first_column[c + 1, None, None])
        y, x = y[within], x[within]
        above = planes[:, top[y], left[x]] * (1 - down[y]) + planes[:, bottom[y], left[x]] * down[y]
        after = planes[:, top[y], right[x]] * (1 - down[y]) + planes[:, bottom[y], right[x]] * down[y]
        result[y, x] = (above * (1 - across[x]) + after * across[x]).argmax(axis=0)
    return result


def neighbours(
    length_in: int, length_out: int, *, align_corners: bool
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
    """Return the two input positions that each output position lies between, and the weight of the second."""
    if align_corners:
        # In single precision, as torch: whether a sample falls on a pixel or just beside it decides what a mask shows.
        scale = np.float32(length_in - 1) / np.float32(max(length_out - 1, 1))
        positions = np.arange(length_out, dtype=np.float32) * scale
    else:
        positions = ((np.arange(length_out) + 0.5) * (length_in / length_out) - 0.5).clip(0)
    first = np.minimum(positions.astype(np.int64), length_in - 1)
    return first, np.minimum(first + 1, length_in - 1), (positions - first).astype(np.float32)


def resize_matrix(
    length_in: int, length_out: int, *, align_corners: bool = False
) -> Float32[np.ndarray, "length_out length_in"]:
    """Return the matrix that resizes one axis as `resize_bilinear` does."""
    first, second, weight = neighbours(length_in, length_out, align_corners=align_corners)
    matrix = np.zeros((length_out, length_in), np.float32)
    np.add.at(matrix, (np.arange(length_out), first), 1 - weight)
    np.add.at(matrix, (np.arange(length_out), second), weight)
    return matrix
