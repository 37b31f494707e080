"""The guided filter: smooth a map while its steps follow the edges of an image.

He, Sun, Tang, "Guided Image Filtering", TPAMI 2013, section 3.4 (colour guidance); fitted on a coarse grid as in He and
Sun, "Fast Guided Filter", 2015.

    guide, map --> in windows of a coarse grid: map = a . colour + b --> mean a, b of each window --> a . colour + b
"""

import numpy as np
from jaxtyping import Float, Float32, Int

from likewise.ops.bilinear import resize_bilinear


def guided_filter(
    guide: Float32[np.ndarray, "3 h w"],
    maps: Float32[np.ndarray, "k h w"],
    *,
    window: int,
    epsilon: float,
    subsample: int = 1,
) -> Float32[np.ndarray, "k h w"]:
    """Return the maps with their steps moved to the edges of the guide.

    Borders are replicated.

    Args:
        guide: a colour image, in [0, 1].
        maps: any values.
        window: side of the window in pixels, odd.
        epsilon: regularisation of the fit, in squared units of the guide: colour variance below it is not an edge.
        subsample: fit windows on every n-th pixel only. Cost falls by its square.
    """
    rows, columns = (sampled_positions(length, subsample) for length in guide.shape[1:])
    side = (window - 1) // subsample + 1
    colours = guide[:, rows[:, None], columns].astype(np.float64)
    values = maps[:, rows[:, None], columns].astype(np.float64)

    mean_colour = box_mean(colours, side)
    mean_value = box_mean(values, side)
    covariance = box_mean(colours[:, None] * colours, side) - mean_colour[:, None] * mean_colour
    covariance += epsilon * np.eye(3)[:, :, None, None]
    joint = box_mean(values[:, None] * colours, side) - mean_value[:, None] * mean_colour
    slopes = np.linalg.solve(covariance.transpose(2, 3, 0, 1), joint.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)
    offsets = mean_value - (slopes * mean_colour).sum(axis=1)

    size = (guide.shape[1], guide.shape[2])
    smooth = np.stack([*box_mean(slopes, side).transpose(1, 0, 2, 3), box_mean(offsets, side)]).astype(np.float32)
    result = resize_bilinear(smooth[3], size)
    for colour, slope in zip(guide, smooth, strict=False):
        result += resize_bilinear(slope, size) * colour
    return result


def sampled_positions(length: int, subsample: int) -> Int[np.ndarray, " n"]:
    """Return the pixels of an axis that stay when it is subsampled: those nearest to the centres of the coarse pixels.

    A bilinear resize back to `length` then puts each value where it was taken, less `(subsample - 1) / 2` pixels.
    """
    count = max(length // subsample, 1)
    positions = ((2 * np.arange(count) + 1) * length + count * (1 - subsample)) // (2 * count)
    return positions.clip(0, length - 1)


def box_mean(planes: Float[np.ndarray, "*more h w"], side: int) -> Float[np.ndarray, "*more h w"]:
    """Return the mean over windows of `side` x `side` pixels, borders replicated."""
    before = (side - 1) // 2
    padding = [(0, 0)] * (planes.ndim - 2) + [(before + 1, side - 1 - before)] * 2
    sums = np.pad(planes, padding, mode="edge").cumsum(axis=-2).cumsum(axis=-1)
    windows = sums[..., side:, side:] - sums[..., :-side, side:] - sums[..., side:, :-side] + sums[..., :-side, :-side]
    return windows / side**2
