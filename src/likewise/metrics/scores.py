"""Numbers with the protocol under which they were counted."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Scores:
    """Numbers and the protocol under which they were counted; all values are fractions in [0, 1].

    Attributes:
        intervals: 95% bootstrap intervals of some of the `values` and `per_class` values.
        counts: numbers of images, episodes, runs or groups.
    """

    protocol: str
    values: dict[str, float]
    per_class: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


def interval(resampled: np.ndarray) -> tuple[float, float]:
    """Return the middle 95% of resampled values."""
    low, high = np.percentile(resampled, (2.5, 97.5))
    return float(low), float(high)
