"""Pixel counts of a predicted label map against its target.

Both maps are uint8 and of the same size: 0 is background (or the first scene class); target pixels of 255 are ignored.
"""

import numpy as np
from jaxtyping import Int64, UInt8

from likewise.errors import PredictionError
from likewise.io.labels import IGNORE
from likewise.io.opening import format_size


def check_same_size(prediction: np.ndarray, target: np.ndarray) -> None:
    """Raise `PredictionError` unless both maps have the same size."""
    if prediction.shape != target.shape:
        raise PredictionError(
            f"prediction and target must have the same size, not {format_size(*prediction.shape)} and "
            f"{format_size(*target.shape)}"
        )


def confusion(
    prediction: UInt8[np.ndarray, "h w"], target: UInt8[np.ndarray, "ht wt"], labels: int
) -> Int64[np.ndarray, "k k"]:
    """Return pixel counts, rows by the label in the target and columns by the predicted label."""
    check_same_size(prediction, target)
    counted = target != IGNORE
    for name, values in ("prediction", prediction), ("target", target[counted]):
        if values.size and int(values.max()) >= labels:
            raise PredictionError(f"the {name} holds label {values.max()}; labels are 0 to {labels - 1}")
    pairs = target[counted].astype(np.int64) * labels + prediction[counted]
    return np.bincount(pairs, minlength=labels * labels).reshape(labels, labels)


def intersection_and_union(matrix: Int64[np.ndarray, "k k"]) -> tuple[np.ndarray, np.ndarray]:
    """Return for each label the pixels in both maps and the pixels in either map."""
    intersection = np.diag(matrix)
    return intersection, matrix.sum(0) + matrix.sum(1) - intersection
