"""Merging the shots of a class, and the classes of a concept, that were segmented one by one. Numpy only.

logits of each shot --> foreground_wins --> vote           (HSNet, section 4.5)
logits of each shot --> mean_probability
probability of each class --> compete
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float32

from likewise.ops.bilinear import resize_bilinear
from likewise.ops.prototypes import sigmoid, softmax

EPS = 1e-6
"""Probabilities are at least this far from 0 and 1 before their odds are taken."""


def vote(masks: Bool[np.ndarray, "*b s h w"]) -> Bool[np.ndarray, "*b h w"]:
    """Return the pixels with at least half of the image's highest vote count (HSNet, section 4.5)."""
    votes = masks.sum(axis=-3)
    most = votes.max(axis=(-2, -1), keepdims=True).clip(min=1)
    return votes / most >= 0.5


def foreground_wins(logits: Float32[np.ndarray, "*b 2 h w"]) -> Bool[np.ndarray, "*b h w"]:
    """Return where the foreground logit is larger; a tie is background."""
    return logits[..., 1, :, :] > logits[..., 0, :, :]


def mean_probability(
    logits: Sequence[Float32[np.ndarray, "2 _h _w"]], size: tuple[int, int]
) -> Float32[np.ndarray, "ho wo"]:
    """Return the foreground probability, averaged over shots, their logits resized to `size` by pixel centres.

    One shot after the other: all of them at the size of a photograph take much memory.
    """
    total = np.zeros(size, np.float32)
    for background, foreground in logits:
        total += sigmoid(resize_bilinear(foreground - background, size))
    return total / np.float32(len(logits))


def compete(probabilities: Float32[np.ndarray, "k h w"]) -> Float32[np.ndarray, "k+1 h w"]:
    """Return probabilities of a shared background and `k` classes, from the probability of each class on its own.

    Every class keeps its odds against the background, so a pixel is background if no class reaches one half alone.
    """
    if len(probabilities) == 1:
        return np.concatenate([1 - probabilities, probabilities])
    clipped = probabilities.clip(EPS, 1 - EPS)
    odds = np.log(clipped / (1 - clipped))
    return softmax(np.concatenate([np.zeros_like(odds[:1]), odds]))
