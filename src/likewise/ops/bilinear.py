"""Bilinear resizing of planes, by the conventions of the papers' programs."""

import numpy as np
from jaxtyping import Float32, Int


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
    rows = planes[..., top, :] * (1 - down)[:, None]
    rows += planes[..., bottom, :] * down[:, None]
    left, right, across = neighbours(width, size[1], align_corners=align_corners)
    result = np.take(rows, left, axis=-1) * (1 - across)
    result += np.take(rows, right, axis=-1) * across
    return result


def neighbours(
    length_in: int, length_out: int, *, align_corners: bool
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
    """Return the two input positions that each output position lies between, and the weight of the second."""
    positions = np.arange(length_out, dtype=np.float64)
    if align_corners:
        positions *= (length_in - 1) / max(length_out - 1, 1)
    else:
        positions = ((positions + 0.5) * (length_in / length_out) - 0.5).clip(0)
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
