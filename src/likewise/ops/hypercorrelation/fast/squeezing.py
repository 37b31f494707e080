"""Squeeze and mix blocks on learned supports: the same numbers as the plain kernels give, sooner.

Here a hypercorrelation has axes `b c hs ws q`, the query plane flattened and last, and lies in memory with
its channels last: both planar convolutions of a center-pivot kernel run on it where it lies. Masked support features
are exactly zero outside the mask, and so are their correlations: only a rectangle of the support plane is ever made,
and the first layer leaves one constant for each channel outside of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from likewise.ops.features import resize
from likewise.ops.hypercorrelation.correlation import CenterPivotConv4d
from likewise.ops.hypercorrelation.fast.norms import merge_moments, moments, normalise, positions_per_row, scaled
from likewise.ops.hypercorrelation.fast.operators import convolve3d
from likewise.ops.hypercorrelation.supports import SupportLevel

Level = Float[Tensor, "_b _c _hs _ws _q"]
"""A hypercorrelation whose query plane is flattened and last."""

Plane = tuple[int, int]
"""Height and width."""

TILE = 1 << 21
"""Correlations that are held at a time: few enough to stay in the processor's cache."""


@dataclass(frozen=True)
class LearnedLevel:
    """A `SupportLevel` as tensors: features on the device and in the precision of the network."""

    features: tuple[Float[Tensor, "p _c"], ...]
    positions: Int[Tensor, "p 2"]
    plane: tuple[int, int]

    @classmethod
    def of(cls, level: SupportLevel, like: Tensor) -> LearnedLevel:
        """Return the level with the device and the dtype of `like`."""
        features = tuple(torch.from_numpy(tap).to(like) for tap in level.features)
        return cls(features, torch.from_numpy(level.positions).to(like.device), level.plane)


class Window(NamedTuple):
    """Along one axis: the outputs `first..last` of a strided convolution that see any of the inputs `low..high`.

    The same outputs come first when the convolution runs on `low..high` alone, padded on both sides by `padding`, once
    zeros have made that `size` long.
    """

    low: int
    high: int
    first: int
    last: int
    padding: int
    size: int

    @classmethod
    def over(cls, low: int, high: int, axis: int, kernel: int, stride: int) -> Window:
        half = kernel // 2
        final = (axis - 1) // stride
        first = min(max(-((half - low) // stride), 0), final)
        last = max(min((high + half) // stride, final), first)
        padding = low - (first * stride - half)
        needed = (last - first) * stride + kernel
        return cls(low, high, first, last, padding, max(high - low + 1, needed - 2 * padding))

    @property
    def outputs(self) -> slice:
        return slice(self.first, self.last + 1)

    @property
    def span(self) -> int:
        return self.last - self.first + 1

    def centers(self, stride: int) -> tuple[slice, slice]:
        """The outputs whose own position is among `low..high`, counted from `first`; and it, counted from `low`."""
        begin = max(-(-self.low // stride), self.first)
        count = max(min(self.high // stride, self.last) + 1 - begin, 0)
        own = begin * stride - self.low
        return slice(begin - self.first, begin - self.first + count), slice(own, own + count * stride, stride)


class Patch(NamedTuple):
    """A level that has values of its own on some rows and columns of its support plane, and `outside` on all others.

    Attributes:
        tiles: its own values, for some query positions each.
    """

    tiles: list[Float[Tensor, "1 c h w _t"]]
    outside: Float[Tensor, " c"]
    rows: Window
    columns: Window
    plane: Plane


def squeeze(block: nn.Sequential, query: list[Float[Tensor, "q _c"]], grid: Plane, support: LearnedLevel) -> Level:
    """A squeeze block on the hypercorrelation of a query and a support, which never exists as a whole.

    `query` has the unit features of the taps of one stride, its plane, of size `grid`, flattened.
    """
    layers: Any = block
    first, norm, _, second, second_norm, _, third, third_norm, _ = layers
    patch = convolve_correlation(first, query, grid, support)
    x = normalise(second_norm, convolve_patch(second, norm, patch, grid))
    return normalise(third_norm, convolve(third, x, grid))


def mix(block: nn.Sequential, x: Level, grid: Plane) -> Level:
    """A mix block: center-pivot convolutions, each followed by group norm and ReLU."""
    layers: Any = block
    for convolution, norm in zip(layers[::3], layers[1::3], strict=True):
        x = normalise(norm, convolve(convolution, x, grid))
    return x


def convolve_correlation(
    kernel: CenterPivotConv4d, query: list[Float[Tensor, "q _c"]], grid: Plane, support: LearnedLevel
) -> Patch:
    """The first layer, from the features: correlations of one tile of query positions at a time."""
    side, stride, taps, positions = kernel.support.kernel_size[0], kernel.stride, len(query), len(query[0])
    (top, left), (bottom, right) = support.positions.amin(dim=0).tolist(), support.positions.amax(dim=0).tolist()
    rows = Window.over(top, bottom, support.plane[0], side, stride)
    columns = Window.over(left, right, support.plane[1], side, stride)
    at = (support.positions[:, 0] - top) * columns.size + support.positions[:, 1] - left
    (out_rows, in_rows), (out_columns, in_columns) = rows.centers(stride), columns.centers(stride)
    bias = biases(kernel)
    held = taps * rows.size * columns.size
    tile = -(-positions // max(1, positions * held // TILE))
    tiles, centers = [], []
    for begin in range(0, positions, tile):
        end = min(begin + tile, positions)
        if begin == 0 or end - begin < tile:
            # What lies between the foreground's positions is zero from the start, and stays so.
            correlation = query[0].new_zeros(rows.size * columns.size, end - begin, taps)
        for tap in range(taps):
            found = (support.features[tap] @ query[tap][begin:end].T).relu_()
            correlation[:, :, tap].index_copy_(0, at, found)
        planes = channels_second(correlation.view(1, rows.size, columns.size, end - begin, taps))
        tiles.append(over_support_axes(kernel, planes, (rows, columns), bias))
        centers.append(planes[:, :, in_rows, in_columns].clone())
    center = torch.cat(centers, dim=4)
    if center.numel():
        planes = over_query_axes(kernel.query.weight, center, grid)
        for inside, added in zip(tiles, planes.split(tile, dim=4), strict=True):
            inside[:, :, out_rows, out_columns] += added
    height, width = support.plane
    return Patch(tiles, bias, rows, columns, ((height - 1) // stride + 1, (width - 1) // stride + 1))


def convolve_patch(kernel: CenterPivotConv4d, norm: nn.GroupNorm, patch: Patch, grid: Plane) -> Level:
    """Apply group norm over the whole level, ReLU and a layer: to the constant outside, plus to the difference inside.

    The constant counts in the norm once for each position outside.
    """
    tiles, constant, was_rows, was_columns, plane = patch
    side, stride, channels, positions = kernel.support.kernel_size[0], kernel.stride, len(constant), math.prod(grid)
    height, width = tiles[0].shape[2:4]
    outside = moments(norm, constant.view(1, -1, 1, 1, 1))
    around = outside._replace(positions=(plane[0] * plane[1] - height * width) * positions)
    whole = merge_moments([around, *(moments(norm, tile) for tile in tiles)])
    constant = scaled(norm, constant[None], whole)[0].relu_()

    x = convolve_constant(kernel, constant, plane, grid)
    rows = Window.over(was_rows.first, was_rows.last, plane[0], side, stride)
    columns = Window.over(was_columns.first, was_columns.last, plane[1], side, stride)
    target = x[:, :, rows.outputs, columns.outputs]
    (out_rows, in_rows), (out_columns, in_columns) = rows.centers(stride), columns.centers(stride)
    centers = []
    for inside, part in zip(tiles, target.split(tiles[0].shape[4], dim=4), strict=True):
        differs = channels_second(inside.new_zeros(1, rows.size, columns.size, inside.shape[4], channels))
        lower = scaled(norm, inside, whole, less=constant)
        torch.maximum(
            lower, -constant[:, None, None, None], out=differs[:, :, :height, :width]
        )  # ReLU, when what is outside is 0
        part += over_support_axes(kernel, differs, (rows, columns))
        centers.append(differs[:, :, in_rows, in_columns].clone())
    center = torch.cat(centers, dim=4)
    if center.numel():
        target[:, :, out_rows, out_columns] += over_query_axes(kernel.query.weight, center, grid)
    return x


def convolve_constant(kernel: CenterPivotConv4d, constant: Float[Tensor, " c"], plane: Plane, grid: Plane) -> Level:
    """Apply a layer to a constant level; the result differs at the borders of both planes, through the padding."""
    side, even, positions = kernel.support.kernel_size[0], constant[None, :, None, None], math.prod(grid)
    over_support = F.conv2d(
        even.expand(-1, -1, *plane), kernel.support.weight, biases(kernel), kernel.stride, side // 2
    )
    over_query = F.conv2d(even.expand(-1, -1, *grid), kernel.query.weight, padding=side // 2)
    _, channels, height, width = over_support.shape
    neighbours = positions_per_row(positions, channels)  # long rows are added faster than short ones
    rows = over_query.permute(0, 2, 3, 1).reshape(1, 1, 1, -1, neighbours * channels)
    x = rows + over_support.permute(0, 2, 3, 1)[:, :, :, None].repeat(1, 1, 1, 1, neighbours)
    return channels_second(x.view(1, height, width, positions, channels))


def convolve(kernel: CenterPivotConv4d, x: Level, grid: Plane) -> Level:
    """A center-pivot convolution of a whole level."""
    side, stride = kernel.support.kernel_size[0], kernel.stride
    rows, columns = (Window.over(0, length - 1, length, side, stride) for length in x.shape[2:4])
    over_support = over_support_axes(kernel, x, (rows, columns), biases(kernel))
    return over_support.add_(over_query_axes(kernel.query.weight, x[:, :, ::stride, ::stride], grid))


def over_support_axes(
    kernel: CenterPivotConv4d, x: Level, windows: tuple[Window, Window], bias: Float[Tensor, " d"] | None = None
) -> Level:
    rows, columns = windows
    weight, strides = kernel.support.weight[..., None], (kernel.stride, kernel.stride, 1)
    padding = (rows.padding, columns.padding, 0)
    planes = convolve3d(x, weight, bias, strides, padding)
    return planes[:, :, : rows.span, : columns.span]


def over_query_axes(weight: Float[Tensor, "d c k k"], x: Level, grid: Plane) -> Level:
    planes = F.conv2d(as_query_planes(x, grid), weight, padding=weight.shape[-1] // 2)
    return from_query_planes(planes, x.shape)


def as_query_planes(x: Level, grid: Plane) -> Float[Tensor, "n c hq wq"]:
    """One channels-last plane for each support position; no copy when `x` is whole and has its channels last."""
    x = x.contiguous(memory_format=torch.channels_last_3d)
    return x.permute(0, 2, 3, 4, 1).reshape(-1, *grid, x.shape[1]).permute(0, 3, 1, 2)


def from_query_planes(planes: Float[Tensor, "n d hq wq"], shape: torch.Size) -> Level:
    channels_last = planes.permute(0, 2, 3, 1).reshape(shape[0], shape[2], shape[3], -1, planes.shape[1])
    return channels_second(channels_last)


def channels_second(x: Float[Tensor, "b hs ws q c"]) -> Level:
    return x.permute(0, 4, 1, 2, 3)


def enlarge(x: Level, grid: Plane, to: Plane, plane: Plane) -> Level:
    """The query plane from `grid` to `to`, and the support plane to `plane`, bilinear with corners aligned."""
    planes = resize(as_query_planes(x, grid), to, align_corners=True)
    x = from_query_planes(planes.contiguous(memory_format=torch.channels_last), x.shape)
    if tuple(x.shape[2:4]) == plane:
        return x
    planes = rearrange(x, "b c hs ws q -> b (c q) hs ws")
    return rearrange(resize(planes, plane, align_corners=True), "b (c q) hs ws -> b c hs ws q", c=x.shape[1])


def mean_over_support(x: Level, grid: Plane) -> Float[Tensor, "b c hq wq"]:
    """The mean over the support plane, by the order in which `x` lies in memory."""
    flat = x.permute(0, 2, 3, 4, 1).flatten(3).flatten(1, 2)
    return rearrange(flat.mean(dim=1), "b (hq wq c) -> b c hq wq", hq=grid[0], wq=grid[1])


def biases(kernel: CenterPivotConv4d) -> Float[Tensor, " d"]:
    assert kernel.query.bias is not None
    assert kernel.support.bias is not None
    return kernel.query.bias + kernel.support.bias
