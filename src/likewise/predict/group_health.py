"""Checks of a group of images before co-saliency: agreement, outsiders and unreliable saliency maps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from likewise.engine.protocol import Vectors

LEVEL = 16
"""Stride whose vectors are compared; the other strides detect intruders equally well (experiments/11-group-health)."""

FEW = 4
"""Number of images below which no image is called an outsider; set without a measurement."""

APART = 5.0
"""Robust standard deviations below the median that make an outsider: 25% of the intruders on training images, and 1.5%
of the members (experiments/11-group-health)."""

LEAST_SPREAD = 0.03
"""Lower bound of the robust standard deviation of the agreement, a cosine (experiments/11-group-health)."""
CERTAIN_FROM = 0.7
"""Certainty of a reliable map: on training images, less certain maps have a mean IoU of 0.3, the others of 0.7
(experiments/11-group-health)."""

FULLEST = 0.9
"""Fraction of the image above which a map shows everything, so nothing in particular; set without a measurement."""


@dataclass(frozen=True)
class Health:
    """How well the images of a group fit together.

    Attributes:
        agreement: for each image, the cosine in [-1, 1] of its foreground with the others'; 1 in a group of one.
        outsiders: images whose agreement is far below the median.
        unreliable: images whose single-image saliency map is empty, full or unclear.
    """

    agreement: dict[str, float]
    outsiders: tuple[str, ...]
    unreliable: tuple[str, ...]

    def warnings(self) -> list[str]:
        """Warnings for the user, one per line; empty if there are none."""
        count, lines = len(self.agreement), []
        if count == 1:
            lines.append("a group of one image: the result is its most salient object")
        if self.outsiders:
            lines.append(f"probably not of this group: {', '.join(self.outsiders)}")
        if count and 2 * len(self.unreliable) > count:
            lines.append(
                f"the saliency maps of {len(self.unreliable)} of {count} images are unreliable, so the masks may miss "
                "the shared object: give better maps with --maps, or an example with `likewise segment --like`"
            )
        return lines


def assess_group(names: Sequence[str], vectors: Vectors, certainty: Sequence[float]) -> Health:
    """The health of a group.

    Args:
        names: of the images.
        vectors: the single-image vectors of the images.
        certainty: of each saliency map (`map_certainty`).
    """
    agreement = group_agreement(vectors[LEVEL][:, 0]) if names else np.zeros(0)
    return Health(
        dict(zip(names, agreement.tolist(), strict=True)),
        tuple(name for name, odd in zip(names, far_below_median(agreement, APART), strict=True) if odd),
        tuple(name for name, own in zip(names, certainty, strict=True) if own < CERTAIN_FROM),
    )


def far_below_median(agreement: Float[np.ndarray, " n"], apart: float) -> Bool[np.ndarray, " n"]:
    """True where the agreement is over `apart` robust standard deviations below the median; nowhere in small groups."""
    if len(agreement) < FEW:
        return np.zeros(len(agreement), bool)
    median = np.median(agreement)
    spread = max(1.4826 * float(np.median(np.abs(agreement - median))), LEAST_SPREAD)
    return agreement < median - apart * spread


def group_agreement(foreground: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " n"]:
    """The cosine of each vector with the mean of the others; 1 for a single vector."""
    if len(foreground) == 1:
        return np.ones(1, foreground.dtype)
    others = foreground.sum(axis=0) - foreground
    lengths = np.linalg.norm(foreground, axis=1).clip(1e-8) * np.linalg.norm(others, axis=1).clip(1e-8)
    return (foreground * others).sum(axis=1) / lengths


def map_certainty(sism: Float[np.ndarray, "h w"]) -> float:
    """The certainty of a map in [0, 1]: the mean of its values, weighted by the values.

    0 for an empty map, and for a map that covers nearly the whole image.
    """
    total = float(sism.sum())
    if total < 1e-3 * sism.size or float((sism > 0.5).mean()) > FULLEST:
        return 0.0
    return float((sism * sism).sum()) / total
