"""The 4D convolution of HSNet over a hypercorrelation."""

from __future__ import annotations

import torch.nn.functional as F
from einops import rearrange
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
