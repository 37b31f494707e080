"""A support as the operands of matrix products: what HSNet's exported graph reads of it.

A convolution of the support plane is a product for each of its outputs: the weights of the kernel positions that fall
on the plane, times the rows that lie there. Rows are query planes, so they stay where they are in memory.

    SupportLevel --> first_layer --> windows of foreground features; outputs that see no foreground share one window
    plane ---------> reads --------> rows and kernel positions of each output of a further layer
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from likewise.ops.bilinear import resize_matrix
from likewise.ops.hypercorrelation.supports import Support, SupportLevel

Plane = tuple[int, int]
"""Height and width."""

Layers = Mapping[int, Sequence[tuple[int, int]]]
"""Kernel side and stride of each layer of the squeeze block of each stride."""

MIX_SIDE = 3
"""Kernel side of the mix blocks."""


class Reads(NamedTuple):
    """What a convolution of a plane reads, for each of its `o` outputs in row-major order.

    Attributes:
        rows: positions of the plane, row-major.
        taps: their positions in the kernel, row-major; one past the last where an output reads fewer than `k`.
        centers: the position under the kernel's center.
    """

    rows: Int64[np.ndarray, "o k"]
    taps: Int64[np.ndarray, "o k"]
    centers: Int64[np.ndarray, " o"]


def reads(plane: Plane, side: int, stride: int) -> Reads:
    """Return what a convolution with a kernel of this side, padded by half of it, reads of a plane."""
    axes = [np.arange(0, length, stride)[:, None] + np.arange(side) - side // 2 for length in plane]
    inside = [(axis >= 0) & (axis < length) for axis, length in zip(axes, plane, strict=True)]
    rows = (axes[0][:, None, :, None] * plane[1] + axes[1][None, :, None, :]).reshape(-1, side * side)
    seen = (inside[0][:, None, :, None] & inside[1][None, :, None, :]).reshape(-1, side * side)
    taps = np.broadcast_to(np.arange(side * side), rows.shape)
    read, used = pack(seen, (rows, 0), (taps, side * side))
    return Reads(read, used, rows[:, side * side // 2])


def pack(
    seen: Bool[np.ndarray, "o _k"], *values: tuple[Int64[np.ndarray, "o _k"], int]
) -> list[Int64[np.ndarray, "o k"]]:
    """Return those of the values that are `seen`, as many columns as needed, filled with the number beside them."""
    order = np.argsort(~seen, axis=1, kind="stable")[:, : seen.sum(axis=1).max(initial=1)]
    kept = np.take_along_axis(seen, order, axis=1)
    return [np.where(kept, np.take_along_axis(own, order, axis=1), fill) for own, fill in values]


def strided(plane: Plane, stride: int) -> Plane:
    """Return the size of the plane after a convolution with this stride."""
    return (plane[0] - 1) // stride + 1, (plane[1] - 1) // stride + 1


def operands(support: Support, layers: Layers) -> dict[str, np.ndarray]:
    """Return the inputs of HSNet's exported graph that come from one support, by their names in the graph."""
    found: dict[str, np.ndarray] = {}
    planes: dict[int, Plane] = {}
    for stride, level in support.levels.items():
        (side, step), *further = layers[stride]
        first, window_of = first_layer(level, side, step)
        found |= {f"{name}{stride}": values for name, values in first.items()}
        plane = strided(level.plane, step)
        for number, (side, step) in enumerate(further, start=2):
            rows, taps, centers = reads(plane, side, step)
            if number == 2:
                rows, centers = window_of[rows], window_of[centers]
            names = (f"rows{stride}_{number}", f"taps{stride}_{number}", f"centers{stride}_{number}")
            found |= zip(names, (rows, taps, centers), strict=True)
            plane = strided(plane, step)
        planes[stride] = plane
    strides = sorted(planes, reverse=True)
    for deep, shallow in pairwise(strides):
        axes = zip(planes[deep], planes[shallow], strict=True)
        found[f"resize{shallow}"] = np.kron(*(resize_matrix(*lengths, align_corners=True) for lengths in axes))
        rows, taps, _ = reads(planes[shallow], MIX_SIDE, 1)
        found |= {f"rows{shallow}_mix": rows, f"taps{shallow}_mix": taps}
    return found


def first_layer(level: SupportLevel, side: int, stride: int) -> tuple[dict[str, np.ndarray], Int64[np.ndarray, " p"]]:
    """Return the operands of a squeeze block's first layer, and the window of each of its outputs.

    - windows: the features that an output sees (`o`, `k`, channels of all taps), zero where it sees less than `k`. The
      last window is empty: it stands for all outputs that see no foreground.
    - taps: their positions in the kernel (`o`, `k`).
    - centers: the features under the kernel's center (`n`, channels), where there are any; at: their windows.
    - outputs: the number of all outputs.
    """
    features = np.concatenate([tap.astype(np.float32) for tap in level.features], axis=1)
    features = np.concatenate([features, np.zeros_like(features[:1])])
    none = len(features) - 1
    feature_at = np.full(level.plane[0] * level.plane[1], none)
    feature_at[level.positions.astype(np.int64) @ [level.plane[1], 1]] = np.arange(none)
    rows, taps, centers = reads(level.plane, side, stride)
    seen = (taps < side * side) & (feature_at[rows] != none)
    seeing = np.flatnonzero(seen.any(axis=1))
    found, taps = pack(seen[seeing], (feature_at[rows[seeing]], none), (taps[seeing], side * side))
    window_of = np.full(len(rows), len(seeing))
    window_of[seeing] = np.arange(len(seeing))
    at = np.flatnonzero(feature_at[centers[seeing]] != none)
    return {
        "windows": features[np.pad(found, ((0, 1), (0, 0)), constant_values=none)],
        "taps": np.pad(taps, ((0, 1), (0, 0)), constant_values=side * side),
        "centers": features[feature_at[centers[seeing[at]]] if len(at) else [none]],
        "at": at if len(at) else np.zeros(1, np.int64),
        "outputs": np.array(len(rows), np.float32),
    }, window_of
