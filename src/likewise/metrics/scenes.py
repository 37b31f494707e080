"""IoU and accuracy of scene parsing."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from likewise.errors import PredictionError
from likewise.metrics.confusion import confusion, intersection_and_union
from likewise.metrics.scores import Scores


class SceneIoU:
    """mIoU, IoU per class, pixel accuracy and mean class accuracy, from one confusion matrix over all images.

    Protocol "scenes": mIoU is the mean over classes with a non-empty union. A class that is neither labelled nor
    predicted is left out (NaN per class); one that is predicted but never labelled counts 0.
    """

    protocol = "scenes"

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.matrix = np.zeros((len(self.classes),) * 2, np.int64)
        self.images = 0

    def update(self, prediction: UInt8[np.ndarray, "h w"], target: UInt8[np.ndarray, "ht wt"]) -> None:
        self.matrix += confusion(prediction, target, len(self.classes))
        self.images += 1

    def compute(self) -> Scores:
        labelled = self.matrix.sum(1)
        if not labelled.any():
            raise PredictionError("no labelled pixel was scored")
        intersection, union = intersection_and_union(self.matrix)
        iou = np.divide(intersection, union, out=np.full(len(union), np.nan), where=union > 0)
        accuracy = np.divide(intersection, labelled, out=np.full(len(union), np.nan), where=labelled > 0)
        return Scores(
            self.protocol,
            {
                "mIoU": float(np.nanmean(iou)),
                "pixel accuracy": float(intersection.sum() / labelled.sum()),
                "mean class accuracy": float(np.nanmean(accuracy)),
            },
            dict(zip(self.classes, iou.tolist(), strict=True)),
            counts={"images": self.images},
        )
