"""Random crops of images, masks and maps of different resolutions.

torchvision's `RandomResizedCrop` cuts whole pixels; here the box is relative to the sides, so that a saliency map of
another size than its image is cut at the same place.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image


@dataclass(frozen=True)
class Crop:
    """A box in fractions of the image's sides, and whether the result is mirrored."""

    top: float
    left: float
    height: float
    width: float
    mirrored: bool

    def apply(
        self, plane: UInt8[np.ndarray, "h w *c"], size: int, *, labels: bool = False
    ) -> UInt8[np.ndarray, "s s *c"]:
        """Return the crop of an image, map or label map, resized: antialiased bilinear, for labels nearest."""
        height, width = plane.shape[:2]
        box = (
            self.left * width,
            self.top * height,
            (self.left + self.width) * width,
            (self.top + self.height) * height,
        )
        resampling = Image.Resampling.NEAREST if labels else Image.Resampling.BILINEAR
        resized = np.asarray(Image.fromarray(plane).resize((size, size), resampling, box=box))
        return np.array(resized[:, ::-1] if self.mirrored else resized)


def random_crop(min_share: float, mirror: float, generator: np.random.Generator) -> Crop:
    """Return a crop whose height and width are drawn independently, each at least the fraction `min_share`."""
    height, width = generator.uniform(min_share, 1, size=2)
    top, left = generator.random(2) * (1 - height, 1 - width)
    return Crop(float(top), float(left), float(height), float(width), bool(generator.random() < mirror))
