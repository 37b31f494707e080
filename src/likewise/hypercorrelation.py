"""Four-dimensional arithmetic: correlations of every query position with every support position, and kernels over them.

A hypercorrelation has axes `b t hq wq hs ws`: `t` feature taps of one stride, the query plane, the support plane.
"""

from __future__ import annotations

import functools
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from jaxtyping import Float, Float32, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from likewise.ops import resize

EPS = 1e-5
"""Added to the norm of a feature vector, so that a masked-out position correlates with nothing."""


def unit(features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Every position's feature vector divided by (its norm + 1e-5); a zero vector stays zero."""
    return features / (features.norm(dim=1, keepdim=True) + EPS)


def correlate(
    query: list[Float[Tensor, "b _c hq wq"]], support: list[Float[Tensor, "b _c hs ws"]]
) -> Float[Tensor, "b t hq wq hs ws"]:
    """The cosine of every query position with every support position, negative values set to 0 (HSNet, equation 2).

    Args:
        query, support: unit features of the `t` taps of one stride, tap by tap.
    """
    taps = [einsum(q, s, "b c hq wq, b c hs ws -> b hq wq hs ws") for q, s in zip(query, support, strict=True)]
    return torch.stack(taps, dim=1).relu()


def resize4d(x: Float[Tensor, "b c hq wq hs ws"], shape: torch.Size) -> Float[Tensor, "b c ho wo hso wso"]:
    """Both planes at other sizes, `(query height, width, support height, width)`, corners aligned."""
    hs, ws = x.shape[4:]
    x = resize(rearrange(x, "b c hq wq hs ws -> b (c hs ws) hq wq"), (shape[0], shape[1]), align_corners=True)
    if (hs, ws) == tuple(shape[2:]):
        return rearrange(x, "b (c hs ws) hq wq -> b c hq wq hs ws", hs=hs, ws=ws)
    x = rearrange(x, "b (c hs ws) hq wq -> b (c hq wq) hs ws", hs=hs, ws=ws)
    x = resize(x, (shape[2], shape[3]), align_corners=True)
    return rearrange(x, "b (c hq wq) hs ws -> b c hq wq hs ws", hq=shape[0], wq=shape[1])


def masks_of_levels(
    mask: Float[Tensor, "b h w"], planes: dict[int, torch.Size], *, rescue: bool
) -> dict[int, Float[Tensor, "b _h _w"]]:
    """The mask at the size of each level, bilinear, so in [0, 1] and no longer binary; keys are strides.

    Warns when a mask that is not empty vanishes at a level. See `HSNetConfig.rescue`.
    """
    masks = {
        stride: resize(mask[:, None], (size[0], size[1]), align_corners=True)[:, 0]
        for stride, size in sorted(planes.items())
    }
    held = {stride: level.flatten(1).any(dim=1) for stride, level in masks.items()}
    lost = [stride for stride in masks if (mask.flatten(1).any(dim=1) & ~held[stride]).any()]
    if not lost:
        return masks
    strides = " and ".join(str(stride) for stride in lost)
    warnings.warn(
        f"a support mask is so small that nothing of it is left at stride {strides}; "
        + ("the finest level that holds it stands in" if rescue else "this stride will not be compared")
        + ". Give a picture in which the object is larger, or crop it.",
        stacklevel=3,
    )
    if rescue:
        for shot in range(len(mask)):
            finest = next((masks[stride][shot] for stride in masks if held[stride][shot]), mask[shot])
            for stride in lost:
                if not held[stride][shot]:
                    masks[stride][shot] = F.adaptive_max_pool2d(finest[None], masks[stride].shape[-2:])[0]
    return masks


# ---- kernels ------------------------------------------------------------------------------------------------------


class CenterPivotConv4d(nn.Module):
    """The center-pivot 4D convolution (HSNet, section 4.2): of the 4D kernel only the weights at its two centers.

    Two planar convolutions, one over the query plane and one over the support plane, are added.

    Args:
        channels_in, channels_out: of the hypercorrelation.
        kernel: side of the kernel in all four axes; odd. Padded by half of it.
        stride: along the support axes. The query axes keep their size.
    """

    def __init__(self, channels_in: int, channels_out: int, *, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.query = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2)
        self.support = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2)

    def forward(self, x: Float[Tensor, "b c hq wq hs ws"]) -> Float[Tensor, "b d hq wq ho wo"]:
        over_query = over_query_plane(self.query, x[..., :: self.stride, :: self.stride])
        return over_query + over_support_plane(self.support, x)


class SeparableConv4d(nn.Module):
    """A 4D kernel that is a product of two planar ones: over the support plane, then over the query plane.

    This is the separable kernel of volumetric correspondence networks (Yang and Ramanan, NeurIPS 2019), without
    anything between its two parts, so that a full kernel exists which does the same (`full_kernel`).
    """

    def __init__(self, channels_in: int, channels_out: int, *, kernel: int, stride: int = 1) -> None:
        super().__init__()
        # A bias before the second part would not reach its padding, and no full kernel could do the same.
        self.support = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False)
        self.query = nn.Conv2d(channels_out, channels_out, kernel, padding=kernel // 2)

    def forward(self, x: Float[Tensor, "b c hq wq hs ws"]) -> Float[Tensor, "b d hq wq ho wo"]:
        return over_query_plane(self.query, over_support_plane(self.support, x))


class FullConv4d(nn.Module):
    """The original 4D convolution, with every weight of its kernel."""

    def __init__(self, channels_in: int, channels_out: int, *, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.weight = nn.Parameter(torch.empty(channels_out, channels_in, kernel, kernel, kernel, kernel))
        self.bias = nn.Parameter(torch.empty(channels_out))
        bound = (channels_in * kernel**4) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Float[Tensor, "b c hq wq hs ws"]) -> Float[Tensor, "b d hq wq ho wo"]:
        b, hq, wq = x.shape[0], x.shape[2], x.shape[3]
        planes = rearrange(x, "b c hq wq hs ws -> (b hq wq) c hs ws")
        pad = self.kernel // 2
        total: Tensor | None = None
        for i in range(self.kernel):
            for j in range(self.kernel):
                part = F.conv2d(planes, self.weight[:, :, i, j], stride=self.stride, padding=pad)
                part = rearrange(part, "(b hq wq) d h w -> b hq wq d h w", b=b, hq=hq)
                if total is None:
                    total = self.bias[:, None, None].expand_as(part).clone()
                to, of = _overlap(hq, i - pad), _overlap(wq, j - pad)
                total[:, to[0], of[0]] += part[:, to[1], of[1]]
        assert total is not None
        return rearrange(total, "b hq wq d h w -> b d hq wq h w")


def _overlap(length: int, offset: int) -> tuple[slice, slice]:
    """Where the outputs are that read an input `offset` further, and where those inputs are."""
    inside = max(length - abs(offset), 0)
    low, high = slice(0, inside), slice(min(abs(offset), length), None)
    return (low, high) if offset >= 0 else (high, low)


KERNELS: dict[str, type[CenterPivotConv4d] | type[SeparableConv4d] | type[FullConv4d]] = {
    "center-pivot": CenterPivotConv4d,
    "separable": SeparableConv4d,
    "full": FullConv4d,
}


def over_query_plane(convolution: nn.Conv2d, x: Float[Tensor, "b c hq wq hs ws"]) -> Float[Tensor, "b d ho wo hs ws"]:
    """A planar convolution at every support position."""
    planes = convolution(rearrange(x, "b c hq wq hs ws -> (b hs ws) c hq wq"))
    return rearrange(planes, "(b hs ws) d hq wq -> b d hq wq hs ws", hs=x.shape[4], ws=x.shape[5])


def over_support_plane(convolution: nn.Conv2d, x: Float[Tensor, "b c hq wq hs ws"]) -> Float[Tensor, "b d hq wq ho wo"]:
    """A planar convolution at every query position."""
    planes = convolution(rearrange(x, "b c hq wq hs ws -> (b hq wq) c hs ws"))
    return rearrange(planes, "(b hq wq) d hs ws -> b d hq wq hs ws", hq=x.shape[2], wq=x.shape[3])


@torch.no_grad()
def full_kernel(kernel: CenterPivotConv4d | SeparableConv4d) -> FullConv4d:
    """The full 4D kernel that does exactly what the given cheaper one does."""
    channels_out, side = kernel.query.out_channels, kernel.query.kernel_size[0]
    full = FullConv4d(kernel.support.in_channels, channels_out, kernel=side, stride=kernel.support.stride[0])
    assert kernel.query.bias is not None
    if isinstance(kernel, SeparableConv4d):
        full.weight.copy_(einsum(kernel.query.weight, kernel.support.weight, "d m i j, m c k l -> d c i j k l"))
        full.bias.copy_(kernel.query.bias)
        return full
    assert kernel.support.bias is not None
    center = side // 2
    full.weight.zero_()
    full.weight[:, :, :, :, center, center] = kernel.query.weight
    full.weight[:, :, center, center] += kernel.support.weight
    full.bias.copy_(kernel.query.bias + kernel.support.bias)
    return full


# ---- the same numbers, sooner -------------------------------------------------------------------------------------
#
# From here on a hypercorrelation has axes `b c hs ws q`, the query plane flattened and last, and lies in memory with
# its channels last: both planar convolutions of a center-pivot kernel run on it where it lies. Masked support features
# are exactly zero outside the mask, and so are their correlations: only a rectangle of the support plane is ever made,
# and the first layer leaves one constant for each channel outside of it.

ROUNDS = 8
"""How often each way to a product is timed before one is chosen, once in a process: 30 ms on a quiet machine."""

TILE = 1 << 21
"""Correlations that are held at a time: few enough to stay in the processor's cache."""


@dataclass(frozen=True)
class SupportLevel:
    """What one example shows at one stride: the unit features of its foreground positions, and of no others.

    Attributes:
        features: for each tap, those of the `p` positions.
        positions: row and column of each position, in row-major order.
        plane: height and width of the whole support plane.
    """

    features: tuple[Float[Tensor, "p _c"], ...]
    positions: Int[Tensor, "p 2"]
    plane: tuple[int, int]

    @classmethod
    def of(cls, taps: list[Float[Tensor, "_c h w"]]) -> SupportLevel:
        """The positions where any tap is other than zero; of an empty level, one position of zeros."""
        seen = torch.stack([tap.any(dim=0) for tap in taps]).any(dim=0)
        if not seen.any():
            seen[0, 0] = True
        features = tuple(tap[:, seen].T.contiguous() for tap in taps)
        return cls(features, seen.nonzero(), (seen.shape[0], seen.shape[1]))

    def dense(self) -> list[Float[Tensor, "1 _c h w"]]:
        """The whole planes, zero where there is no foreground."""
        rows, columns = self.positions.unbind(dim=1)
        planes = []
        for features in self.features:
            plane = features.new_zeros(features.shape[1], *self.plane)
            plane[:, rows, columns] = features.T
            planes.append(plane[None])
        return planes

    def to(self, like: Tensor) -> SupportLevel:
        """On the device and in the precision of `like`."""
        features = tuple(tap.to(like) for tap in self.features)
        return SupportLevel(features, self.positions.to(like.device), self.plane)


@dataclass(frozen=True)
class Support:
    """What one example shows.

    Attributes:
        levels: by stride.
        prototypes: of its background and its foreground; of no channels where the model compares none.
    """

    levels: dict[int, SupportLevel]
    prototypes: Float[Tensor, "2 c"]

    def to(self, like: Tensor) -> Support:
        """On the device and in the precision of `like`."""
        return Support({stride: level.to(like) for stride, level in self.levels.items()}, self.prototypes.to(like))


def stacked(supports: list[Support]) -> dict[str, Tensor]:
    """Learned examples as tensors with one row for each, in half precision, to be kept in a file.

    Examples hold different numbers of positions: rows are padded with zeros, and their positions with -1.
    """
    rows = {"prototypes": torch.stack([support.prototypes.cpu().half() for support in supports])}
    for stride in supports[0].levels:
        levels = [support.levels[stride] for support in supports]
        rows[f"{stride}.plane"] = torch.tensor([level.plane for level in levels], dtype=torch.int32)
        positions = [level.positions.cpu().to(torch.int16) for level in levels]
        rows[f"{stride}.positions"] = pad_sequence(positions, batch_first=True, padding_value=-1)
        for tap, features in enumerate(zip(*(level.features for level in levels), strict=True)):
            halves = [feature.cpu().half() for feature in features]
            rows[f"{stride}.features.{tap}"] = pad_sequence(halves, batch_first=True)
    return rows


def unstacked(rows: dict[str, Tensor]) -> list[Support]:
    """The examples that `stacked` was given, their features in half precision."""
    strides = sorted(int(name.removesuffix(".plane")) for name in rows if name.endswith(".plane"))
    supports = [Support({}, prototypes) for prototypes in rows["prototypes"]]
    for stride in strides:
        taps = sum(name.startswith(f"{stride}.features.") for name in rows)
        for example, support in enumerate(supports):
            positions = rows[f"{stride}.positions"][example].long()
            count = int((positions[:, 0] >= 0).sum())
            features = tuple(rows[f"{stride}.features.{tap}"][example, :count] for tap in range(taps))
            height, width = rows[f"{stride}.plane"][example].tolist()
            support.levels[stride] = SupportLevel(features, positions[:count], (height, width))
    return supports


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
    torch.sub(inside, outside[:, None, None, None], out=differs[:, :, :height, :width])
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


def biases(kernel: CenterPivotConv4d) -> Float[Tensor, " d"]:
    assert kernel.query.bias is not None
    assert kernel.support.bias is not None
    return kernel.query.bias + kernel.support.bias


def strided(plane: tuple[int, int], stride: int) -> tuple[int, int]:
    return (plane[0] - 1) // stride + 1, (plane[1] - 1) // stride + 1


# ---- the fastest of several ways to one product -------------------------------------------------------------------


def product(support: Float[Tensor, "p c"], query: Float[Tensor, "q c"]) -> Float[Tensor, "p q"]:
    """All inner products, by the way that was fastest on this device."""
    return fastest_product(support.device, support.dtype, torch.get_num_threads())(support, query)


def by_matmul(support: Float[Tensor, "p c"], query: Float[Tensor, "q c"]) -> Float[Tensor, "p q"]:
    return support @ query.T


def by_convolution(support: Float[Tensor, "p c"], query: Float[Tensor, "q c"]) -> Float[Tensor, "p q"]:
    """The support as a picture of `p` pixels with its channels last, the query as a 1x1 convolution's weights."""
    # Two columns: with one, no library can tell which axis of the picture is last.
    picture = F.pad(support, (0, 0, 0, len(support) % 2)).view(1, -1, 2, support.shape[1]).permute(0, 3, 1, 2)
    products = convolve1x1(picture, query[:, :, None, None])
    return products.permute(0, 2, 3, 1).reshape(-1, len(query))[: len(support)]


def by_planar_convolution(support: Float[Tensor, "p c"], query: Float[Tensor, "q c"]) -> Float[Tensor, "p q"]:
    """The query as a picture of `q` pixels with its channels first, the support as weights."""
    picture, weight = query.T.contiguous()[None, :, :, None], support[:, :, None, None]
    return convolve1x1(picture, weight)[0, :, :, 0]


def convolve1x1(x: Float[Tensor, "1 c h w"], weight: Float[Tensor, "d c 1 1"]) -> Float[Tensor, "1 d h w"]:
    if x.device.type == "cpu" and torch.backends.mkldnn.is_available():
        # With one thread F.conv2d hands these to the matrix product again.
        return torch.ops.aten.mkldnn_convolution(x, weight, None, (0, 0), (1, 1), (1, 1), 1)
    return F.conv2d(x, weight)


Product = Callable[[Tensor, Tensor], Tensor]


@functools.cache
def fastest_product(device: torch.device, dtype: torch.dtype, threads: int) -> Product:
    """Of the three ways, the fastest for a tile of usual size: the best of some runs of each, taken in turns.

    In turns, so that another program's busy moment does not fall on one way alone.
    """
    support, query = (torch.ones(count, 512, device=device, dtype=dtype) for count in (512, 768))
    ways: list[Product] = [by_matmul, by_convolution, by_planar_convolution]
    best = dict.fromkeys(ways, math.inf)
    for _ in range(ROUNDS):
        for way in ways:
            best[way] = min(best[way], seconds(way, support, query))
    return min(ways, key=best.__getitem__)


def seconds(way: Product, support: Float[Tensor, "p c"], query: Float[Tensor, "q c"]) -> float:
    begin = time.perf_counter()
    result = way(support, query)
    if result.device.type != "cpu":
        result[0, 0].item()  # waits until the device is done
    return time.perf_counter() - begin
