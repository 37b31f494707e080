"""Which files show the same photograph, whatever they are called: by their content, not by their names or bytes.

Data sets are made from one another, and a picture that is measured on in one may be trained on in another.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from PIL import Image

from likewise.images import read_picture

SIDE = 16
SAME_FROM = 0.95
"""Measured on PASCAL VOC 2012 and its co-segmentation groups: the same photograph at another size or compression
correlates with 0.995 and more, the likest pair of different ones with less than 0.9."""


def signature(picture: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, " p"]:
    """A grey thumbnail of 16 x 16 pixels as a vector of length one and mean zero; zeros for a picture of one grey."""
    grey = Image.fromarray(picture).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    values = np.asarray(grey, np.float32).ravel()
    values = values - values.mean()
    length = float(np.linalg.norm(values))
    return values / length if length > 1 else np.zeros_like(values)


def signatures(files: Iterable[Path]) -> Float32[np.ndarray, "n p"]:
    """The signatures of the pictures in these files.

    Raises:
        PictureError: a file that cannot be read.
    """
    found = [signature(read_picture(file)) for file in files]
    return np.stack(found) if found else np.zeros((0, SIDE * SIDE), np.float32)


def same(one: Float32[np.ndarray, "n p"], other: Float32[np.ndarray, "m p"]) -> Bool[np.ndarray, "n m"]:
    """Where a picture of `one` is a picture of `other`, from their signatures.

    Scaled, recompressed, or brighter it stays the same; cropped, turned or mirrored it does not. Pictures of one grey
    are never found.
    """
    return one @ other.T >= SAME_FROM


def shown_in(files: Sequence[Path], others: Iterable[Path]) -> Bool[np.ndarray, " n"]:
    """For each file, whether its picture is among the others."""
    found: Bool[np.ndarray, "n m"] = same(signatures(files), signatures(others))
    return np.logical_or.reduce(found, axis=1)
