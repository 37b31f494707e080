"""Refine outlines to image edges with the guided filter.

    probabilities, image -> in windows of a coarse grid: probability = a . colour + b -> a, b of every pixel

Networks compute at strides of 8 and more, so their probabilities, resized to the image, cross edges smoothly. The
filter fits a linear map from colour to probability in each small window; its output changes where the colours change.

He, Sun, Tang, "Guided Image Filtering", TPAMI 2013, section 3; on a coarse grid as in He and Sun, "Fast Guided Filter",
2015. Nothing is learned; the settings were chosen on training images (docs/results.md).
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageFilter
from torch import Tensor

from likewise.io.resize import resize_image
from likewise.ops.features import resize

RADIUS = 0.05
"""Radius of a window, as a fraction of the image's short side (docs/results.md)."""
EPSILON = 1e-4
"""Variance of colours in [0, 1] below which a window has no edge: a standard deviation of 0.01 (docs/results.md)."""
BLUR = 0.008
"""Standard deviation of the Gaussian blur of the colours, as a fraction of the short side; it removes texture."""
GRID = 80
"""Windows are fitted at about this many positions along the short side, which bounds the time."""
LARGEST = 1024
"""The short side, in pixels, to which larger images are resized before filtering, which bounds the time."""


def refine_edges(probabilities: Float[Tensor, "k h w"], image: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "k h w"]:
    """The probabilities of background and classes, in [0, 1], refined to the edges of the image.

    They sum to 1 at every pixel: the background takes what the classes leave.
    """
    size = height, width = image.shape[:2]
    if (short := min(size)) > LARGEST:
        height, width = (max(1, round(length * LARGEST / short)) for length in size)
        image, short = resize_image(image, height, width), LARGEST
    blurred = Image.fromarray(image).filter(ImageFilter.GaussianBlur(BLUR * short))
    colours = torch.tensor(np.asarray(blurred), device=probabilities.device).movedim(2, 0)[None].float() / 255
    window, every = 2 * max(1, round(RADIUS * short)) + 1, max(1, short // GRID)
    classes = [
        resize(
            guided_filter(resize(one, (height, width), align_corners=False), colours, window, every),
            size,
            align_corners=False,
        )
        for one in probabilities[1:, None, None].float()
    ]
    found = torch.cat(classes)[:, 0].clamp(0, 1)
    found = found / found.sum(dim=0).clamp(min=1)
    return torch.cat([(1 - found.sum(dim=0, keepdim=True)).clamp(min=0), found])


def guided_filter(
    plane: Float[Tensor, "1 1 h w"], colours: Float[Tensor, "1 3 h w"], window: int, every: int
) -> Float[Tensor, "1 1 h w"]:
    """The plane filtered by the colours, in windows of odd side `window` at every `every`-th position."""
    from kornia.filters import guided_blur  # takes half a second to import

    return guided_blur(colours, plane, window, EPSILON, border_type="replicate", subsample=every)
