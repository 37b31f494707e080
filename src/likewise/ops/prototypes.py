"""Few-shot segmentation in closed form: prototypes, whitening, self-support.

Numpy only, so that every engine's features are compared by the same code.

    features, masks of an example --> support_statistics --+
                                                           +--> merge_statistics --> form_prototypes --+
    those of further examples -----------------------------+                                           +--> log_odds
    query features ------------------------------------------------------------------------------------+

Prototypes. The mean feature of the object and that of the rest, as in PANet (Wang et al., ICCV 2019, section 3.2). Each
example weighs by the square root of the area of its side.

Whitening. A direction in which the features of one class vary carries little information about the class. Features
and prototypes are therefore multiplied by the inverse square root of the within-class covariance plus a ridge before
their cosine is taken: linear discriminant analysis with a ridge, as the Mahalanobis distance of Bateni et al.,
"Improved Few-Shot Visual Classification", CVPR 2020, section 4. A single example is not whitened, because one image
has no variation between images; the ridge shrinks as the number of examples grows.

Self-support. Fan, Pei, Tai, Tang, "Self-Support Few-Shot Semantic Segmentation", ECCV 2022, section 3.2: parts of one
object are more similar to each other than to another object of the class, so confident query positions form prototypes
too. The paper's adaptive background prototypes are left out. Ours: the weight of the query's prototypes falls when the
query's background resembles the examples' background, because confident guesses add little in a known scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32

from likewise.io.resize import cell_means
from likewise.ops.bilinear import resize_bilinear, resize_matrix

COSINE_SCALE = 20.0
"""Factor that turns cosines into logits; alpha of PANet's equation 2."""
RIDGE = 40.0
"""Ridge for two examples, in mean variances; divided by `shots - 1` for more of them (experiments/05-whitening)."""
MAX_RIDGE_SHOTS = 10
"""Largest `shots - 1` that divides the ridge: more examples were not measured (experiments/05-whitening)."""
CONFIDENCE_THRESHOLDS = (0.6, 0.85)
"""Probabilities above which a query position is confident background and confident foreground. Fan et al. use 0.6 and
0.7; the foreground's 0.85 is ours."""
MIN_CONFIDENT_POSITIONS = 12
"""Number of most probable positions used when none passes the threshold; as in the program of Fan et al."""
NEW_SCENE_DISTANCE = 0.1
"""Cosine distance of the query's background prototype from the examples' at which the query's prototypes reach full
weight (experiments/06-unseen-kinds)."""
ABSENT = -30.0
"""Log-odds of a class that is absent: a probability of 1e-13."""
AREA_CELL = 8
"""Side in pixels of the cells in which an object's area is counted; a cell counts if the object touches it."""


class SupportStatistics(NamedTuple):
    """What is kept of an example, or of several: merged, or stacked along a first axis.

    `sums`, `shares` and `squares` are sums over the known pixels (those in either mask) divided by their number; of
    merged examples all are means over the examples.

    Attributes:
        means: mean feature of the background and of the foreground; of several examples weighted by `weights`.
        sums: sum of the unit features of the background and of the foreground.
        shares: share of the background and of the foreground in the known pixels.
        squares: sum of the outer products of the unit features, over both masks.
        weights: square root of the share of the image's cells that the object leaves, and of that which it touches.
    """

    means: Float[np.ndarray, "*s 2 c"]
    sums: Float[np.ndarray, "*s 2 c"]
    shares: Float[np.ndarray, "*s 2"]
    squares: Float[np.ndarray, "*s c c"]
    weights: Float[np.ndarray, "*s 2"]


class Prototypes(NamedTuple):
    """The merged prototypes of a class.

    Attributes:
        means: prototypes of the background and of the foreground, whitened if there is a whitening.
        whitening: matrix that whitens query features; None for a single example.
        shots: number of examples.
    """

    means: Float32[np.ndarray, "2 c"]
    whitening: Float32[np.ndarray, "c c"] | None
    shots: int


def concat_levels(
    levels: Sequence[Float32[np.ndarray, "_c _h _w"]], *, align_corners: bool = False
) -> Float32[np.ndarray, "c h w"]:
    """Return the feature maps of several taps concatenated, at the size of the first."""
    size = (levels[0].shape[1], levels[0].shape[2])
    return np.concatenate([resize_bilinear(level, size, align_corners=align_corners) for level in levels])


def masked_mean(
    features: Float32[np.ndarray, "c h w"], mask: Float32[np.ndarray, "hm wm"], *, align_corners: bool = False
) -> Float32[np.ndarray, " c"]:
    """Return the mean feature under a mask, as if the features were first resized to the mask's size.

    The late fusion of PANet (section 3.2, equation 1): `sum(feature x mask) / (sum(mask) + 1e-5)`. The resized features
    are never computed: the mask goes through the transposed resize instead, which gives the same sum.

    Args:
        mask: weights in [0, 1]. An empty mask gives zeros.
    """
    weights = position_weights(mask, (features.shape[1], features.shape[2]), align_corners=align_corners)
    return (features * weights).sum(axis=(1, 2)) / (mask.sum() + np.float32(1e-5))


def position_weights(
    masks: Float32[np.ndarray, "*more hm wm"], size: tuple[int, int], *, align_corners: bool = False
) -> Float32[np.ndarray, "*more h w"]:
    """Return the weight of each feature position in a sum under a mask, if features of `size` are resized to it."""
    rows = resize_matrix(size[0], masks.shape[-2], align_corners=align_corners)
    columns = resize_matrix(size[1], masks.shape[-1], align_corners=align_corners)
    return rows.T @ masks @ columns


def support_statistics(
    features: Float32[np.ndarray, "c h w"], foreground: Bool[np.ndarray, "hm wm"], background: Bool[np.ndarray, "hm wm"]
) -> SupportStatistics:
    """Return the statistics of an example.

    Args:
        features: of the example's image.
        foreground: pixels of the object, at the size of the network's input.
        background: pixels that are known to be something else. A pixel may be in neither mask.
    """
    masks = np.stack([background, foreground]).astype(np.float32)
    weights = position_weights(masks, (features.shape[1], features.shape[2])).reshape(2, -1)
    flat = features.reshape(len(features), -1)
    unit = unit_length(flat)
    means = weights @ flat.T / (masks.sum(axis=(1, 2))[:, None] + 1e-5)
    weights = weights / max(masks.sum(), 1.0)
    squares = (weights.sum(axis=0) * unit) @ unit.T
    sides = side_weights(touched_area(foreground))
    return SupportStatistics(means, weights @ unit.T, weights.sum(axis=1), squares, sides)


def unit_length(features: Float32[np.ndarray, "c ..."]) -> Float32[np.ndarray, "c ..."]:
    """Return the features at unit length; a zero vector stays zero."""
    return features / np.maximum(np.linalg.norm(features, axis=0), np.float32(1e-12))


def side_weights(area: float) -> Float32[np.ndarray, "2"]:
    """Return the `weights` of an example whose object touches this share of the image."""
    return np.sqrt(np.array([1 - area, area], np.float32).clip(1e-6))


def touched_area(mask: Bool[np.ndarray, "h w"]) -> float:
    """Return the share of cells of `AREA_CELL` pixels that the mask touches; at least one cell."""
    height, width = (max(1, length // AREA_CELL) for length in mask.shape)
    bottom, right = (min(AREA_CELL, length) for length in mask.shape)
    cells = mask[: height * bottom, : width * right].reshape(height, bottom, width, right).any(axis=(1, 3))
    return float(max(cells.sum(), 1) / cells.size)


def resize_mask(mask: Bool[np.ndarray, "hm wm"], size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Return the mask at another `(height, width)`: pixels half covered, or covered at all if none is half covered."""
    covered = cell_means(mask, size)
    half = covered >= 0.5
    return half if half.any() else covered > 0


def merge_statistics(shots: SupportStatistics, counts: Float[np.ndarray, " n"] | None = None) -> SupportStatistics:
    """Return the statistics of all examples together.

    Args:
        shots: stacked along a first axis; each of an example, or merged.
        counts: number of examples of each; 1 unless given.
    """
    means, *others = (np.asarray(part, np.float32) for part in shots)
    counts = np.ones(len(means), np.float32) if counts is None else counts.astype(np.float32)
    share = counts / counts.sum()
    sides = shots.weights * share[:, None]
    merged = (sides / sides.sum(axis=0))[..., None] * means
    return SupportStatistics(merged.sum(axis=0), *(np.tensordot(share, part, axes=1) for part in others))


def form_prototypes(merged: SupportStatistics, count: int, *, ridge: float = RIDGE) -> Prototypes:
    """Return the prototypes of a class from the merged statistics of its examples.

    Args:
        count: number of examples.
        ridge: see `RIDGE`.
    """
    if count == 1:
        return Prototypes(merged.means, None, count)
    channels, share = merged.means.shape[1], merged.shares.clip(1e-6)
    covariance = merged.squares - (merged.sums / share[:, None]).T @ merged.sums
    variances, directions = np.linalg.eigh(covariance.astype(np.float64))
    variances = variances.clip(0)  # statistics in half precision can give small negative eigenvalues
    variance = ridge / min(count - 1, MAX_RIDGE_SHOTS) * max(variances.mean(), 1e-6) if channels else 1.0
    whitening = (directions / np.sqrt(1 + variances / variance)).T.astype(np.float32)
    return Prototypes(merged.means @ whitening.T, whitening, count)


def log_odds(query: Float32[np.ndarray, "c h w"], prototypes: Prototypes) -> Float32[np.ndarray, "h w"]:
    """Return the log-odds of foreground against background at every position of the query's features."""
    channels, height, width = query.shape
    flat = query.reshape(channels, -1)
    if prototypes.whitening is not None:
        flat = prototypes.whitening @ flat
    cosines = cosine(prototypes.means, flat)
    adapted = self_support_prototypes(flat, prototypes.means, cosines, prototypes.shots)
    background, foreground = COSINE_SCALE * cosine(adapted, flat)
    return (foreground - background).reshape(height, width)


def self_support_prototypes(
    query: Float32[np.ndarray, "c p"],
    means: Float32[np.ndarray, "2 c"],
    cosines: Float32[np.ndarray, "2 p"],
    shots: int,
) -> Float32[np.ndarray, "2 c"]:
    """Return the weighted mean of the examples' prototypes and of the query's own (Fan et al., equation 5).

    The examples' prototypes weigh `shots**2`, because their masks are given and the query's are guessed. The query's
    weigh 1, or `(distance / NEW_SCENE_DISTANCE)**2` for a background closer than that to the examples' background.

    Args:
        query: query features at each position, whitened as the means are.
        means: the examples' prototypes of background and foreground.
        cosines: of the query with these.
        shots: number of examples.
    """
    foreground = sigmoid(COSINE_SCALE * (cosines[1] - cosines[0]))
    probabilities = np.stack([1 - foreground, foreground])
    confident = probabilities > np.array(CONFIDENCE_THRESHOLDS, np.float32)[:, None]
    count = min(MIN_CONFIDENT_POSITIONS, probabilities.shape[1])
    kth = np.partition(probabilities, -count, axis=1)[:, -count, None]
    confident = np.where(confident.any(axis=1, keepdims=True), confident, probabilities >= kth).astype(np.float32)
    own = confident @ query.T / confident.sum(axis=1, keepdims=True)
    distance = 1 - cosine(means[:1], own[0][:, None])[0, 0]
    weight = np.float32(min((distance / NEW_SCENE_DISTANCE) ** 2, 1))
    return (shots**2 * means + weight * own) / (shots**2 + weight)


def cosine(vectors: Float32[np.ndarray, "k c"], features: Float32[np.ndarray, "c p"]) -> Float32[np.ndarray, "k p"]:
    """Return the cosine of each vector with the feature at each position; 0 for a zero vector."""
    norms = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-8)
    return vectors @ features / norms / np.maximum(np.linalg.norm(features, axis=0), 1e-8)


def join_classes(
    odds: Sequence[Float32[np.ndarray, "h w"]], logits: Sequence[float], present: Sequence[bool]
) -> list[Float32[np.ndarray, "h w"]]:
    """Return the log-odds of classes that compete for an image.

    The odds of each class lose what its presence lacks of the highest, so that classes of separate examples compare. A
    position that only one class claims keeps its class. Absent classes get no position.

    Args:
        logits: for each class, the log-odds that it is in the image.
        present: for each class, whether it is taken to be there.
    """
    highest = max(logits)
    if len(odds) > 1:
        claimed = [plane > 0 for plane in odds]
        several = np.sum(claimed, axis=0) > 1
        odds = [
            np.where(several & own, np.maximum(plane + logit - highest, 1e-3), plane)
            for plane, own, logit in zip(odds, claimed, logits, strict=True)
        ]
    return [plane if there else np.full_like(plane, ABSENT) for plane, there in zip(odds, present, strict=True)]


def probabilities(odds: Sequence[Float32[np.ndarray, "h w"]], size: tuple[int, int]) -> Float32[np.ndarray, "k ho wo"]:
    """Return the probabilities of background and classes at `size` (height, width) from the log-odds of each class.

    Each class keeps its odds against the background: a pixel is background where no class reaches one half on its own.
    """
    planes = np.stack([resize_bilinear(plane, size) for plane in odds])
    if len(planes) == 1:
        foreground = sigmoid(planes[0])
        return np.stack([1 - foreground, foreground])
    return softmax(np.concatenate([np.zeros_like(planes[:1]), planes]))


def softmax(logits: Float32[np.ndarray, "k h w"]) -> Float32[np.ndarray, "k h w"]:
    """Return the softmax over the first axis."""
    exponentials = np.exp(logits - logits.max(axis=0))
    exponentials /= exponentials.sum(axis=0)
    return exponentials


def sigmoid(x: Float32[np.ndarray, "*s"]) -> Float32[np.ndarray, "*s"]:
    """Return `1 / (1 + exp(-x))`, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))
