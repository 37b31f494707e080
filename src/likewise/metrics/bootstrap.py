"""Bootstrap intervals of a mean IoU over query images.

Efron and Tibshirani, An Introduction to the Bootstrap, 1993. The query image is the unit of resampling, since episodes
that share a query are not independent: resampling a thousand episodes of a hundred images underestimates the spread.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int64, UInt8

from likewise.data.episodes import Episode
from likewise.errors import DataSetError, check_known
from likewise.metrics.confusion import confusion, intersection_and_union


class EpisodeCounts:
    """Intersections and unions per class, query image and run, counted as the protocol counts them.

    Every episode counts, all in one run, with two exceptions: under `panet-2019` each seed is a run, and a way counts
    only where the target shows it; under `likewise-1` an episode counts only if its target shows one of its ways.
    """

    def __init__(self, protocol: str, classes: Sequence[str]) -> None:
        self.protocol = protocol
        # class -> query image -> run -> intersection and union
        self.sums: dict[str, dict[str, dict[int, np.ndarray]]] = {name: {} for name in classes}
        self.runs: set[int] = set()

    def update(
        self, prediction: UInt8[np.ndarray, "h w"], target: UInt8[np.ndarray, "ht wt"], episode: Episode
    ) -> float | None:
        """Count an episode and return its IoU, the mean over the ways that its target shows; None without any."""
        return self.add(confusion(prediction, target, len(episode.classes) + 1), episode)

    def add(self, matrix: Int64[np.ndarray, "k k"], episode: Episode) -> float | None:
        """Count an episode by its confusion matrix; returns as `update`."""
        present = matrix[1:].sum(axis=1) > 0
        every_way = np.ones(len(present), bool)
        counted = {"panet-2019": present, "likewise-1": every_way & present.any()}.get(self.protocol, every_way)
        intersection, union = (sums[1:] for sums in intersection_and_union(matrix))
        run = episode.seed if self.protocol == "panet-2019" else 0
        self.runs.add(run)
        for way, name in enumerate(episode.classes):
            check_known(name, self.sums, "test class", DataSetError)
            if counted[way]:
                sums = self.sums[name].setdefault(episode.query, {}).setdefault(run, np.zeros(2, np.int64))
                sums += (intersection[way], union[way])
        return float((intersection[present] / union[present]).mean()) if present.any() else None

    def queries(self) -> dict[str, int]:
        """Return the number of counted query images of each class."""
        return {name: len(images) for name, images in self.sums.items()}

    def pixels(self, name: str) -> Int64[np.ndarray, "2"]:
        """Return intersection and union of a class over all query images and runs."""
        return sum((sums for runs in self.sums[name].values() for sums in runs.values()), np.zeros(2, np.int64))

    def iou(self) -> dict[str, float]:
        """Return the IoU of each class, mean over the runs; 0, or NaN under `panet-2019`, for a class never counted."""
        return {name: float(values[0]) for name, values in self._iou(None, 1).items()}

    def resampled(self, resamples: int = 1000, seed: int = 0) -> dict[str, Float[np.ndarray, " resamples"]]:
        """Return the IoU of each class in `resamples` draws of its query images with replacement."""
        return self._iou(np.random.default_rng(seed), resamples)

    def _iou(self, generator: np.random.Generator | None, resamples: int) -> dict[str, np.ndarray]:
        runs = sorted(self.runs)
        no_pixels = np.zeros(2, np.int64)
        uncounted = np.nan if self.protocol == "panet-2019" else 0.0
        found = {}
        for name, images in self.sums.items():
            sums = np.array([[by_run.get(run, no_pixels) for run in runs] for by_run in images.values()])
            n = len(sums)
            if not n:
                found[name] = np.full(resamples, uncounted)
                continue
            weights = np.ones((1, n)) if generator is None else generator.multinomial(n, np.full(n, 1 / n), resamples)
            drawn = np.einsum("rp, psc -> rsc", weights, sums)
            intersection, union = drawn[..., 0], drawn[..., 1]
            iou = np.divide(intersection, union, out=np.full(union.shape, uncounted), where=union > 0)
            found[name] = iou.mean(axis=1)
        return found
