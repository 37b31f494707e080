"""The mask of a support at the size of each level. Numpy only: every engine masks by this code."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32

from likewise.errors import warn
from likewise.ops.bilinear import resize_bilinear

Plane = tuple[int, int]
"""Height and width."""


def level_masks(
    masks: Float32[np.ndarray, "b h w"], planes: Mapping[int, Plane], *, rescue: bool
) -> dict[int, Float32[np.ndarray, "b _h _w"]]:
    """Return the masks at the size of each level by stride, bilinear, so in [0, 1] and not binary.

    Warns when a nonempty mask vanishes at a level; with `rescue` the max-pooled mask of the finest level that still
    holds it takes its place.
    """
    found = {stride: resize_bilinear(masks, plane, align_corners=True) for stride, plane in sorted(planes.items())}
    held = {stride: level.max(axis=(1, 2)) > 0 for stride, level in found.items()}
    shown = masks.max(axis=(1, 2)) > 0
    vanished = [stride for stride in found if (shown & ~held[stride]).any()]
    if not vanished:
        return found
    strides = " and ".join(str(stride) for stride in vanished)
    warn(
        f"a support mask is too small for stride {strides}; "
        + ("the finest level that holds it is used instead" if rescue else "this stride has no correlations")
        + ". Use an image in which the object is larger, or crop it."
    )
    if rescue:
        for shot, mask in enumerate(masks):
            finest = next((found[stride][shot] for stride in found if held[stride][shot]), mask)
            for stride in vanished:
                if not held[stride][shot]:
                    found[stride][shot] = max_pool(finest, planes[stride])
    return found


def max_pool(mask: Float32[np.ndarray, "h w"], plane: Plane) -> Float32[np.ndarray, "ho wo"]:
    """Return the largest value of each cell of a grid of this size over the mask; neighbouring cells may overlap."""
    cells = [
        [slice(index * length // count, -(-(index + 1) * length // count)) for index in range(count)]
        for length, count in zip(mask.shape, plane, strict=True)
    ]
    return np.array([[mask[rows, columns].max() for columns in cells[1]] for rows in cells[0]], np.float32)
