"""Prototypes that take the query's own word.

Fan, Pei, Tai, Tang, "Self-Support Few-Shot Semantic Segmentation", ECCV 2022: two parts of one object are more alike
than those of two objects of its class. So where a query is surely foreground or background by the supports'
prototypes, its own features make prototypes too (section 3.2). Their adaptive background prototypes are left out.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

SURE = (0.6, 0.85)
"""From which probability on a position is surely background, foreground."""
LEAST = 12
"""So many likeliest positions are taken where none is sure."""


def with_query(
    features: Float[Tensor, "b c h w"],
    prototypes: Float[Tensor, "b 2 c"],
    probabilities: Float[Tensor, "b 2 h w"],
    shots: int,
) -> Float[Tensor, "b 2 c"]:
    """The mean prototypes of `shots` supports and of the query, which counts as one more.

    Args:
        features: of the query.
        prototypes: the supports' mean ones, of the background and of the foreground.
        probabilities: of the background and of the foreground by these prototypes.
    """
    thresholds = probabilities.new_tensor(SURE)[:, None, None]
    sure = probabilities > thresholds
    flat = probabilities.flatten(2)
    least = flat.topk(min(LEAST, flat.shape[2]), dim=2).values[..., -1, None, None]
    sure = torch.where(sure.any(dim=(2, 3), keepdim=True), sure, probabilities >= least).to(features.dtype)
    own = torch.einsum("bchw,bkhw->bkc", features, sure) / sure.sum(dim=(2, 3))[..., None]
    return (shots * prototypes + own) / (shots + 1)
