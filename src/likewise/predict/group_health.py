"""Whether a group of images is one that co-saliency can do: who agrees, who does not belong, which maps to trust."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from likewise.models.icnet import Vectors

LEVEL = 16
"""The stride whose vectors are compared; on training images those of the others tell intruders alike."""

FEW = 4
"""In smaller groups nobody can be told to be the odd one out."""

APART = 5.0
"""Robust deviations below the median: on training images 25% of the intruders lie there, and 1.5% of members."""

LEAST_SPREAD = 0.03
CERTAIN_FROM = 0.7
"""On training images, maps less certain than this have an IoU of 0.3 on average, the others of 0.7."""

FULLEST = 0.9


@dataclass(frozen=True)
class Health:
    """How a group of images hangs together.

    Attributes:
        agreement: of each image's foreground with that of the others, a cosine in [-1, 1]; 1 in a group of one.
        outsiders: images that do not seem to belong: their agreement lies far below the others'.
        unreliable: images whose single-image saliency map shows nothing, everything, or nothing clearly.
    """

    agreement: dict[str, float]
    outsiders: tuple[str, ...]
    unreliable: tuple[str, ...]

    def told(self) -> list[str]:
        """What a person should know, a line each; nothing if all is well."""
        count, lines = len(self.agreement), []
        if count == 1:
            lines.append("a group of one: the image is compared with itself alone, so its most salient object is found")
        if self.outsiders:
            lines.append(f"do not seem to belong to the group: {', '.join(self.outsiders)}")
        if count and 2 * len(self.unreliable) > count:
            lines.append(
                f"the saliency maps of {len(self.unreliable)} of {count} images are unreliable, and where most are, "
                "co-saliency finds something else than what the images share: give better maps with --maps, or show "
                "one example with `likewise segment --like`"
            )
        return lines


def health_of(names: Sequence[str], vectors: Vectors, certainty: Sequence[float]) -> Health:
    """The health of a group from what its first pass leaves.

    Args:
        names: of the images.
        vectors: their single-image vectors.
        certainty: of their maps (`certainty_of`).
    """
    agreement = agreement_of(vectors[LEVEL][:, 0]).numpy() if names else np.zeros(0)
    return Health(
        dict(zip(names, agreement.tolist(), strict=True)),
        tuple(name for name, odd in zip(names, far_below(agreement, APART), strict=True) if odd),
        tuple(name for name, own in zip(names, certainty, strict=True) if own < CERTAIN_FROM),
    )


def far_below(agreement: Float[np.ndarray, " n"], apart: float) -> Bool[np.ndarray, " n"]:
    """Who lies so many robust deviations below the median; nobody in a small group."""
    if len(agreement) < FEW:
        return np.zeros(len(agreement), bool)
    median = np.median(agreement)
    spread = max(1.4826 * float(np.median(np.abs(agreement - median))), LEAST_SPREAD)
    return agreement < median - apart * spread


def agreement_of(foreground: Float[Tensor, "n c"]) -> Float[Tensor, " n"]:
    """The cosine of each vector with the mean of the others; of one alone, with itself."""
    if len(foreground) == 1:
        return torch.ones(1)
    others = foreground.sum(dim=0) - foreground
    return F.cosine_similarity(foreground, others, dim=1).float()


def certainty_of(sism: Float[Tensor, "h w"]) -> float:
    """How clearly a map shows something, in [0, 1]: the mean of its values, each weighted by itself.

    0 for a map that shows nothing, and for one that shows nearly the whole image.
    """
    total = float(sism.sum())
    if total < 1e-3 * sism.numel() or float((sism > 0.5).float().mean()) > FULLEST:
        return 0.0
    return float((sism * sism).sum()) / total
