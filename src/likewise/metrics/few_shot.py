"""IoU of the few-shot protocols. Each metric has `update`, once per episode, and `compute`, which returns `Scores`.

Predictions and targets are uint8 label maps: 0 background, way + 1; target pixels of 255 are ignored.

Intervals are bootstrapped over query images (Efron and Tibshirani, An Introduction to the Bootstrap, 1993). Episodes
that share a query are not independent: resampling a thousand episodes of a hundred images underestimates the spread.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8

from likewise.data.episodes import Episode
from likewise.errors import ArgumentError, DataSetError, PredictionError, check_known
from likewise.metrics.confusion import confusion, intersection_and_union
from likewise.metrics.presence import presence_scores
from likewise.metrics.scores import Scores, interval

MARKED = (0.005, 0.02, 0.1)
"""Shares of an image without its classes from which the image counts as marked."""


class EpisodeIoU(ABC):
    """Intersections and unions per class, query image and run; by default every label counts, all in one run.

    Attributes:
        uncounted: IoU of a class that was never counted.
        background: intersection and union of the background in each run.
    """

    uncounted = 0.0

    def __init__(self, protocol: str, classes: Sequence[str]) -> None:
        self.protocol, self.classes = protocol, tuple(classes)
        # class -> query image -> run -> intersection and union
        self.sums: dict[str, dict[str, defaultdict[int, np.ndarray]]] = {name: {} for name in classes}
        self.background = sums_by_run()
        self.episodes = 0

    def update(
        self,
        prediction: UInt8[np.ndarray, "h w"],
        target: UInt8[np.ndarray, "ht wt"],
        episode: Episode,
        presences: Sequence[float] | None = None,
    ) -> float | None:
        """Count an episode and return its IoU, the mean over the ways that its target shows; None without any.

        Args:
            presences: of each way, if the method judges them; `likewise-1` scores them.
        """
        for name in episode.classes:
            check_known(name, self.classes, "test class", DataSetError)
        return self.count(confusion(prediction, target, len(episode.classes) + 1), episode)

    def count(self, matrix: Int64[np.ndarray, "k k"], episode: Episode) -> float | None:
        """Count an episode by its confusion matrix; returns as `update`."""
        shown, run = matrix.sum(axis=1) > 0, self.run_of(episode)
        counted, sums = self.counted(shown, matrix.sum(axis=0) > 0), np.stack(intersection_and_union(matrix), axis=1)
        self.background[run] += sums[0] * counted[0]
        for name, way, own in zip(episode.classes, counted[1:], sums[1:], strict=True):
            if way:
                self.sums[name].setdefault(episode.query, sums_by_run())[run] += own
        self.episodes += 1
        of_shown = sums[1:][shown[1:]]
        return float((of_shown[:, 0] / of_shown[:, 1]).mean()) if len(of_shown) else None

    def counted(self, shown: Bool[np.ndarray, " k"], found: Bool[np.ndarray, " k"]) -> Bool[np.ndarray, " k"]:
        """Return which labels count, given those that the target shows and those found; the background is first."""
        return np.ones_like(shown)

    def run_of(self, episode: Episode) -> int:
        return 0

    @abstractmethod
    def compute(self) -> Scores: ...

    @property
    def runs(self) -> list[int]:
        return sorted(self.background) or [0]

    def queries(self) -> dict[str, int]:
        """Return the number of counted query images of each class."""
        return {name: len(images) for name, images in self.sums.items()}

    def by_image(self, name: str) -> Int64[np.ndarray, "images runs 2"]:
        """Return intersection and union of a class in each query image and run."""
        sums = [[by_run[run] for run in self.runs] for by_run in self.sums[name].values()]
        return np.array(sums, np.int64).reshape(-1, len(self.runs), 2)

    def totals(self) -> Int64[np.ndarray, "runs k 2"]:
        """Return intersection and union of each class in each run."""
        return np.stack([self.by_image(name).sum(axis=0) for name in self.classes], axis=1)

    def divide(self, sums: np.ndarray) -> np.ndarray:
        intersection, union = sums[..., 0], sums[..., 1]
        return np.divide(intersection, union, out=np.full(union.shape, self.uncounted), where=union > 0)

    def per_class(self) -> dict[str, float]:
        """Return the IoU of each class, mean over the runs."""
        return dict(zip(self.classes, self.divide(self.totals()).mean(axis=0).tolist(), strict=True))

    def resampled(self, resamples: int = 1000, seed: int = 0) -> dict[str, Float[np.ndarray, " resamples"]]:
        """Return the IoU of each class in `resamples` draws of its query images with replacement."""
        generator, found = np.random.default_rng(seed), {}
        for name, images in self.queries().items():
            share = np.full(images, 1 / max(images, 1))
            weights = generator.multinomial(images, share, resamples) if images else np.zeros((resamples, 0))
            found[name] = self.divide(np.einsum("rp, psc -> rsc", weights, self.by_image(name))).mean(axis=1)
        return found


def sums_by_run() -> defaultdict[int, np.ndarray]:
    return defaultdict(lambda: np.zeros(2, np.int64))


class FoldIoU(EpisodeIoU):
    """mIoU and FB-IoU of the 1-way protocols `hsnet-2021`, `pfenet-2020` and `fss-hsnet-2021`.

    Intersections and unions are summed per test class over the episodes; mIoU is the mean over *all* test classes, and
    a class that was never drawn counts 0. FB-IoU is the mean of two IoUs summed over all classes: background and
    foreground.
    """

    def count(self, matrix: Int64[np.ndarray, "k k"], episode: Episode) -> float | None:
        if len(episode.classes) != 1:
            raise ArgumentError(f"{self.protocol} counts 1-way episodes, not {len(episode.classes)}-way episodes")
        return super().count(matrix, episode)

    def compute(self) -> Scores:
        iou = self.per_class()
        both = self.divide(np.stack([self.background[0], self.totals().sum(axis=(0, 1))]))
        values = {"mIoU": float(np.mean(list(iou.values()))), "FB-IoU": float(both.mean())}
        return Scores(self.protocol, values, iou, counts={"episodes": self.episodes})


class PanetIoU(EpisodeIoU):
    """mIoU and binary IoU of `panet-2019`.

    Only labels *present in the target* add their true positives, false positives and false negatives; a label that the
    target lacks adds nothing, not even false positives. IoU per class and run (the episodes of one seed), mean over the
    classes, then mean and population standard deviation over the runs. Binary IoU: the sums of the background, and the
    sums over all classes as foreground. A class that was never drawn makes the mean NaN.
    """

    uncounted = np.nan

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__("panet-2019", classes)

    def counted(self, shown: Bool[np.ndarray, " k"], found: Bool[np.ndarray, " k"]) -> Bool[np.ndarray, " k"]:
        return shown

    def run_of(self, episode: Episode) -> int:
        return episode.seed

    def compute(self) -> Scores:
        totals = self.totals()
        background = np.stack([self.background[run] for run in self.runs])
        iou = self.divide(totals).mean(axis=1)
        binary = self.divide(np.stack([background, totals.sum(axis=1)], axis=1)).mean(axis=1)
        values = {"mIoU": float(iou.mean()), "mIoU std over runs": float(iou.std())}
        values |= {"binary IoU": float(binary.mean()), "binary IoU std over runs": float(binary.std())}
        return Scores(
            self.protocol, values, self.per_class(), counts={"episodes": self.episodes, "runs": len(self.background)}
        )


class LikewiseIoU(EpisodeIoU):
    """mIoU of `likewise-1` with a 95% bootstrap interval over query images; false positives always count.

    Intersections and unions are summed per class, and so are the false positives of a way that the query lacks while it
    shows another one. Episodes whose query shows none of their classes are reported apart: the mean share of their
    pixels that the prediction assigns to a class, and the share of episodes with more than each of `MARKED`. Of
    methods that judge presence also its AUROC and calibration error, over all ways of all episodes.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__("likewise-1", classes)
        self.absent: list[float] = []
        self.presences: dict[bool, list[float]] = {True: [], False: []}

    def update(
        self,
        prediction: UInt8[np.ndarray, "h w"],
        target: UInt8[np.ndarray, "ht wt"],
        episode: Episode,
        presences: Sequence[float] | None = None,
    ) -> float | None:
        for way, presence in enumerate(presences or (), start=1):
            self.presences[bool((target == way).any())].append(presence)
        return super().update(prediction, target, episode, presences)

    def counted(self, shown: Bool[np.ndarray, " k"], found: Bool[np.ndarray, " k"]) -> Bool[np.ndarray, " k"]:
        return np.full_like(shown, shown[1:].any())

    def count(self, matrix: Int64[np.ndarray, "k k"], episode: Episode) -> float | None:
        if not matrix[1:].any():
            self.absent.append(float(matrix[0, 1:].sum() / max(matrix.sum(), 1)))
        return super().count(matrix, episode)

    def compute(self) -> Scores:
        unions = self.totals()[..., 1].sum(axis=0)
        unseen = [name for name, union in zip(self.classes, unions, strict=True) if not union]
        if unseen:
            raise PredictionError(f"likewise-1 needs every class; no scored episode shows {', '.join(unseen)}")
        iou, resampled = self.per_class(), self.resampled()
        intervals = {"mIoU": interval(np.mean(list(resampled.values()), axis=0))}
        values = {"mIoU": float(np.mean(list(iou.values())))}
        if self.absent:
            values["false-positive area where absent"] = float(np.mean(self.absent))
            for part in MARKED:
                values[f"absent with more than {part:.1%} marked"] = float((np.array(self.absent) > part).mean())
        judged, judged_intervals = presence_scores(self.presences[True], self.presences[False])
        return Scores(
            self.protocol,
            values | judged,
            iou,
            intervals | judged_intervals | {name: interval(drawn) for name, drawn in resampled.items()},
            {"episodes": self.episodes, "episodes where the class is absent": len(self.absent)},
        )


class FSCSIoU(EpisodeIoU):
    """mIoU and exact ratio of `fs-cs-2022`; every false positive counts.

    The exact ratio is the share of episodes whose predicted classes, those with a pixel, are the classes of the target.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__("fs-cs-2022", classes)
        self.exact = 0

    def counted(self, shown: Bool[np.ndarray, " k"], found: Bool[np.ndarray, " k"]) -> Bool[np.ndarray, " k"]:
        return shown | found

    def count(self, matrix: Int64[np.ndarray, "k k"], episode: Episode) -> float | None:
        self.exact += bool(((matrix.sum(axis=0) > 0) == (matrix.sum(axis=1) > 0))[1:].all())
        return super().count(matrix, episode)

    def compute(self) -> Scores:
        iou = self.per_class()
        values = {"mIoU": float(np.mean(list(iou.values()))), "exact ratio": self.exact / max(self.episodes, 1)}
        return Scores(self.protocol, values, iou, counts={"episodes": self.episodes})
