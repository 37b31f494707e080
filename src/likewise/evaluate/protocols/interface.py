"""What every protocol and every metric provides."""

from collections.abc import Sequence
from typing import Protocol as Interface
from typing import runtime_checkable

import numpy as np

from likewise.data.episodes import Episode, EpisodeSet
from likewise.io.resize import Nearest
from likewise.metrics.scores import Scores


@runtime_checkable
class Metric(Interface):
    """Counts predictions, one episode at a time."""

    def update(self, prediction: np.ndarray, target: np.ndarray, episode: Episode) -> None: ...

    def compute(self) -> Scores: ...


@runtime_checkable
class Protocol(Interface):
    """Draws episodes and counts their predictions.

    Attributes:
        size: side in pixels to which images and label maps are resized, aspect not kept; None for their own size.
        nearest: how label maps are resized (`likewise.io.resize.resize_labels`).
    """

    name: str
    size: int | None
    nearest: Nearest

    def episodes(
        self, dataset: EpisodeSet, shots: int = 1, ways: int = 1, count: int | None = None, seed: int | None = None
    ) -> list[Episode]:
        """Return the episodes; `count` and `seed` None take the values of the protocol.

        Raises:
            ArgumentError: a number of ways that the protocol or the data set does not have.
            DataSetError: a class with too few images.
        """
        ...

    def metric(self, classes: Sequence[str]) -> Metric:
        """Return a fresh metric for these test classes."""
        ...
