"""IoU of the few-shot protocols. Each metric has `update`, once per episode, and `compute`, which returns `Scores`.

Predictions and targets are uint8 label maps: 0 background, way + 1; target pixels of 255 are ignored.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from likewise.data.episodes import Episode
from likewise.errors import ArgumentError, DataSetError, PredictionError, check_known
from likewise.metrics.bootstrap import EpisodeCounts
from likewise.metrics.confusion import confusion, intersection_and_union
from likewise.metrics.scores import Scores, interval


class FoldIoU:
    """mIoU and FB-IoU of the 1-way protocols `hsnet-2021`, `pfenet-2020` and `fss-hsnet-2021`.

    Intersections and unions are summed per test class over the episodes; mIoU is the mean over *all* test classes, and
    a class that was never drawn counts 0. FB-IoU is the mean of two IoUs summed over all classes: background and
    foreground.
    """

    def __init__(self, protocol: str, classes: Sequence[str]) -> None:
        self.protocol = protocol
        self.classes = tuple(classes)
        self.intersection = np.zeros((2, len(self.classes)), np.int64)
        self.union = np.zeros((2, len(self.classes)), np.int64)
        self.episodes = 0

    def update(
        self, prediction: UInt8[np.ndarray, "h w"], target: UInt8[np.ndarray, "ht wt"], episode: Episode
    ) -> None:
        if len(episode.classes) != 1:
            raise ArgumentError(f"{self.protocol} counts 1-way episodes, not {len(episode.classes)}-way episodes")
        name = episode.classes[0]
        check_known(name, self.classes, "test class", DataSetError)
        intersection, union = intersection_and_union(confusion(prediction, target, 2))
        self.intersection[:, self.classes.index(name)] += intersection
        self.union[:, self.classes.index(name)] += union
        self.episodes += 1

    def compute(self) -> Scores:
        iou = self.intersection / np.maximum(self.union, 1)
        both = self.intersection.sum(1) / np.maximum(self.union.sum(1), 1)
        return Scores(
            self.protocol,
            {"mIoU": float(iou[1].mean()), "FB-IoU": float(both.mean())},
            dict(zip(self.classes, iou[1].tolist(), strict=True)),
            counts={"episodes": self.episodes},
        )


class PanetIoU:
    """mIoU and binary IoU of `panet-2019`.

    Only labels *present in the target* add their true positives, false positives and false negatives; a label that the
    target lacks adds nothing, not even false positives. IoU per class and run (the episodes of one seed), mean over the
    classes, then mean and population standard deviation over the runs. Binary IoU: the sums of the background, and the
    sums over all classes as foreground. A class that was never drawn makes the mean NaN.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        # per run: rows background and classes, columns intersection and union
        self.runs: dict[int, np.ndarray] = {}
        self.episodes = 0

    def update(
        self, prediction: UInt8[np.ndarray, "h w"], target: UInt8[np.ndarray, "ht wt"], episode: Episode
    ) -> None:
        matrix = confusion(prediction, target, len(episode.classes) + 1)
        sums = self.runs.setdefault(episode.seed, np.zeros((len(self.classes) + 1, 2), np.int64))
        rows = [0]
        for name in episode.classes:
            check_known(name, self.classes, "test class", DataSetError)
            rows.append(self.classes.index(name) + 1)
        for row, present, i, u in zip(rows, matrix.sum(1) > 0, *intersection_and_union(matrix), strict=True):
            if present:
                sums[row] += (i, u)
        self.episodes += 1

    def compute(self) -> Scores:
        sums = np.stack([self.runs[seed] for seed in sorted(self.runs)])
        both = np.stack([sums[:, 0], sums[:, 1:].sum(1)], axis=1)
        with np.errstate(invalid="ignore"):
            iou = sums[:, 1:, 0] / sums[:, 1:, 1]
            binary = both[..., 0] / both[..., 1]
        return Scores(
            "panet-2019",
            {
                "mIoU": float(iou.mean(1).mean()),
                "mIoU std over runs": float(iou.mean(1).std()),
                "binary IoU": float(binary.mean(1).mean()),
                "binary IoU std over runs": float(binary.mean(1).std()),
            },
            dict(zip(self.classes, iou.mean(0).tolist(), strict=True)),
            counts={"episodes": self.episodes, "runs": len(self.runs)},
        )


class LikewiseIoU:
    """mIoU of `likewise-1` with a 95% bootstrap interval over query images; false positives always count.

    Intersections and unions are summed per class, and so are the false positives of a way that the query lacks while it
    shows another one. Episodes whose query shows none of their classes are reported apart: the mean share of their
    pixels that the prediction assigns to a class.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.counts = EpisodeCounts("likewise-1", classes)
        self.absent: list[float] = []
        self.episodes = 0

    def update(
        self, prediction: UInt8[np.ndarray, "h w"], target: UInt8[np.ndarray, "ht wt"], episode: Episode
    ) -> None:
        matrix = confusion(prediction, target, len(episode.classes) + 1)
        self.counts.add(matrix, episode)
        self.episodes += 1
        if not matrix[1:].any():
            self.absent.append(float(matrix[0, 1:].sum() / max(matrix.sum(), 1)))

    def compute(self) -> Scores:
        iou = self.counts.iou()
        unseen = [name for name in iou if not self.counts.pixels(name)[1]]
        if unseen:
            raise PredictionError(f"likewise-1 needs every class; no scored episode shows {', '.join(unseen)}")
        resampled = self.counts.resampled()
        mean = np.mean(list(resampled.values()), axis=0)
        values = {"mIoU": float(np.mean(list(iou.values())))}
        if self.absent:
            values["false-positive area where absent"] = float(np.mean(self.absent))
        return Scores(
            "likewise-1",
            values,
            iou,
            {name: interval(drawn) for name, drawn in {"mIoU": mean, **resampled}.items()},
            {"episodes": self.episodes, "episodes where the class is absent": len(self.absent)},
        )
