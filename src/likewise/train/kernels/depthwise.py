"""Depthwise convolution that a CPU learns through as quickly as it looks, and rightly in bfloat16.

torch's backward pass of a dilated depthwise convolution takes ten times its forward on a CPU, and in bfloat16 with
channels last its gradient of the weights is wrong: as far from the right one as noise (torch 2.12). So here the
gradient of the input is the forward pass with the kernel turned round; and that of the weights is torch's of a
convolution without dilation, over the positions of equal remainder by the dilation, which exchange nothing.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight


class FastDepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution of stride 1 that keeps the size of its input, with the entries of torch's own."""

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        if not torch.is_grad_enabled():
            return super().forward(input)
        return _Depthwise.apply(input, self.weight, self.dilation[0])


def use_fast_depthwise(network: nn.Module) -> None:
    """Let each depthwise convolution of the network that `FastDepthwiseConv2d` can stand for be one; entries stay."""
    for module in network.modules():
        if type(module) is nn.Conv2d and _fits(module):
            module.__class__ = FastDepthwiseConv2d


def _fits(module: nn.Conv2d) -> bool:
    side, dilation = module.kernel_size[0], module.dilation[0]
    return (
        1 < module.groups == module.in_channels == module.out_channels
        and module.bias is None
        and module.stride == (1, 1)
        and module.kernel_size == (side, side)
        and side % 2 == 1
        and module.dilation == (dilation, dilation)
        and module.padding == (side // 2 * dilation,) * 2
        and module.padding_mode == "zeros"
    )


def _convolved(
    planes: Float[Tensor, "b c h w"], weight: Float[Tensor, "c 1 s s"], dilation: int
) -> Float[Tensor, "b c h w"]:
    padding = weight.shape[-1] // 2 * dilation
    return F.conv2d(planes, weight, padding=padding, dilation=dilation, groups=planes.shape[1])


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, planes: Tensor, weight: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(planes, weight)
        ctx.dilation = dilation
        return _convolved(planes, weight, dilation)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        planes, weight = ctx.saved_tensors
        of_planes = of_weight = None
        if ctx.needs_input_grad[0]:
            of_planes = _convolved(gradient, weight.flip(2, 3).to(gradient.dtype), ctx.dilation)
        if ctx.needs_input_grad[1]:
            # torch is slower here in bfloat16 than in single precision
            apart = [_by_remainder(part, ctx.dilation).float() for part in (planes, gradient)]
            of_weight = conv2d_weight(
                apart[0], weight.shape, apart[1], padding=weight.shape[-1] // 2, groups=len(weight)
            )
        return of_planes, of_weight, None


def _by_remainder(planes: Float[Tensor, "b c h w"], dilation: int) -> Float[Tensor, "b2 c h2 w2"]:
    """The positions of equal remainder of both axes by `dilation` as planes of their own, what is lacking zero."""
    height, width = planes.shape[2:]
    whole = F.pad(planes, (0, -width % dilation, 0, -height % dilation))
    pattern = "b c (h y) (w x) -> (b y x) c h w"
    return rearrange(whole, pattern, y=dilation, x=dilation).contiguous(memory_format=torch.channels_last)
