"""4D convolutions over a hypercorrelation: center-pivot, separable and full kernels (HSNet, Table 4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor, nn


class CenterPivotConv4d(nn.Module):
    """The center-pivot 4D convolution (HSNet, section 4.2): the sum of two planar convolutions.

    It keeps the weights of a 4D kernel at the center of the query plane or of the support plane.

    Args:
        channels_in, channels_out: of the hypercorrelation.
        kernel: odd side of the kernel in all four axes; the padding is half of it.
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
    """A 4D kernel that is the product of two planar ones: over the support plane, then over the query plane.

    The separable kernel of volumetric correspondence networks (Yang and Ramanan, NeurIPS 2019), with nothing between
    the two convolutions, so that an equivalent full kernel exists (`full_kernel`).
    """

    def __init__(self, channels_in: int, channels_out: int, *, kernel: int, stride: int = 1) -> None:
        super().__init__()
        # A bias would not reach the padding of the second convolution, and no full kernel would be equivalent.
        self.support = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False)
        self.query = nn.Conv2d(channels_out, channels_out, kernel, padding=kernel // 2)

    def forward(self, x: Float[Tensor, "b c hq wq hs ws"]) -> Float[Tensor, "b d hq wq ho wo"]:
        return over_query_plane(self.query, over_support_plane(self.support, x))


class FullConv4d(nn.Module):
    """A dense 4D convolution."""

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
    """Return the outputs that read an input `offset` further along the axis, and those inputs."""
    inside = max(length - abs(offset), 0)
    low, high = slice(0, inside), slice(min(abs(offset), length), None)
    return (low, high) if offset >= 0 else (high, low)


KERNELS: dict[str, type[CenterPivotConv4d] | type[SeparableConv4d] | type[FullConv4d]] = {
    "center-pivot": CenterPivotConv4d,
    "separable": SeparableConv4d,
    "full": FullConv4d,
}


def over_query_plane(convolution: nn.Conv2d, x: Float[Tensor, "b c hq wq hs ws"]) -> Float[Tensor, "b d ho wo hs ws"]:
    """Convolve the query plane at every support position."""
    planes = convolution(rearrange(x, "b c hq wq hs ws -> (b hs ws) c hq wq"))
    return rearrange(planes, "(b hs ws) d hq wq -> b d hq wq hs ws", hs=x.shape[4], ws=x.shape[5])


def over_support_plane(convolution: nn.Conv2d, x: Float[Tensor, "b c hq wq hs ws"]) -> Float[Tensor, "b d hq wq ho wo"]:
    """Convolve the support plane at every query position."""
    planes = rearrange(x, "b c hq wq hs ws -> (b hq wq) c hs ws")
    if min(x.shape[4:]) < max(convolution.kernel_size):
        # Padded explicitly: on a CPU without bfloat16 arithmetic, torch 2.12 leaves the bfloat16 gradients of weights
        # that meet only its own padding uninitialised.
        height, width = (side // 2 for side in convolution.kernel_size)
        padded = F.pad(planes, (width, width, height, height))
        planes = F.conv2d(padded, convolution.weight, convolution.bias, convolution.stride)
    else:
        planes = convolution(planes)
    return rearrange(planes, "(b hq wq) d hs ws -> b d hq wq hs ws", hq=x.shape[2], wq=x.shape[3])


@torch.no_grad()
def full_kernel(kernel: CenterPivotConv4d | SeparableConv4d) -> FullConv4d:
    """Return the full 4D kernel that is equivalent to a cheaper one."""
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
