"""A random part of an image, and the same part of the masks and maps that go with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image


@dataclass(frozen=True)
class Crop:
    """A box in shares of the sides, and whether it is seen in a mirror."""

    top: float
    left: float
    height: float
    width: float
    mirrored: bool

    def of(self, plane: UInt8[np.ndarray, "h w *c"], size: int, *, labels: bool = False) -> UInt8[np.ndarray, "s s *c"]:
        """This part of an image or map, antialiased, or of `labels`, nearest, at `size` x `size` pixels."""
        height, width = plane.shape[:2]
        box = (
            self.left * width,
            self.top * height,
            (self.left + self.width) * width,
            (self.top + self.height) * height,
        )
        how = Image.Resampling.NEAREST if labels else Image.Resampling.BILINEAR
        cut = np.asarray(Image.fromarray(plane).resize((size, size), how, box=box))
        return np.array(cut[:, ::-1] if self.mirrored else cut)


def random_crop(least: float, mirror: float, generator: np.random.Generator) -> Crop:
    """A part that keeps at least the share `least` of each side, mirrored with chance `mirror`.

    The sides are drawn apart, so the aspect changes too.
    """
    height, width = generator.uniform(least, 1, size=2)
    top, left = generator.random(2) * (1 - height, 1 - width)
    return Crop(float(top), float(left), float(height), float(width), bool(generator.random() < mirror))
