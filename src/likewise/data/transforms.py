"""Sizes of images and label maps, and the augmentations of training; image and labels move together."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from likewise.io.labels import IGNORE

Nearest = Literal["floor", "centre"]
"""How a resized label map picks its pixels; see `resize_labels`."""


def resize_image(image: UInt8[np.ndarray, "h w 3"], height: int, width: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The image at `height` x `width` pixels, PIL's antialiased bilinear, aspect not kept."""
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def resize_grey(grey: UInt8[np.ndarray, "h w"], height: int, width: int) -> UInt8[np.ndarray, "h2 w2"]:
    """A map of grey values at `height` x `width` pixels, PIL's antialiased bilinear."""
    return np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.BILINEAR))


def resize_labels(
    labels: UInt8[np.ndarray, "h w"], height: int, width: int, nearest: Nearest = "floor"
) -> UInt8[np.ndarray, "h2 w2"]:
    """The labels at `height` x `width` pixels; no new label appears.

    Two conventions of "nearest" are in use and differ by up to a pixel: output pixel i of n reads input pixel
    floor(i * size / n) for "floor" (torch's `interpolate(mode="nearest")`, single precision) and
    floor((i + 0.5) * size / n) for "centre" (PIL).
    """
    if nearest == "centre":
        return np.asarray(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))
    rows, columns = (
        np.minimum((np.arange(new, dtype=np.float32) * np.float32(np.float32(old) / np.float32(new))), old - 1)
        for new, old in zip((height, width), labels.shape, strict=True)
    )
    return labels[rows.astype(np.intp)][:, columns.astype(np.intp)]


def mirrored_labels(labels: UInt8[np.ndarray, "h w"], pairs: tuple[tuple[int, int], ...]) -> UInt8[np.ndarray, "h w"]:
    """The labels of the mirrored image: columns reversed, and each pair of left and right parts exchanged."""
    lookup = np.arange(256, dtype=np.uint8)
    for left, right in pairs:
        lookup[[left, right]] = right, left
    return lookup[labels[:, ::-1]]


@dataclass(frozen=True)
class Augmentation:
    """Random scale, crop, colour and mirror image for one training image and its labels.

    `scale` is the range of the factor on the sides (1, 1 leaves them); `crop` the side of the square that is cut,
    None for no cut; what the image lacks is filled with its mean colour and IGNORE; `jitter` the strength of
    brightness, contrast and saturation; `mirror` the chance of a mirror image; `pairs` the class indices that then
    change places.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    crop: int | None = None
    jitter: float = 0.0
    mirror: float = 0.5
    pairs: tuple[tuple[int, int], ...] = ()

    def __call__(
        self, image: UInt8[np.ndarray, "h w 3"], labels: UInt8[np.ndarray, "h w"], seed: int
    ) -> tuple[UInt8[np.ndarray, "h2 w2 3"], UInt8[np.ndarray, "h2 w2"]]:
        """The augmented pair; the same `seed` gives the same pair, and no global generator moves."""
        # torch takes seconds to load, and nothing else here needs it
        import torch
        from torchvision import tv_tensors
        from torchvision.transforms import v2

        moved = tv_tensors.Image(torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))))
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
        # torchvision draws from torch's global generator: lend it ours, and give its own state back
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(generator.integers(2**63)))
            for step in steps:
                moved, mask = step(moved, mask)
        seen, classes = moved.numpy().transpose(1, 2, 0), mask.numpy()
        if generator.random() < self.mirror:
            seen, classes = seen[:, ::-1], mirrored_labels(classes, self.pairs)
        return np.ascontiguousarray(seen), np.ascontiguousarray(classes)
