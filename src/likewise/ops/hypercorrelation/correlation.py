"""The hypercorrelation itself, and what goes into it: unit features, masks at the size of each level (HSNet)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor

from likewise.errors import warn
from likewise.ops.features import resize

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
    warn(
        f"a support mask is so small that nothing of it is left at stride {strides}; "
        + ("the finest level that holds it stands in" if rescue else "this stride will not be compared")
        + ". Give an image in which the object is larger, or crop it."
    )
    if rescue:
        for shot in range(len(mask)):
            finest = next((masks[stride][shot] for stride in masks if held[stride][shot]), mask[shot])
            for stride in lost:
                if not held[stride][shot]:
                    masks[stride][shot] = F.adaptive_max_pool2d(finest[None], masks[stride].shape[-2:])[0]
    return masks
