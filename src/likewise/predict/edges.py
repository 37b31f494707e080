"""Outlines that follow the image's edges.

A network that reads at strides of 8 and more says nothing of single pixels: its probabilities, brought to the size of
the image, run smoothly over every edge. The guided filter fits, in each small window, a linear map from the image's
colours to the probabilities, so that these change where the colours do.

    probabilities, image -> in windows of a coarse grid: probability = a . colour + b -> a, b of every pixel

He, Sun, Tang, "Guided Image Filtering", TPAMI 2013, section 3; on a coarse grid as in He and Sun, "Fast Guided Filter",
2015. It learns nothing; its settings were chosen on training images (docs/results.md).
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
"""Of a window, as a share of the image's short side."""
EPSILON = 1e-4
"""How much of the colours' variance, which lie in [0, 1], counts as no edge: that of a hundredth."""
SMOOTHED = 0.008
"""Standard deviation of the Gaussian that the colours pass first, as a share of the short side: texture is no edge."""
GRID = 80
"""Windows are fitted on about so many positions along the short side."""
LARGEST = 1024
"""The short side of larger images is brought to this: enough for an outline, and its cost stays bounded."""


def along_edges(probabilities: Float[Tensor, "k h w"], image: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "k h w"]:
    """The probabilities of background and classes, in [0, 1], changing where the image's colours change.

    They sum to 1 at every pixel, the background's being what the others leave.
    """
    size = height, width = image.shape[:2]
    if (short := min(size)) > LARGEST:
        height, width = (max(1, round(length * LARGEST / short)) for length in size)
        image, short = resize_image(image, height, width), LARGEST
    smooth = Image.fromarray(image).filter(ImageFilter.GaussianBlur(SMOOTHED * short))
    colours = torch.tensor(np.asarray(smooth), device=probabilities.device).movedim(2, 0)[None].float() / 255
    window, every = 2 * max(1, round(RADIUS * short)) + 1, max(1, short // GRID)
    classes = [
        resize(
            filtered(resize(one, (height, width), align_corners=False), colours, window, every),
            size,
            align_corners=False,
        )
        for one in probabilities[1:, None, None].float()
    ]
    found = torch.cat(classes)[:, 0].clamp(0, 1)
    found = found / found.sum(dim=0).clamp(min=1)
    return torch.cat([(1 - found.sum(dim=0, keepdim=True)).clamp(min=0), found])


def filtered(
    plane: Float[Tensor, "1 1 h w"], colours: Float[Tensor, "1 3 h w"], window: int, every: int
) -> Float[Tensor, "1 1 h w"]:
    from kornia.filters import guided_blur  # half a second to load, and nothing else needs it

    return guided_blur(colours, plane, window, EPSILON, border_type="replicate", subsample=every)
