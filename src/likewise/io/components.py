"""Connected pieces of label maps and masks, by numpy alone."""

import numpy as np
from jaxtyping import Bool, Int32, Integer


def label_pieces(
    labels: Integer[np.ndarray, "h w"] | Bool[np.ndarray, "h w"], *, diagonal: bool = True
) -> Int32[np.ndarray, "h w"]:
    """Return the number of each pixel's connected piece, from 1 in order of the first pixel; 0 where `labels` is 0.

    A piece is a set of connected pixels with one label.

    Args:
        diagonal: Whether pixels that touch at a corner are connected.
    """
    width = labels.shape[1]
    starts = labels != 0
    starts[:, 1:] &= labels[:, 1:] != labels[:, :-1]
    ends = labels != 0
    ends[:, :-1] &= labels[:, 1:] != labels[:, :-1]
    rows, first = np.nonzero(starts)
    last = np.nonzero(ends)[1]
    values = labels[rows, first]
    # a run in row r touches the runs of row r + 1 from `low` to `high`; rows are apart by more than one position
    reach, stride = int(diagonal), width + 3
    low = np.searchsorted(rows * stride + last, (rows + 1) * stride + first - reach)
    high = np.searchsorted(rows * stride + first, (rows + 1) * stride + last + reach, side="right")
    counts = np.maximum(high - low, 0)
    above = np.repeat(np.arange(len(rows)), counts)
    below = np.repeat(low - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    linked = values[above] == values[below]
    piece = _roots(len(rows), above[linked], below[linked])
    numbers = np.unique(piece, return_inverse=True)[1] + 1
    found = np.zeros(labels.shape, np.int32)
    found[labels != 0] = np.repeat(numbers, last - first + 1)
    return found


def _roots(count: int, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the smallest member of each node's tree in a graph of `count` nodes with these edges."""
    root = np.arange(count)
    while True:
        a, b = root[one], root[other]
        if (a == b).all():
            return root
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while (root != (up := root[root])).any():
            root = up
