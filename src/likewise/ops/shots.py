"""Merging the shots of a class, and the classes of a concept, that were segmented one by one.

logits of each shot --> foreground_wins --> vote           (HSNet, section 4.5)
logits of each shot --> mean_probability
probability of each class --> compete
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def vote(masks: Bool[Tensor, "b s h w"]) -> Bool[Tensor, "b h w"]:
    """Return the pixels with at least half of the image's highest vote count (HSNet, section 4.5)."""
    votes = masks.sum(dim=1)
    most = votes.amax(dim=(1, 2), keepdim=True).clamp_min(1)
    return votes / most >= 0.5


def foreground_wins(logits: Float[Tensor, "*b 2 h w"]) -> Bool[Tensor, "*b h w"]:
    """Return where the foreground logit is larger; a tie is background."""
    background, foreground = logits.unbind(dim=-3)
    return foreground > background


def mean_probability(logits: Float[Tensor, "b s 2 h w"]) -> Float[Tensor, "b h w"]:
    """Return the foreground probability, averaged over shots."""
    return logits.softmax(dim=2)[:, :, 1].mean(dim=1)


def compete(probabilities: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k+1 h w"]:
    """Return probabilities of a shared background and `k` classes, from the probability of each class on its own.

    Every class keeps its odds against the background, so a pixel is background if no class reaches one half alone.
    """
    odds = torch.logit(probabilities, eps=1e-6)
    return torch.cat([torch.zeros_like(odds[:, :1]), odds], dim=1).softmax(dim=1)
