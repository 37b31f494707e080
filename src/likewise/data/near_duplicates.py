"""Which files show the same photograph, whatever they are called: by their content, not by their names or bytes.

Data sets are made from one another, and an image that is measured on in one may be trained on in another.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from PIL import Image

from likewise.io.images import read_image

SIDE = 16
SAME_FROM = 0.95
"""Measured on PASCAL VOC 2012 and its co-segmentation groups: the same photograph at another size or compression
correlates with 0.995 and more, the likest pair of different ones with less than 0.9."""


def signature(image: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, " p"]:
    """A grey thumbnail of 16 x 16 pixels as a vector of length one and mean zero; zeros for an image of one grey."""
    grey = Image.fromarray(image).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    values = np.asarray(grey, np.float32).ravel()
    values = values - values.mean()
    length = float(np.linalg.norm(values))
    return values / length if length > 1 else np.zeros_like(values)


def signatures(files: Iterable[Path]) -> Float32[np.ndarray, "n p"]:
    """The signatures of the images in these files.

    Raises:
        ImageError: a file that cannot be read.
    """
    found = [signature(read_image(file)) for file in files]
    return np.stack(found) if found else np.zeros((0, SIDE * SIDE), np.float32)


def same(one: Float32[np.ndarray, "n p"], other: Float32[np.ndarray, "m p"]) -> Bool[np.ndarray, "n m"]:
    """Where an image of `one` is an image of `other`, from their signatures.

    Scaled, recompressed, or brighter it stays the same; cropped, turned or mirrored it does not. Images of one grey
    are never found.
    """
    return one @ other.T >= SAME_FROM


def shown_in(files: Sequence[Path], others: Iterable[Path]) -> Bool[np.ndarray, " n"]:
    """For each file, whether its image is among the others."""
    found: Bool[np.ndarray, "n m"] = same(signatures(files), signatures(others))
    return np.logical_or.reduce(found, axis=1)
