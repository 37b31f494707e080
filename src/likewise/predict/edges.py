"""Refine outlines to image edges.

A network that reads features at strides of 8 pixels and more cannot place single pixels: its probabilities, resized to
the image, run smoothly over every edge. The guided filter (`likewise.ops.guided_filter`) moves their steps to where the
colours change. It has no trained parts; its settings were chosen on training images (experiments/08-group-settings).
"""

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageFilter

from likewise.io.resize import resize_image
from likewise.ops.bilinear import resize_bilinear
from likewise.ops.guided_filter import guided_filter

RADIUS = 0.05
"""Half the side of a window, as a share of the image's short side (experiments/08-group-settings)."""
EPSILON = 1e-4
"""Variance of colours in [0, 1] that does not count as an edge (experiments/08-group-settings)."""
SMOOTHING = 0.004
"""Standard deviation of the Gaussian that removes texture from the colours, as a share of the short side
(experiments/21-resolution)."""
GRID = 80
"""Least positions along the short side at which windows are fitted (120 are no better: experiments/21-resolution)."""
LARGEST = 750
"""Larger short sides, in pixels, are reduced to this, so that JPEGs of phones are decoded at a quarter. `SMOOTHING`
removes what more pixels would show: DAVIS masks at 480 are no better than at 320 (docs/large-images.md)."""


def refine_edges(
    probabilities: Float32[np.ndarray, "k h w"], image: UInt8[np.ndarray, "h w 3"]
) -> Float32[np.ndarray, "k h w"]:
    """Return the probabilities of background and classes, changing where the image's colours change.

    They lie in [0, 1] and sum to 1 at every pixel; the background has what the classes leave.
    """
    size = height, width = image.shape[:2]
    short = min(size)
    if short > LARGEST:
        height, width = (max(1, round(length * LARGEST / short)) for length in size)
        image, short = resize_image(image, height, width), LARGEST
    smooth = Image.fromarray(image).filter(ImageFilter.GaussianBlur(SMOOTHING * short))
    colours = np.ascontiguousarray(np.asarray(smooth).transpose(2, 0, 1)).astype(np.float32) / 255
    window, subsample = 2 * max(1, round(RADIUS * short)) + 1, max(1, short // GRID)
    classes = resize_bilinear(probabilities[1:], (height, width))
    classes = guided_filter(colours, classes, window=window, epsilon=EPSILON, subsample=subsample)
    classes = resize_bilinear(classes, size).clip(0, 1)
    classes /= classes.sum(axis=0).clip(1)
    return np.concatenate([(1 - classes.sum(axis=0, keepdims=True)).clip(0), classes])
