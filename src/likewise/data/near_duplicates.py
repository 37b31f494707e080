"""Near-duplicate images, found by content: the same photograph at another size, compression, brightness or name.

Data sets share images: 694 of the 764 images of the PASCAL co-segmentation groups are in VOC 2012 under other names.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from PIL import Image

from likewise.io.images import read_image

SIDE = 16
"""Side of the compared thumbnails, in pixels."""

MIN_CORRELATION = 0.95
"""Correlation of two thumbnails from which the images count as duplicates.

Measured on PASCAL VOC 2012 and its co-segmentation groups: copies at another size or compression correlate with at
least 0.995, the most similar pair of different photographs with less than 0.9.
"""


def thumbnail_vector(image: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, " p"]:
    """Return a grey thumbnail as a vector of mean zero and length one; zeros for an image of one grey."""
    grey = Image.fromarray(image).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    values = np.asarray(grey, np.float32).ravel()
    values = values - values.mean()
    length = float(np.linalg.norm(values))
    return values / length if length > 1 else np.zeros_like(values)


def thumbnail_vectors(files: Iterable[Path]) -> Float32[np.ndarray, "n p"]:
    """Return the thumbnail vectors of the images in these files.

    Raises:
        ImageError: a file that cannot be read.
    """
    found = [thumbnail_vector(read_image(file)) for file in files]
    return np.stack(found) if found else np.zeros((0, SIDE * SIDE), np.float32)


def find_duplicates(files: Sequence[Path], others: Iterable[Path]) -> Bool[np.ndarray, " n"]:
    """Return for each file whether its image is a near-duplicate of one of the others.

    Cropped, rotated and mirrored copies are not found, nor are images of one grey.
    """
    correlation: Float32[np.ndarray, "n m"] = thumbnail_vectors(files) @ thumbnail_vectors(others).T
    return np.logical_or.reduce(correlation >= MIN_CORRELATION, axis=1)
