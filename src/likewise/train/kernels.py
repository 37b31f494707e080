"""Layers that replace torch's in training, in place: the state dict stays the same.

**Depthwise convolution.** torch's backward pass of a dilated depthwise convolution takes ten times as long as the
forward pass on a CPU, and its weight gradient in bfloat16 with channels last is wrong (torch 2.12). Here the input
gradient is the forward pass with the flipped kernel. The weight gradient is torch's for a convolution without dilation,
applied to the positions of equal remainder modulo the dilation, which are independent of each other.

**Batch norm** over the batch of all processes, on any device; `nn.SyncBatchNorm` requires an accelerator.
"""

from typing import Any

import torch
import torch.distributed
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.grad import conv2d_weight


class FastDepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution of stride 1 that keeps the input's size; same state dict as `nn.Conv2d`."""

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        if not torch.is_grad_enabled():
            return super().forward(input)
        return _Depthwise.apply(input, self.weight, self.dilation[0])


def use_fast_depthwise(network: nn.Module) -> None:
    """Turn each suitable depthwise convolution of the network into a `FastDepthwiseConv2d`, in place."""
    for module in network.modules():
        if type(module) is nn.Conv2d and _is_suitable(module):
            module.__class__ = FastDepthwiseConv2d


def _is_suitable(module: nn.Conv2d) -> bool:
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


def _depthwise(
    planes: Float[Tensor, "b c h w"], weight: Float[Tensor, "c 1 s s"], dilation: int
) -> Float[Tensor, "b c h w"]:
    padding = weight.shape[-1] // 2 * dilation
    return F.conv2d(planes, weight, padding=padding, dilation=dilation, groups=planes.shape[1])


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, planes: Tensor, weight: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(planes, weight)
        ctx.dilation = dilation
        return _depthwise(planes, weight, dilation)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        planes, weight = ctx.saved_tensors
        grad_planes = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_planes = _depthwise(gradient, weight.flip(2, 3).to(gradient.dtype), ctx.dilation)
        if ctx.needs_input_grad[1]:
            # this kernel of torch is slower in bfloat16 than in single precision
            split = [_split_by_remainder(part, ctx.dilation).float() for part in (planes, gradient)]
            grad_weight = conv2d_weight(
                split[0], weight.shape, split[1], padding=weight.shape[-1] // 2, groups=len(weight)
            )
        return grad_planes, grad_weight, None


def _split_by_remainder(planes: Float[Tensor, "b c h w"], dilation: int) -> Float[Tensor, "b2 c h2 w2"]:
    """Return one plane for each pair of remainders of row and column modulo `dilation`, zero-padded to equal size."""
    height, width = planes.shape[2:]
    padded = F.pad(planes, (0, -width % dilation, 0, -height % dilation))
    pattern = "b c (h y) (w x) -> (b y x) c h w"
    return rearrange(padded, pattern, y=dilation, x=dilation).contiguous(memory_format=torch.channels_last)


class SharedBatchNorm2d(nn.BatchNorm2d):
    """A batch norm with the statistics of all processes in training."""

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        found = self.synchronised(input) if self.training else super().forward(input)
        for name in ("drop", "act"):  # timm's dropout and activation
            found = getattr(self, name, nn.Identity())(found)
        return found

    def synchronised(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        values = x.float()
        count = values.new_tensor([x.shape[0] * x.shape[2] * x.shape[3]])
        sums = all_reduce(torch.cat([values.sum(dim=(0, 2, 3)), count]))
        mean = (sums[:-1] / sums[-1])[:, None, None]
        deviation = all_reduce((values - mean).square().sum(dim=(0, 2, 3)))
        with torch.no_grad():
            self.running_mean.lerp_(mean[:, 0, 0], self.momentum)
            self.running_var.lerp_(deviation / (sums[-1] - 1).clamp_min(1), self.momentum)
            self.num_batches_tracked.add_(1)
        scale = (self.weight * (deviation / sums[-1] + self.eps).rsqrt())[:, None, None]
        return ((values - mean) * scale + self.bias[:, None, None]).to(x.dtype)


def share_batch_norms(network: nn.Module) -> None:
    """Turn each batch norm of the network into a `SharedBatchNorm2d` if there are several processes, in place."""
    if torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
        for module in network.modules():
            if type(module) in (nn.BatchNorm2d, BatchNormAct2d):
                module.__class__ = SharedBatchNorm2d
