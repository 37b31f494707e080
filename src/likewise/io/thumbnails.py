"""Small copies of images, decoded at about their own size where the format can."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from likewise.io.images import read_image

JPEG_MODES = ("RGB", "L")
"""Modes of JPEG that Pillow's scaled decoder and `read_image` turn into the same colours."""


def read_small(path: Path, side: int) -> UInt8[np.ndarray, "h w 3"]:
    """Return the upright image with at most `side` pixels on its long side; images are not enlarged.

    A JPEG is decoded at about that size: a photograph of 12 megapixels in 20 ms.

    Raises:
        ImageError: see `likewise.io.images.read_image`.
    """
    small = _draft(path, side) or Image.fromarray(read_image(path))
    small.thumbnail((side, side), Image.Resampling.BILINEAR)
    return np.array(small)


def _draft(path: Path, side: int) -> Image.Image | None:
    try:
        with Image.open(path, formats=("JPEG",)) as image:
            if image.mode not in JPEG_MODES:
                return None
            image.draft(image.mode, (side, side))
            image.load()
            return ImageOps.exif_transpose(image).convert("RGB")
    except Exception:  # no JPEG, or a damaged one: `read_image` raises the error that says what is wrong
        return None
