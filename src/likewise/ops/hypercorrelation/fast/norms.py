"""Group norm and ReLU of levels that lie in memory with their channels last, whole or in parts."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor, nn

from likewise.ops.hypercorrelation.fast.operators import column_moments

WIDTH = 1024
"""Maximum width of the rows that are summed side by side, in values."""


class Moments(NamedTuple):
    """Mean and variance of each group of channels in a level or a part of it, and the values of each channel."""

    mean: Float32[Tensor, " g"]
    variance: Float32[Tensor, " g"]
    positions: int


def normalise(norm: nn.GroupNorm, x: Float[Tensor, "1 c hs ws q"]) -> Float[Tensor, "1 c hs ws q"]:
    """Group norm over all positions, and ReLU."""
    if x.element_size() == 2:  # torch's own sums are exact to the rounding of 16 bits
        return norm(x).relu_()
    return scaled(norm, x, moments(norm, x)).relu_()


def moments(norm: nn.GroupNorm, x: Float[Tensor, "1 c hs ws q"]) -> Moments:
    """Return the moments of a level with its channels last."""
    groups, channels, positions = norm.num_groups, x.shape[1], x[0, 0].numel()
    if x.device.type != "cpu":
        variance, mean = torch.var_mean(x.float().unflatten(1, (groups, -1)), dim=(0, 2, 3, 4, 5), correction=0)
        return Moments(mean, variance, positions)
    # Adding rows in single precision is off by 1e-5 after 100,000 rows. Joining neighbouring positions into one row
    # makes rows longer and fewer.
    neighbours = positions_per_row(positions, channels)
    rows = x.permute(0, 2, 3, 4, 1).reshape(-1, neighbours * channels)
    mean, variance = column_moments(rows)
    between, mean = torch.var_mean(mean.view(neighbours, groups, -1), dim=(0, 2), correction=0)
    return Moments(mean, variance.view(neighbours, groups, -1).mean(dim=(0, 2)) + between, positions)


def merge_moments(parts: list[Moments]) -> Moments:
    """Return the moments of a level from those of all its parts."""
    counts = [part.positions for part in parts]
    mean, variance = torch.stack([part.mean for part in parts]), torch.stack([part.variance for part in parts])
    share = (mean.new_tensor(counts) / sum(counts))[:, None]
    # Relative to the first part: for almost equal parts the rounding of the shares would exceed the variance.
    total = mean[0] + (share * (mean - mean[0])).sum(dim=0)
    return Moments(total, (share * (variance + (mean - total).square())).sum(dim=0), sum(counts))


def positions_per_row(positions: int, channels: int) -> int:
    """Return the largest divisor of `positions` whose positions, joined into one row, have at most `WIDTH` values."""
    return max(count for count in range(1, max(WIDTH // channels, 1) + 1) if positions % count == 0)


def scaled(
    norm: nn.GroupNorm, x: Float[Tensor, "1 c *rest"], whole: Moments, less: Float[Tensor, " c"] | float = 0.0
) -> Float[Tensor, "1 c *rest"]:
    """Return the group norm of a part of a level, by the moments of the `whole`, minus `less` for each channel."""
    mean, variance = (each[:, None].expand(-1, x.shape[1] // len(each)).flatten() for each in whole[:2])
    weight, bias = norm.weight.float(), norm.bias.float() - less
    if x.element_size() == 2:  # batch_norm computes in 32 bits
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=norm.eps)
    factor = weight * (variance + norm.eps).rsqrt()
    last = x.movedim(1, -1)
    neighbours = positions_per_row(last[..., 0].numel(), x.shape[1])
    rows = last.reshape(-1, neighbours * x.shape[1])
    rows = torch.addcmul((bias - mean * factor).repeat(neighbours), rows, factor.repeat(neighbours))
    return rows.view(last.shape).movedim(-1, 1)
