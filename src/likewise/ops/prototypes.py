"""Prototypes of several examples: what they say together, how far their features spread, and what the query adds.

examples --> show --> Shown: means, spread --> together --> Prototypes --+
                                                                        +--> likeness --> cosines
query features ---------------------------------------------------------+

Whitening. A direction in which features of one class differ says little of which class a feature is. So features and
prototypes are divided by the spread within the classes, shrunk towards that of no preferred direction, before cosines
are taken: linear discriminant analysis with a ridge, as Mahalanobis distances do it in few-shot classification
(Bateni et al., "Improved Few-Shot Visual Classification", CVPR 2020, section 4). One example tells nothing of what
varies between examples, and the more there are the more their spread counts.

Self-support. Fan, Pei, Tai, Tang, "Self-Support Few-Shot Semantic Segmentation", ECCV 2022: two parts of one object are
more alike than those of two objects of its class. So where a query is surely foreground or background by the
examples' prototypes, its own features make prototypes too (section 3.2). Their adaptive background prototypes are
left out. Ours: in a scene that the examples show already, guesses tell little that is new, and wrong ones do harm; so
the query's count the less the more its background is like theirs.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from likewise.ops.features import cosine_similarity, masked_average_pool, pixel_weights, plane_size

SCALE = 20.0
"""The factor of cosines that make probabilities: PANet's."""
SHRINKAGE = 40.0
"""The variance that is added to the spread in every direction, as a multiple of its mean, for two examples.

Of more examples it is divided by their number less one.
"""
MOST_TRUSTED = 10
"""By no more than this: with more examples it was not tried."""
SURE = (0.6, 0.85)
"""From which probability on a position is surely background, foreground."""
LEAST = 12
"""So many likeliest positions are taken where none is sure."""
OTHER_SCENE = 0.1
"""From this distance on, one less the cosine of its background with the examples', a query shows another scene."""


class Shown(NamedTuple):
    """What each example shows. Sums are of unit features, over its known pixels, whose number they are divided by.

    Attributes:
        means: of the features of its background and of its foreground.
        sums: of the unit features of either side.
        shares: the share of either side in the known pixels.
        squares: the sum of the unit features' products with themselves, of both sides together.
    """

    means: Float[Tensor, "*b 2 c"]
    sums: Float[Tensor, "*b 2 c"]
    shares: Float[Tensor, "*b 2"]
    squares: Float[Tensor, "*b c c"]

    def spread(self) -> Float[Tensor, "b c c"]:
        """The covariance of unit features, each around its side's mean over all examples (`*b` is `b s` here)."""
        sums, shares, squares = (part.float().mean(dim=1) for part in (self.sums, self.shares, self.squares))
        return squares - einsum(sums, sums, 1 / shares.clamp_min(1e-6), "b side c, b side d, b side -> b c d")


class Prototypes(NamedTuple):
    """What the examples of one class say together.

    Attributes:
        means: the prototypes of the background and of the foreground, whitened.
        whitening: what features are multiplied by before they are compared with these; None where nothing is to do.
        shots: the number of examples.
    """

    means: Float[Tensor, "b 2 c"]
    whitening: Float[Tensor, "b c c"] | None
    shots: int


def show(
    features: Float[Tensor, "b c h w"], background: Float[Tensor, "b hm wm"], foreground: Float[Tensor, "b hm wm"]
) -> Shown:
    """The means under either mask, as PANet has them, and what the spread around them is made of.

    Args:
        features: of `b` examples.
        background: 1 where a pixel is known not to belong to the class, in [0, 1].
        foreground: 1 where it belongs to it. A pixel may be in neither.
    """
    sides = [masked_average_pool(features, mask, align_corners=False) for mask in (background, foreground)]
    unit = F.normalize(features.float(), dim=1).flatten(2)
    masks = torch.stack([background, foreground], dim=1).float()
    weights = pixel_weights(masks.flatten(0, 1), plane_size(features), align_corners=False).unflatten(0, (-1, 2))
    weights = weights.flatten(2) / masks.sum(dim=(1, 2, 3)).clamp_min(1)[:, None, None]
    squares = (weights.sum(dim=1)[:, None] * unit) @ unit.mT
    return Shown(torch.stack(sides, dim=1), weights @ unit.mT, weights.sum(dim=2), squares)


def together(shown: Shown, weights: Float[Tensor, "b s 2"], *, shrinkage: float = SHRINKAGE) -> Prototypes:
    """The examples of each class as one, whitened where there are several.

    Args:
        shown: of `b` classes with `s` examples each.
        weights: how much each example counts in the mean of the background and in that of the foreground.
        shrinkage: as `SHRINKAGE`.
    """
    shots, channels = shown.means.shape[1], shown.means.shape[-1]
    means = (weights[..., None] * shown.means).sum(dim=1).to(shown.means.dtype)
    if shots == 1 or not channels:
        return Prototypes(means, None, shots)
    spread = shown.spread()
    variances, directions = torch.linalg.eigh(spread)
    variances = variances.clamp_min(0)  # rows are kept in half precision, so some may come out below
    ridge = shrinkage / min(shots - 1, MOST_TRUSTED) * variances.mean(dim=1, keepdim=True).clamp_min(1e-6)
    whitening = ((1 + variances / ridge).rsqrt()[..., None] * directions.mT).to(means.dtype)
    return Prototypes(einsum(whitening, means, "b d c, b side c -> b side d"), whitening, shots)


def likeness(
    features: Float[Tensor, "b c h w"], prototypes: Prototypes, *, self_support: bool
) -> Float[Tensor, "b n h w"]:
    """The cosines with the background's and the foreground's prototype; those with self-support follow."""
    if prototypes.whitening is not None:
        features = einsum(prototypes.whitening, features, "b d c, b c h w -> b d h w")
    cosines = cosine_similarity(features, prototypes.means)
    if not self_support:
        return cosines
    moved = with_query(features, prototypes.means, (SCALE * cosines).softmax(dim=1), prototypes.shots)
    return torch.cat([cosines, cosine_similarity(features, moved)], dim=1)


def with_query(
    features: Float[Tensor, "b c h w"],
    prototypes: Float[Tensor, "b 2 c"],
    probabilities: Float[Tensor, "b 2 h w"],
    shots: int,
) -> Float[Tensor, "b 2 c"]:
    """The mean of the supports' prototypes and of the query's own.

    One support and a query of another scene count the same. The query's share is one by one plus the square of their
    number, for it is guessed where their masks are given: as one more shot of several it would do less good than harm.
    In a scene like theirs it counts less, by the square of the distance over that of another scene.

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
    distance = 1 - F.cosine_similarity(own[:, 0].float(), prototypes[:, 0].float(), dim=1)
    count = (distance / OTHER_SCENE).square().clamp_max(1).to(own.dtype)[:, None, None]
    return (shots**2 * prototypes + count * own) / (shots**2 + count)
