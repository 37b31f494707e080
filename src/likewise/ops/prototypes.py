"""Prototypes of several supports: merged, whitened, and adapted to the query.

    supports --> support_statistics --> merge_shots --> Prototypes --+
                                                                     +--> cosine_maps
    query features --------------------------------------------------+

Whitening. A direction in which the features of one class vary carries little information about the class. Features
and prototypes are therefore multiplied by the inverse square root of the within-class covariance plus a ridge before
their cosine is taken: linear discriminant analysis with a ridge, as the Mahalanobis distance of Bateni et al.,
"Improved Few-Shot Visual Classification", CVPR 2020, section 4. A single support is not whitened, because one image
has no variation between images; the ridge shrinks as the number of supports grows.

Self-support. Fan, Pei, Tai, Tang, "Self-Support Few-Shot Semantic Segmentation", ECCV 2022, section 3.2: parts of one
object are more similar to each other than to another object of the class, so confident query positions form prototypes
too. The paper's adaptive background prototypes are left out. Ours: the weight of the query's prototypes falls when the
query's background resembles the supports' background, because confident guesses add little in a known scene.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from likewise.ops.features import cosine_similarity, masked_average_pool, pixel_weights, plane_size

COSINE_SCALE = 20.0
"""Factor that turns cosines into logits; alpha of PANet's equation 2."""
RIDGE = 40.0
"""Ridge for two supports, in mean variances; divided by `shots - 1` for more of them (experiments/05-whitening)."""
MAX_RIDGE_SHOTS = 10
"""Largest `shots - 1` that divides the ridge: more supports were not measured (experiments/05-whitening)."""
CONFIDENCE_THRESHOLDS = (0.6, 0.85)
"""Probabilities above which a query position is confident background and confident foreground. Fan et al. use 0.6 and
0.7; the foreground's 0.85 is ours."""
MIN_CONFIDENT_POSITIONS = 12
"""Number of most probable positions used when none passes the threshold; as in the program of Fan et al."""
NEW_SCENE_DISTANCE = 0.1
"""Cosine distance of the query's background prototype from the supports' at which the query's prototypes reach full
weight (experiments/06-unseen-kinds)."""


class SupportStatistics(NamedTuple):
    """Sufficient statistics of each support for `merge_shots`.

    `sums`, `shares` and `squares` are sums over the known pixels (those in either mask) divided by their number.

    Attributes:
        means: mean feature of the background and of the foreground.
        sums: sum of the unit features of the background and of the foreground.
        shares: share of the background and of the foreground in the known pixels.
        squares: sum of the outer products of the unit features, over both masks.
    """

    means: Float[Tensor, "*b 2 c"]
    sums: Float[Tensor, "*b 2 c"]
    shares: Float[Tensor, "*b 2"]
    squares: Float[Tensor, "*b c c"]

    def covariance(self) -> Float[Tensor, "b c c"]:
        """Within-class covariance of the unit features, over all supports of a class (`*b` is `b s` here)."""
        sums, shares, squares = (part.float().mean(dim=1) for part in (self.sums, self.shares, self.squares))
        return squares - einsum(sums, sums, 1 / shares.clamp_min(1e-6), "b side c, b side d, b side -> b c d")


class Prototypes(NamedTuple):
    """The merged prototypes of a class.

    Attributes:
        means: whitened prototype of the background and of the foreground.
        whitening: matrix that whitens query features; None for a single shot.
        weights: weight of each shot in the mean of the background and of the foreground; sums over shots are 1.
    """

    means: Float[Tensor, "b 2 c"]
    whitening: Float[Tensor, "b c c"] | None
    weights: Float[Tensor, "b s 2"]

    @property
    def shots(self) -> int:
        return self.weights.shape[1]


def support_statistics(
    features: Float[Tensor, "b c h w"], background: Float[Tensor, "b hm wm"], foreground: Float[Tensor, "b hm wm"]
) -> SupportStatistics:
    """Return the statistics of each of `b` supports.

    Args:
        features: feature maps, pooled as in PANet (`masked_average_pool`, corners not aligned).
        background: weight in [0, 1] of each pixel known to be background.
        foreground: weight in [0, 1] of each foreground pixel. A pixel may be in neither mask.
    """
    sides = [masked_average_pool(features, mask, align_corners=False) for mask in (background, foreground)]
    unit = F.normalize(features.float(), dim=1).flatten(2)
    masks = torch.stack([background, foreground], dim=1).float()
    weights = pixel_weights(masks.flatten(0, 1), plane_size(features), align_corners=False).unflatten(0, (-1, 2))
    weights = weights.flatten(2) / masks.sum(dim=(1, 2, 3)).clamp_min(1)[:, None, None]
    squares = (weights.sum(dim=1)[:, None] * unit) @ unit.mT
    return SupportStatistics(torch.stack(sides, dim=1), weights @ unit.mT, weights.sum(dim=2), squares)


def merge_shots(statistics: SupportStatistics, weights: Float[Tensor, "b s 2"], *, ridge: float = RIDGE) -> Prototypes:
    """Return the weighted mean prototypes of `b` classes with `s` shots each, whitened if there are several shots.

    Args:
        statistics: of every shot, with leading axes `b s`.
        weights: weight of each shot in the mean of the background and of the foreground.
        ridge: see `RIDGE`.
    """
    shots, channels = statistics.means.shape[1], statistics.means.shape[-1]
    means = (weights[..., None] * statistics.means).sum(dim=1).to(statistics.means.dtype)
    if shots == 1 or not channels:
        return Prototypes(means, None, weights)
    variances, directions = torch.linalg.eigh(statistics.covariance())
    variances = variances.clamp_min(0)  # statistics stored in half precision can give small negative eigenvalues
    ridges = ridge / min(shots - 1, MAX_RIDGE_SHOTS) * variances.mean(dim=1, keepdim=True).clamp_min(1e-6)
    whitening = ((1 + variances / ridges).rsqrt()[..., None] * directions.mT).to(means.dtype)
    return Prototypes(einsum(whitening, means, "b d c, b side c -> b side d"), whitening, weights)


def cosine_maps(
    features: Float[Tensor, "b c h w"], prototypes: Prototypes, *, self_support: bool, scale: float = COSINE_SCALE
) -> Float[Tensor, "b n h w"]:
    """Return the cosine of every query position with the background's and the foreground's prototype.

    With `self_support` two more maps follow: the cosines with the prototypes adapted to the query.

    Args:
        features: query features.
        scale: factor of the cosines in the probabilities that select confident query positions.
    """
    if prototypes.whitening is not None:
        features = einsum(prototypes.whitening, features, "b d c, b c h w -> b d h w")
    cosines = cosine_similarity(features, prototypes.means)
    if not self_support:
        return cosines
    probabilities = (scale * cosines).softmax(dim=1)
    adapted = self_support_prototypes(features, prototypes.means, probabilities, prototypes.shots)
    return torch.cat([cosines, cosine_similarity(features, adapted)], dim=1)


def self_support_prototypes(
    features: Float[Tensor, "b c h w"],
    prototypes: Float[Tensor, "b 2 c"],
    probabilities: Float[Tensor, "b 2 h w"],
    shots: int,
) -> Float[Tensor, "b 2 c"]:
    """Return the weighted mean of the supports' prototypes and of the query's own (Fan et al., equation 5).

    The supports' prototypes weigh `shots**2`, because their masks are given and the query's are guessed. The query's
    weigh 1, or `(distance / NEW_SCENE_DISTANCE)**2` for a background closer than that to the supports' background.

    Args:
        features: query features.
        prototypes: prototype of the supports' background and foreground.
        probabilities: of background and foreground by these prototypes.
        shots: number of supports.
    """
    thresholds = probabilities.new_tensor(CONFIDENCE_THRESHOLDS)[:, None, None]
    confident = probabilities > thresholds
    flat = probabilities.flatten(2)
    kth = flat.topk(min(MIN_CONFIDENT_POSITIONS, flat.shape[2]), dim=2).values[..., -1, None, None]
    found = confident.any(dim=(2, 3), keepdim=True)
    confident = torch.where(found, confident, probabilities >= kth).to(features.dtype)
    own = torch.einsum("bchw,bkhw->bkc", features, confident) / confident.sum(dim=(2, 3))[..., None]
    distance = 1 - F.cosine_similarity(own[:, 0].float(), prototypes[:, 0].float(), dim=1)
    weight = (distance / NEW_SCENE_DISTANCE).square().clamp_max(1).to(own.dtype)[:, None, None]
    return (shots**2 * prototypes + weight * own) / (shots**2 + weight)
