"""Images, planes and label maps at another size, by Pillow and numpy."""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from PIL import Image

LARGEST_SIDE = 4096
"""The largest side in pixels that a setting may resize images to."""

Nearest = Literal["floor", "centre"]
"""Rule by which `resize_labels` picks the input pixel of an output pixel."""


def resize_image(image: UInt8[np.ndarray, "h w 3"], height: int, width: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Return the image at `height` x `width` pixels by Pillow's antialiased bilinear filter; aspect may change."""
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def resize_grey(grey: UInt8[np.ndarray, "h w"], height: int, width: int) -> UInt8[np.ndarray, "h2 w2"]:
    """Return a grey map at `height` x `width` pixels by Pillow's antialiased bilinear filter."""
    return np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.BILINEAR))


def cell_means(
    plane: Float32[np.ndarray, "h w"] | Bool[np.ndarray, "h w"], size: tuple[int, int]
) -> Float32[np.ndarray, "h2 w2"]:
    """Return the mean over each cell of a grid of `size` (height, width), by Pillow's box filter."""
    image = Image.fromarray(plane.astype(np.float32))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BOX))


def resize_labels(
    labels: UInt8[np.ndarray, "h w"], height: int, width: int, nearest: Nearest = "floor"
) -> UInt8[np.ndarray, "h2 w2"]:
    """Return the label map at `height` x `width` pixels; it holds no value that `labels` does not hold.

    Two conventions of nearest-neighbour resizing are in use and differ by up to one pixel. Output pixel i of n reads
    input pixel floor(i * size / n) under "floor" (torch's `interpolate(mode="nearest")`, in single precision) and
    floor((i + 0.5) * size / n) under "centre" (Pillow).
    """
    if nearest == "centre":
        return np.asarray(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))
    rows, columns = (
        np.minimum((np.arange(new, dtype=np.float32) * np.float32(np.float32(old) / np.float32(new))), old - 1)
        for new, old in zip((height, width), labels.shape, strict=True)
    )
    return labels[rows.astype(np.intp)][:, columns.astype(np.intp)]
