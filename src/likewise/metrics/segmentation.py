"""Metrics of the few-shot protocols and of scenes; each states its protocol.

Every metric has `update`, once per episode or image, and `compute`, which gives `Scores`. Predictions and
targets are uint8 label maps of one size: 0 background, way + 1 (or the class's index in scenes); target pixels of
255 are left out everywhere. All numbers are fractions in [0, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64, UInt8

from likewise.data.episodes import Episode
from likewise.errors import DataSetError, check_known
from likewise.io.images import format_size
from likewise.io.labels import IGNORE


@dataclass(frozen=True)
class Scores:
    """Numbers with the protocol that they were counted under; `intervals` are 95% bootstrap intervals."""

    protocol: str
    values: dict[str, float]
    per_class: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        shown = []
        for name, value in self.values.items():
            low, high = self.intervals.get(name, (None, None))
            shown.append(f"{name} {value:.4f}" + (f" [{low:.4f}, {high:.4f}]" if low is not None else ""))
        return f"{self.protocol}: {', '.join(shown)}"


def check_labels(prediction: np.ndarray, target: np.ndarray, labels: int) -> None:
    """Raise `ValueError` unless both are maps of one size with labels below `labels` (and IGNORE in the target)."""
    if prediction.shape != target.shape:
        raise ValueError(
            f"prediction and target must have one size, not {format_size(*prediction.shape)} and "
            f"{format_size(*target.shape)}"
        )
    if prediction.size and int(prediction.max()) >= labels:
        raise ValueError(f"the prediction holds label {prediction.max()}, labels go from 0 to {labels - 1}")
    counted = target[target != IGNORE]
    if counted.size and int(counted.max()) >= labels:
        raise ValueError(
            f"the target holds label {counted.max()}, labels go from 0 to {labels - 1}, {IGNORE} is ignored"
        )


def confusion(
    prediction: UInt8[np.ndarray, "h w"], target: UInt8[np.ndarray, "ht wt"], labels: int
) -> Int64[np.ndarray, "k k"]:
    """Pixel counts, rows the target's label and columns the predicted one; IGNORE pixels of the target are left out."""
    check_labels(prediction, target, labels)
    counted = target != IGNORE
    pairs = target[counted].astype(np.int64) * labels + prediction[counted]
    return np.bincount(pairs, minlength=labels * labels).reshape(labels, labels)


def intersection_and_union(matrix: Int64[np.ndarray, "k k"]) -> tuple[np.ndarray, np.ndarray]:
    """Per label: pixels of both, and pixels of either."""
    intersection = np.diag(matrix)
    return intersection, matrix.sum(0) + matrix.sum(1) - intersection


class FoldIoU:
    """mIoU and FB-IoU of `hsnet-2021`, `pfenet-2020` and `fss-hsnet-2021`; 1-way.

    Intersections and unions are summed per test class over the episodes; mIoU is the mean over *all* test classes
    (one that was never drawn counts 0). FB-IoU sums background and foreground over classes, and averages the two.
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
            raise ValueError(f"{self.protocol} counts 1-way episodes, not {len(episode.classes)}-way ones")
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

    For every label *present in the target* true positives, false positives and false negatives are added to its
    class; a label that the target lacks adds nothing, not even false positives. IoU per class and run (episodes of
    one seed), mean over the classes, then mean and population standard deviation over the runs. Binary IoU: the
    background's sums, and the sums over all classes as foreground. A class that was never seen makes the mean NaN.
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
    """mIoU of `likewise-1` with a 95% bootstrap interval; false positives always count.

    Intersections and unions (hence false positives too, also of a way that the query lacks while another is there)
    are summed per class. An episode whose query shows none of its classes is counted apart: the share of its pixels
    that were nevertheless given a class, averaged over those episodes. The bootstrap draws query *images* with
    replacement within each class, as episodes with one query are not independent, from a seed of its own.
    """

    def __init__(self, classes: Sequence[str], resamples: int = 1000) -> None:
        self.classes = tuple(classes)
        self.resamples = resamples
        self.sums: dict[str, dict[str, np.ndarray]] = {name: {} for name in self.classes}
        self.absent: list[float] = []
        self.episodes = 0

    def update(
        self, prediction: UInt8[np.ndarray, "h w"], target: UInt8[np.ndarray, "ht wt"], episode: Episode
    ) -> None:
        matrix = confusion(prediction, target, len(episode.classes) + 1)
        for name in episode.classes:
            check_known(name, self.classes, "test class", DataSetError)
        self.episodes += 1
        if not matrix[1:].any():
            self.absent.append(float(matrix[0, 1:].sum() / max(matrix.sum(), 1)))
            return
        intersection, union = intersection_and_union(matrix)
        for way, name in enumerate(episode.classes, start=1):
            sums = self.sums[name].setdefault(episode.query, np.zeros(2, np.int64))
            sums += (intersection[way], union[way])

    def compute(self) -> Scores:
        generator = np.random.default_rng(0)
        iou, resampled = {}, {}
        for name, images in self.sums.items():
            sums = np.array(list(images.values())).reshape(-1, 2)
            if not sums[:, 1].any():
                raise ValueError(f"no scored episode shows class {name!r}: likewise-1 needs every class")
            iou[name] = float(sums[:, 0].sum() / sums[:, 1].sum())
            drawn = generator.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), self.resamples) @ sums
            resampled[name] = drawn[:, 0] / np.maximum(drawn[:, 1], 1)
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


def interval(resampled: np.ndarray) -> tuple[float, float]:
    """The middle 95% of resampled values."""
    low, high = np.percentile(resampled, (2.5, 97.5))
    return float(low), float(high)


class SceneIoU:
    """mIoU, IoU per class, pixel and mean class accuracy of scene parsing, from one confusion matrix over all images.

    Protocol "scenes": mIoU is the mean over classes with a non-empty union, so a class that is neither there nor
    predicted is left out (NaN in the table), one predicted where it never is counts 0.
    """

    def __init__(self, classes: Sequence[str], protocol: str = "scenes") -> None:
        self.protocol = protocol
        self.classes = tuple(classes)
        self.matrix = np.zeros((len(self.classes),) * 2, np.int64)
        self.images = 0

    def update(self, prediction: UInt8[np.ndarray, "h w"], target: UInt8[np.ndarray, "ht wt"]) -> None:
        self.matrix += confusion(prediction, target, len(self.classes))
        self.images += 1

    def compute(self) -> Scores:
        intersection, union = intersection_and_union(self.matrix)
        there = self.matrix.sum(1)
        iou = np.divide(intersection, union, out=np.full(len(union), np.nan), where=union > 0)
        accuracy = np.divide(intersection, there, out=np.full(len(union), np.nan), where=there > 0)
        if not there.any():
            raise ValueError("no labelled pixel was scored")
        return Scores(
            self.protocol,
            {
                "mIoU": float(np.nanmean(iou)),
                "pixel accuracy": float(intersection.sum() / there.sum()),
                "mean class accuracy": float(np.nanmean(accuracy)),
            },
            dict(zip(self.classes, iou.tolist(), strict=True)),
            counts={"images": self.images},
        )
