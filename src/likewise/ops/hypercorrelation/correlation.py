"""The hypercorrelation and its inputs: unit features, and support masks at the size of each level (HSNet)."""

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor, nn

from likewise.ops.features import plane_size, resize
from likewise.ops.hypercorrelation.masks import level_masks

Taps = list[Float[Tensor, "b _c _h _w"]]
"""Feature maps, shallow to deep."""

EPS = 1e-5
"""Added to the norm of a feature vector, as in the published program: masked-out positions have correlation 0."""


def unit(features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Return each position's feature vector divided by (its norm + 1e-5); a zero vector stays zero."""
    return features / (features.norm(dim=1, keepdim=True) + EPS)


def masked_unit_features(taps: Taps, strides: list[int], mask: Float[Tensor, "b h w"], *, rescue: bool) -> Taps:
    """Return the unit features of every tap, multiplied by the mask before normalisation (HSNet, equation 1)."""
    planes = {stride: plane_size(tap) for stride, tap in zip(strides, taps, strict=True)}
    # Always in single precision: where a sample falls on a pixel up to rounding, its neighbour's weight is 1e-6 or 0,
    # and a unit feature is far from small even if the masked feature is.
    levels = level_masks(mask.detach().float().cpu().numpy(), planes, rescue=rescue)
    masks = {stride: torch.from_numpy(level)[:, None].to(taps[0]) for stride, level in levels.items()}
    return [unit(tap * masks[stride]) for stride, tap in zip(strides, taps, strict=True)]


def correlate(
    query: list[Float[Tensor, "b _c hq wq"]], support: list[Float[Tensor, "b _c hs ws"]]
) -> Float[Tensor, "b t hq wq hs ws"]:
    """Return the cosine of every query position with every support position, clamped at 0 (HSNet, equation 2).

    Arguments are the unit features of the `t` taps of one stride.
    """
    taps = [einsum(q, s, "b c hq wq, b c hs ws -> b hq wq hs ws") for q, s in zip(query, support, strict=True)]
    return torch.stack(taps, dim=1).relu()


def resize4d(x: Float[Tensor, "b c hq wq hs ws"], shape: torch.Size) -> Float[Tensor, "b c ho wo hso wso"]:
    """Resize both planes to `shape`: query height and width, support height and width; bilinear, corners aligned."""
    hs, ws = x.shape[4:]
    x = resize(rearrange(x, "b c hq wq hs ws -> b (c hs ws) hq wq"), (shape[0], shape[1]), align_corners=True)
    if (hs, ws) == tuple(shape[2:]):
        return rearrange(x, "b (c hs ws) hq wq -> b c hq wq hs ws", hs=hs, ws=ws)
    x = rearrange(x, "b (c hs ws) hq wq -> b (c hq wq) hs ws", hs=hs, ws=ws)
    x = resize(x, (shape[2], shape[3]), align_corners=True)
    return rearrange(x, "b (c hq wq) hs ws -> b c hq wq hs ws", hq=shape[0], wq=shape[1])


class CenterPivotConv4d(nn.Module):
    """The center-pivot 4D convolution (HSNet, section 4.2): the sum of two planar convolutions.

    It keeps the weights of a 4D kernel of odd side at the center of the query plane or of the support plane. `stride`
    is along the support axes; the query axes keep their size.
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
