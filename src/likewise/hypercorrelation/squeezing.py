"""Squeeze and mix blocks on learned supports: the same numbers as the plain kernels give, sooner.

Here a hypercorrelation has axes `b c hs ws q`, the query plane flattened and last, and lies in memory with
its channels last: both planar convolutions of a center-pivot kernel run on it where it lies. Masked support features
are exactly zero outside the mask, and so are their correlations: only a rectangle of the support plane is ever made,
and the first layer leaves one constant for each channel outside of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Float32
from torch import Tensor, nn

from likewise.hypercorrelation.kernels import CenterPivotConv4d
from likewise.hypercorrelation.products import product
from likewise.hypercorrelation.supports import SupportLevel
from likewise.ops import resize

TILE = 1 << 21
"""Correlations that are held at a time: few enough to stay in the processor's cache."""


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
    """A level that is `inside` on some rows and columns of its support plane, and `outside` on all the others."""

    inside: Float[Tensor, "1 c h w q"]
    outside: Float[Tensor, " c"]
    rows: Window
    columns: Window
    plane: tuple[int, int]


def squeeze(
    block: nn.Sequential, query: list[Float[Tensor, "q _c"]], grid: tuple[int, int], support: SupportLevel
) -> Float[Tensor, "1 d ho wo q"]:
    """A squeeze block on the hypercorrelation of a query and a support, which never exists as a whole.

    Args:
        block: three center-pivot convolutions, each followed by group norm and ReLU.
        query: unit features of the taps of one stride, the query plane flattened.
        grid: height and width of the query plane.
        support: the foreground's features of the same taps.
    """
    layers: Any = block
    first, norm, _, second, second_norm, _, third, third_norm, _ = layers
    patch = normalise_patch(norm, convolve_correlation(first, query, grid, support))
    x = normalise(second_norm, convolve_patch(second, patch, grid))
    return normalise(third_norm, convolve(third, x, grid))


def mix(block: nn.Sequential, x: Float[Tensor, "b c hs ws q"], grid: tuple[int, int]) -> Float[Tensor, "b d hs ws q"]:
    """A mix block: center-pivot convolutions, each followed by group norm and ReLU."""
    layers: Any = block
    for convolution, norm in zip(layers[::3], layers[1::3], strict=True):
        x = normalise(norm, convolve(convolution, x, grid))
    return x


def convolve_correlation(
    kernel: CenterPivotConv4d, query: list[Float[Tensor, "q _c"]], grid: tuple[int, int], support: SupportLevel
) -> Patch:
    """The first layer, from the features: correlations of one tile of query positions at a time."""
    side, stride, taps, positions = kernel.support.kernel_size[0], kernel.stride, len(query), len(query[0])
    (top, left), (bottom, right) = support.positions.amin(dim=0).tolist(), support.positions.amax(dim=0).tolist()
    rows = Window.over(top, bottom, support.plane[0], side, stride)
    columns = Window.over(left, right, support.plane[1], side, stride)
    at = (support.positions[:, 0] - top) * columns.size + support.positions[:, 1] - left
    (out_rows, in_rows), (out_columns, in_columns) = rows.centers(stride), columns.centers(stride)
    bias = biases(kernel)
    inside = query[0].new_empty(1, kernel.support.out_channels, rows.span, columns.span, positions)
    centers = []
    held = taps * rows.size * columns.size
    tile = -(-positions // max(1, positions * held // TILE))
    correlation = query[0].new_zeros(taps, rows.size * columns.size, tile)
    for begin in range(0, positions, tile):
        end = min(begin + tile, positions)
        # What lies between the foreground's positions is zero from the start, and stays so.
        correlation = correlation[..., : end - begin]
        for tap in range(taps):
            found = product(support.features[tap], query[tap][begin:end]).relu_()
            correlation[tap].index_copy_(0, at, found)
        planes = correlation.view(1, taps, rows.size, columns.size, end - begin)
        inside[..., begin:end] = over_support_axes(kernel, planes, (rows, columns), bias)
        centers.append(planes[0, :, in_rows, in_columns].permute(1, 2, 0, 3).clone())
    center = torch.cat(centers, dim=3)
    if center.numel():
        planes = F.conv2d(center.reshape(-1, taps, *grid), kernel.query.weight, padding=side // 2)
        planes = planes.contiguous()  # to add what lies otherwise takes three times as long as to turn it first
        inside[:, :, out_rows, out_columns] += rearrange(planes, "(h w) d hq wq -> 1 d h w (hq wq)", h=len(center))
    return Patch(inside, bias, rows, columns, strided(support.plane, stride))


def normalise_patch(norm: nn.GroupNorm, patch: Patch) -> Patch:
    """Group norm over the whole level and ReLU; what is outside counts as often as it would be there."""
    inside, outside, rows, columns, plane = patch
    rest = plane[0] * plane[1] * inside.shape[-1] - inside[0, 0].numel()
    total, squares = sums(inside)
    constant = outside.float()
    count = inside[0, 0].numel() + rest
    moments = group_moments(norm, total + rest * constant, squares + rest * constant.square(), count)
    constant = rectified_norm(norm, constant[None], *moments)[0]
    return Patch(rectified_norm(norm, inside, *moments), constant.to(outside.dtype), rows, columns, plane)


def normalise(norm: nn.GroupNorm, x: Float[Tensor, "1 c hs ws q"]) -> Float[Tensor, "1 c hs ws q"]:
    """Group norm over all positions, and ReLU."""
    return rectified_norm(norm, x, *group_moments(norm, *sums(x), x[0, 0].numel()))


def sums(x: Float[Tensor, "1 c hs ws q"]) -> tuple[Float32[Tensor, " c"], Float32[Tensor, " c"]]:
    """Of each channel's values and of their squares.

    Made by `sum`, which adds in pairs. The library's group norm of a tensor with its channels last adds one by one,
    and is off by 1e-4 over so many positions.
    """
    axes = (0, 2, 3, 4)
    return x.sum(dim=axes, dtype=torch.float32), x.square().sum(dim=axes, dtype=torch.float32)


def group_moments(
    norm: nn.GroupNorm, total: Float32[Tensor, " c"], squares: Float32[Tensor, " c"], count: int
) -> tuple[Float32[Tensor, " c"], Float32[Tensor, " c"]]:
    """Mean and variance of each channel's group, where every channel has `count` values."""
    mean, square = ((values / count).view(norm.num_groups, -1).mean(dim=1) for values in (total, squares))
    size = len(total) // norm.num_groups
    return mean.repeat_interleave(size), (square - mean.square()).clamp_min(0).repeat_interleave(size)


def rectified_norm(
    norm: nn.GroupNorm, x: Float[Tensor, "1 c *rest"], mean: Float32[Tensor, " c"], variance: Float32[Tensor, " c"]
) -> Float[Tensor, "1 c *rest"]:
    weight, bias = norm.weight.float(), norm.bias.float()
    return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=norm.eps).relu_()


def convolve_patch(kernel: CenterPivotConv4d, patch: Patch, grid: tuple[int, int]) -> Float[Tensor, "1 d ho wo q"]:
    """A layer on a level that is constant but for a patch: on the constant, plus on what the patch differs by."""
    inside, outside, was_rows, was_columns, plane = patch
    side, stride, channels = kernel.support.kernel_size[0], kernel.stride, len(outside)
    constant = outside[None, :, None, None]
    over_support = F.conv2d(constant.expand(-1, -1, *plane), kernel.support.weight, biases(kernel), stride, side // 2)
    over_query = F.conv2d(constant.expand(-1, -1, *grid), kernel.query.weight, padding=side // 2)
    x = rearrange(over_support, "1 d h w -> 1 h w 1 d") + rearrange(over_query, "1 d hq wq -> 1 1 1 (hq wq) d")
    x = channels_second(x)

    rows = Window.over(was_rows.first, was_rows.last, plane[0], side, stride)
    columns = Window.over(was_columns.first, was_columns.last, plane[1], side, stride)
    differs = channels_second(inside.new_zeros(1, rows.size, columns.size, inside.shape[-1], channels))
    height, width = inside.shape[2:4]
    differs[:, :, :height, :width] = inside - outside[:, None, None, None]
    target = x[:, :, rows.outputs, columns.outputs]
    target += over_support_axes(kernel, differs, (rows, columns))
    (out_rows, in_rows), (out_columns, in_columns) = rows.centers(stride), columns.centers(stride)
    centers = differs[:, :, in_rows, in_columns]
    if centers.numel():
        target[:, :, out_rows, out_columns] += over_query_axes(kernel.query.weight, centers, grid)
    return x


def convolve(
    kernel: CenterPivotConv4d, x: Float[Tensor, "b c hs ws q"], grid: tuple[int, int]
) -> Float[Tensor, "b d ho wo q"]:
    """A center-pivot convolution of a whole level."""
    side, stride = kernel.support.kernel_size[0], kernel.stride
    rows, columns = (Window.over(0, length - 1, length, side, stride) for length in x.shape[2:4])
    over_support = over_support_axes(kernel, x, (rows, columns), biases(kernel))
    return over_support.add_(over_query_axes(kernel.query.weight, x[:, :, ::stride, ::stride], grid))


def over_support_axes(
    kernel: CenterPivotConv4d,
    x: Float[Tensor, "b c hs ws q"],
    windows: tuple[Window, Window],
    bias: Float[Tensor, " d"] | None = None,
) -> Float[Tensor, "b d ho wo q"]:
    rows, columns = windows
    weight, strides = kernel.support.weight[..., None], (kernel.stride, kernel.stride, 1)
    padding = (rows.padding, columns.padding, 0)
    if x.device.type == "cpu" and torch.backends.mkldnn.is_available():
        # F.conv3d leaves a single float32 input to a loop that is ten times slower than the library it has.
        planes = torch.ops.aten.mkldnn_convolution(x, weight, bias, padding, strides, (1, 1, 1), 1)
    else:
        planes = F.conv3d(x, weight, bias, strides, padding)
    return planes[:, :, : rows.span, : columns.span]


def over_query_axes(
    weight: Float[Tensor, "d c k k"], x: Float[Tensor, "b c hs ws q"], grid: tuple[int, int]
) -> Float[Tensor, "b d hs ws q"]:
    planes = F.conv2d(as_query_planes(x, grid), weight, padding=weight.shape[-1] // 2)
    return from_query_planes(planes, x.shape)


def as_query_planes(x: Float[Tensor, "b c hs ws q"], grid: tuple[int, int]) -> Float[Tensor, "n c hq wq"]:
    """One channels-last plane for each support position; no copy when `x` is whole and has its channels last."""
    x = x.contiguous(memory_format=torch.channels_last_3d)
    return x.permute(0, 2, 3, 4, 1).reshape(-1, *grid, x.shape[1]).permute(0, 3, 1, 2)


def from_query_planes(planes: Float[Tensor, "n d hq wq"], shape: torch.Size) -> Float[Tensor, "b d hs ws q"]:
    channels_last = planes.permute(0, 2, 3, 1).reshape(shape[0], shape[2], shape[3], -1, planes.shape[1])
    return channels_second(channels_last)


def channels_second(x: Float[Tensor, "b hs ws q c"]) -> Float[Tensor, "b c hs ws q"]:
    return x.permute(0, 4, 1, 2, 3)


def enlarge(
    x: Float[Tensor, "b c hs ws q"], grid: tuple[int, int], to: tuple[int, int], plane: tuple[int, int]
) -> Float[Tensor, "b c ho wo qo"]:
    """The query plane from `grid` to `to`, and the support plane to `plane`, bilinear with corners aligned."""
    planes = resize(as_query_planes(x, grid), to, align_corners=True)
    x = from_query_planes(planes.contiguous(memory_format=torch.channels_last), x.shape)
    if tuple(x.shape[2:4]) == plane:
        return x
    planes = rearrange(x, "b c hs ws q -> b (c q) hs ws")
    return rearrange(resize(planes, plane, align_corners=True), "b (c q) hs ws -> b c hs ws q", c=x.shape[1])


def mean_over_support(x: Float[Tensor, "b c hs ws q"], grid: tuple[int, int]) -> Float[Tensor, "b c hq wq"]:
    """The mean over the support plane, by the order in which `x` lies in memory."""
    flat = x.permute(0, 2, 3, 4, 1).flatten(3).flatten(1, 2)
    return rearrange(flat.mean(dim=1), "b (hq wq c) -> b c hq wq", hq=grid[0], wq=grid[1])


def biases(kernel: CenterPivotConv4d) -> Float[Tensor, " d"]:
    assert kernel.query.bias is not None
    assert kernel.support.bias is not None
    return kernel.query.bias + kernel.support.bias


def strided(plane: tuple[int, int], stride: int) -> tuple[int, int]:
    return (plane[0] - 1) // stride + 1, (plane[1] - 1) // stride + 1
