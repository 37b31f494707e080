"""The size at which a few-shot network sees an image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from likewise.errors import ImageError
from likewise.io.opening import format_size
from likewise.io.resize import resize_image

SMALLEST_IMAGE = 16
"""Images with a shorter side, in pixels, are refused: they have no feature position of their own."""

Pixels = UInt8[np.ndarray, "_h _w 3"]


class Inputs(NamedTuple):
    """Resizes images for a network.

    Attributes:
        side: images become about `side` x `side` pixels, with their aspect.
        smallest: least height and width, in pixels.
        multiple: heights and widths are multiples of it.
    """

    side: int
    smallest: int
    multiple: int

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The (height, width) to which an image is resized: about `side` squared.

        The short side of a strip is at least `smallest`, and its long side then shrinks to keep the area.
        """
        scale = self.side / (height * width) ** 0.5
        longest = max(self.smallest, self.side**2 // self.smallest // self.multiple * self.multiple)
        resized = [
            min(longest, max(self.smallest, round(length * scale / self.multiple) * self.multiple))
            for length in (height, width)
        ]
        return resized[0], resized[1]

    def resize(self, image: Pixels) -> Pixels:
        """Return the image at this size.

        Raises:
            ImageError: an image with a side under `SMALLEST_IMAGE` pixels.
        """
        height, width = image.shape[:2]
        if min(height, width) < SMALLEST_IMAGE:
            raise ImageError(
                f"the image is {format_size(height, width)}; at least {SMALLEST_IMAGE} pixels a side are needed"
            )
        return resize_image(image, *self.size(height, width))
