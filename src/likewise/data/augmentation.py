"""Random scale, crop, colour and mirroring of a training image together with its labels.

torchvision's crops cut whole pixels; a `Crop` is relative to the sides, so that a saliency map of another size than its
image is cut at the same place.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from likewise.io.labels import IGNORE


def mirror_labels(labels: UInt8[np.ndarray, "h w"], pairs: Sequence[tuple[int, int]]) -> UInt8[np.ndarray, "h w"]:
    """Return the labels of the mirrored image: columns reversed, the two labels of each pair exchanged."""
    lookup = np.arange(256, dtype=np.uint8)
    for left, right in pairs:
        lookup[[left, right]] = right, left
    return lookup[labels[:, ::-1]]


@dataclass(frozen=True)
class Augmentation:
    """Random scale, crop, colour and mirroring of one image and its labels.

    Attributes:
        scale: range of the factor on both sides; (1, 1) keeps the size.
        crop: side of the square crop in pixels; None for no crop. Where the image is smaller than the crop, it is
            padded with its mean colour and the labels with IGNORE.
        jitter: strength of the change in brightness, contrast and saturation.
        mirror: probability of mirroring.
        pairs: label pairs (left and right parts) that change places when the image is mirrored.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    crop: int | None = None
    jitter: float = 0.0
    mirror: float = 0.5
    pairs: tuple[tuple[int, int], ...] = ()

    def __call__(
        self, image: UInt8[np.ndarray, "h w 3"], labels: UInt8[np.ndarray, "h w"], seed: int
    ) -> tuple[UInt8[np.ndarray, "h2 w2 3"], UInt8[np.ndarray, "h2 w2"]]:
        """Return the augmented pair. The same `seed` returns the same pair; global generators keep their state."""
        # imported here: loading torch takes seconds, and the rest of `data` does not need it
        import torch
        from torchvision import tv_tensors
        from torchvision.transforms import v2

        pixels = tv_tensors.Image(torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))))
        mask = tv_tensors.Mask(torch.from_numpy(np.ascontiguousarray(labels)))
        generator = np.random.default_rng(seed)
        factor = generator.uniform(*self.scale)
        size = [max(1, round(side * factor)) for side in labels.shape]
        steps: list[torch.nn.Module] = []
        if size != list(labels.shape):
            steps.append(v2.Resize(size, antialias=True))
        if self.crop is not None:
            mean = [int(value) for value in image.reshape(-1, 3).mean(0)]
            fill = {tv_tensors.Image: mean, tv_tensors.Mask: IGNORE}
            steps.append(v2.RandomCrop(self.crop, pad_if_needed=True, fill=fill))
        if self.jitter:
            steps.append(v2.ColorJitter(self.jitter, self.jitter, self.jitter))
        # torchvision draws from torch's global generator: seed a fork of it
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(generator.integers(2**63)))
            for step in steps:
                pixels, mask = step(pixels, mask)
        new_image, new_labels = pixels.numpy().transpose(1, 2, 0), mask.numpy()
        if generator.random() < self.mirror:
            new_image, new_labels = new_image[:, ::-1], mirror_labels(new_labels, self.pairs)
        return np.ascontiguousarray(new_image), np.ascontiguousarray(new_labels)


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
