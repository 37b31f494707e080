"""How well presence separates images with a class from those without, and how well it is calibrated."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from likewise.metrics.scores import interval

BINS = 10
"""Bins of equal width of the calibration error."""
RESAMPLES = 1000
"""Draws of the bootstrap; set without a measurement."""


def auroc(present: Sequence[float] | np.ndarray, absent: Sequence[float] | np.ndarray) -> float:
    """Return the probability that an image with the class has a higher presence than one without; ties count half."""
    one, other = np.asarray(present, float)[:, None], np.asarray(absent, float)[None]
    return float((one > other).mean() + (one == other).mean() / 2)


def calibration_error(present: Sequence[float] | np.ndarray, absent: Sequence[float] | np.ndarray) -> float:
    """Return the expected calibration error of presences; images with and without the class weigh the same in total."""
    presences = np.concatenate([np.asarray(present, float), np.asarray(absent, float)])
    there = np.arange(len(presences)) < len(present)
    weights = np.where(there, 0.5 / max(len(present), 1), 0.5 / max(len(absent), 1))
    bins = np.minimum((presences * BINS).astype(int), BINS - 1)
    return float(np.abs(np.bincount(bins, weights * (presences - there), BINS)).sum())


def presence_scores(
    present: Sequence[float], absent: Sequence[float]
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Return AUROC and calibration error with their 95% bootstrap intervals over episodes; nothing without both.

    A draw with repeats makes bins noisier, so the interval of the calibration error lies high.
    """
    if not (present and absent):
        return {}, {}
    measures = {"presence AUROC": auroc, "presence calibration error": calibration_error}
    generator = np.random.default_rng(0)
    draws = [(generator.choice(present, len(present)), generator.choice(absent, len(absent))) for _ in range(RESAMPLES)]
    values = {name: measure(present, absent) for name, measure in measures.items()}
    drawn: dict[str, Float[np.ndarray, " n"]] = {
        name: np.array([measure(*draw) for draw in draws]) for name, measure in measures.items()
    }
    return values, {name: interval(each) for name, each in drawn.items()}
