"""Bootstrap intervals of a mean IoU: how far the number hangs on which query images there were.

Efron and Tibshirani, An Introduction to the Bootstrap, 1993, with the query image as the unit that is drawn: episodes
that share a query are not independent, and a thousand episodes of a hundred images look far too precise.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from likewise.data.episodes import Episode
from likewise.errors import DataSetError, check_known
from likewise.metrics.segmentation import confusion, intersection_and_union


class EpisodeCounts:
    """Intersections and unions per class, query image and run, as the protocol counts them.

    Every episode counts, all in one run, except: under `panet-2019` each seed is a run, and a way counts only where the
    target shows it; under `likewise-1` an episode counts only if its target shows any of its ways.
    """

    def __init__(self, protocol: str, classes: Sequence[str]) -> None:
        self.protocol = protocol
        # class -> query image -> run -> intersection and union
        self.sums: dict[str, dict[str, dict[int, np.ndarray]]] = {name: {} for name in classes}
        self.runs: set[int] = set()

    def update(
        self, prediction: UInt8[np.ndarray, "h w"], target: UInt8[np.ndarray, "ht wt"], episode: Episode
    ) -> float | None:
        """Count an episode; gives its own IoU, the mean over the ways that its target shows, None without any."""
        matrix = confusion(prediction, target, len(episode.classes) + 1)
        shown = matrix[1:].sum(axis=1) > 0
        everywhere = np.ones(len(shown), bool)
        counted = {"panet-2019": shown, "likewise-1": everywhere & shown.any()}.get(self.protocol, everywhere)
        intersection, union = (sums[1:] for sums in intersection_and_union(matrix))
        run = episode.seed if self.protocol == "panet-2019" else 0
        self.runs.add(run)
        for way, name in enumerate(episode.classes):
            check_known(name, self.sums, "test class", DataSetError)
            if counted[way]:
                runs = self.sums[name].setdefault(episode.query, {})
                sums = runs.setdefault(run, np.zeros(2, np.int64))
                sums += (intersection[way], union[way])
        return float((intersection[shown] / union[shown]).mean()) if shown.any() else None

    def queries(self) -> dict[str, int]:
        """How many query images of each class were counted."""
        return {name: len(images) for name, images in self.sums.items()}

    def iou(self) -> dict[str, float]:
        """IoU of each class, mean over the runs; for one that was never counted 0, or NaN under `panet-2019`."""
        return {name: float(values[0]) for name, values in self._iou(None, 1).items()}

    def resampled(self, resamples: int = 1000, seed: int = 0) -> dict[str, Float[np.ndarray, " resamples"]]:
        """IoU of each class when its query images are drawn with replacement, as many as there are."""
        return self._iou(np.random.default_rng(seed), resamples)

    def _iou(self, generator: np.random.Generator | None, resamples: int) -> dict[str, np.ndarray]:
        runs = sorted(self.runs)
        nothing = np.zeros(2, np.int64)
        never = np.nan if self.protocol == "panet-2019" else 0.0
        found = {}
        for name, images in self.sums.items():
            sums = np.array([[one.get(run, nothing) for run in runs] for one in images.values()])
            n = len(sums)
            if not n:
                found[name] = np.full(resamples, never)
                continue
            weights = np.ones((1, n)) if generator is None else generator.multinomial(n, np.full(n, 1 / n), resamples)
            drawn = np.einsum("rp, psc -> rsc", weights, sums)
            intersection, union = drawn[..., 0], drawn[..., 1]
            iou = np.divide(intersection, union, out=np.full(union.shape, never), where=union > 0)
            found[name] = iou.mean(axis=1)
        return found
