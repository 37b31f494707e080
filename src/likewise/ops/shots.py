"""Several shots of a class made one, and several classes put side by side, where each was segmented on its own (HSNet).

shots: logits of each --> foreground_wins --> vote, or mean_probability
shots: area of each --> area_weights, of means over them
classes: the probability of each --> compete
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def vote(masks: Bool[Tensor, "b s h w"]) -> Bool[Tensor, "b h w"]:
    """The paper's vote over shots (section 4.5), as published: at least half of the most votes found in the image."""
    votes = masks.sum(dim=1)
    most = votes.amax(dim=(1, 2), keepdim=True).clamp_min(1)
    return votes / most >= 0.5


def foreground_wins(logits: Float[Tensor, "*b 2 h w"]) -> Bool[Tensor, "*b h w"]:
    """Where the foreground's logit is the larger; a tie is background."""
    background, foreground = logits.unbind(dim=-3)
    return foreground > background


def mean_probability(logits: Float[Tensor, "b s 2 h w"]) -> Float[Tensor, "b h w"]:
    """The foreground's probability, averaged over shots."""
    return logits.softmax(dim=2)[:, :, 1].mean(dim=1)


def area_weights(areas: Float[Tensor, "*b s"]) -> Float[Tensor, "*b s 2"]:
    """How much each shot counts in a mean over all of the background's and of the foreground's features; sums are 1.

    By the square root of the area: the mean features of a small object are noisier, but not as much as its pixels are
    fewer, for neighbours are alike. Equal areas give the plain mean.

    Args:
        areas: the share of each shot's image that the object covers, in [0, 1].
    """
    sides = torch.stack([1 - areas, areas], dim=-1).clamp_min(1e-6).sqrt()
    return sides / sides.sum(dim=-2, keepdim=True)


def compete(probabilities: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k+1 h w"]:
    """Probabilities of a shared background and `k` classes, from each class's probability on its own.

    Every class keeps its odds against the background, so its order with the background does not change: a pixel is
    background when no class reaches one half on its own.
    """
    odds = torch.logit(probabilities, eps=1e-6)
    return torch.cat([torch.zeros_like(odds[:, :1]), odds], dim=1).softmax(dim=1)
