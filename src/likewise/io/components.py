"""Connected pieces of label maps and masks, by numpy alone."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Int32, Integer


class Runs(NamedTuple):
    """Runs of equal values along the rows of a label map, in the order of their pixels.

    Attributes:
        row: The row of each.
        start: Its first column.
        end: The column after its last.
        value: Its value, not 0.
    """

    row: Int[np.ndarray, " n"]
    start: Int[np.ndarray, " n"]
    end: Int[np.ndarray, " n"]
    value: Integer[np.ndarray, " n"] | Bool[np.ndarray, " n"]


def find_runs(labels: Integer[np.ndarray, "h w"] | Bool[np.ndarray, "h w"]) -> Runs:
    """Return the runs of all values but 0."""
    width = labels.shape[1]
    flat = np.ascontiguousarray(labels).ravel()
    begins = np.empty(flat.size, bool)
    np.not_equal(flat[1:], flat[:-1], out=begins[1:])
    begins[:: max(width, 1)] = True
    start = np.flatnonzero(begins)
    end, value = np.append(start[1:], flat.size), flat[start]
    start, end, value = (each[value != 0] for each in (start, end, value))
    row = start // width
    return Runs(row, start - row * width, end - row * width, value)


def join_runs(runs: Runs, width: int, *, diagonal: bool = True) -> Int[np.ndarray, " n"]:
    """Return the number of each run's connected piece, from 1 in the order of their first runs.

    Args:
        width: Of the label map.
        diagonal: See `label_pieces`.
    """
    rows, first, last, values = runs.row, runs.start, runs.end - 1, runs.value
    # a run in row r touches the runs of row r + 1 from `low` to `high`; rows are apart by more than one position
    reach, stride = int(diagonal), width + 3
    low = np.searchsorted(rows * stride + last, (rows + 1) * stride + first - reach)
    high = np.searchsorted(rows * stride + first, (rows + 1) * stride + last + reach, side="right")
    counts = np.maximum(high - low, 0)
    above = np.repeat(np.arange(len(rows)), counts)
    below = np.repeat(low - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    linked = values[above] == values[below]
    piece = _roots(len(rows), above[linked], below[linked])
    return np.unique(piece, return_inverse=True)[1] + 1


def label_pieces(
    labels: Integer[np.ndarray, "h w"] | Bool[np.ndarray, "h w"], *, diagonal: bool = True
) -> Int32[np.ndarray, "h w"]:
    """Return the number of each pixel's connected piece, from 1 in order of the first pixel; 0 where `labels` is 0.

    A piece is a set of connected pixels with one label.

    Args:
        diagonal: Whether pixels that touch at a corner are connected.
    """
    runs = find_runs(labels)
    found = np.zeros(labels.shape, np.int32)
    found[labels != 0] = np.repeat(join_runs(runs, labels.shape[1], diagonal=diagonal), runs.end - runs.start)
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
