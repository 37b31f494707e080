"""Sizes of pictures and label maps, and the augmentations of training; picture and labels move together."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image


def resize_picture(picture: UInt8[np.ndarray, "h w 3"], height: int, width: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The picture at `height` x `width` pixels, PIL's antialiased bilinear, aspect not kept."""
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))


def resize_grey(grey: UInt8[np.ndarray, "h w"], height: int, width: int) -> UInt8[np.ndarray, "h2 w2"]:
    """A map of grey values at `height` x `width` pixels, PIL's antialiased bilinear."""
    return np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.BILINEAR))


def resize_labels(
    labels: UInt8[np.ndarray, "h w"], height: int, width: int, nearest: str = "floor"
) -> UInt8[np.ndarray, "h2 w2"]:
    """The labels at `height` x `width` pixels; no new label appears.

    Two conventions of "nearest" are in use and differ by up to a pixel: output pixel i of n reads input pixel
    floor(i * size / n) for "floor" (torch's `interpolate(mode="nearest")`) and floor((i + 0.5) * size / n) for
    "centre" (PIL, torch's "nearest-exact").
    """
    shift = {"floor": 0.0, "centre": 0.5}[nearest]
    rows = np.floor((np.arange(height) + shift) * (labels.shape[0] / height)).astype(np.intp)
    columns = np.floor((np.arange(width) + shift) * (labels.shape[1] / width)).astype(np.intp)
    return labels[np.minimum(rows, labels.shape[0] - 1)][:, np.minimum(columns, labels.shape[1] - 1)]
