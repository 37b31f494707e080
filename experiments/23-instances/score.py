"""Scores of objects: count error and AP50."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Integer


class Matched(NamedTuple):
    """Objects of one image: their true number, and for each found one its score and whether it matches a true one."""

    truths: int
    scores: np.ndarray
    hits: np.ndarray


def match(found: Integer[np.ndarray, "h w"], scores: np.ndarray, truth: Integer[np.ndarray, "h w"]) -> Matched:
    """Match found objects (ids from 1) to true ones of IoU at least 0.5; -1 in the truth does not count.

    Found objects that lie there for the most part are left out.
    """
    counts = np.zeros((len(scores) + 1, int(truth.max()) + 2), np.int64)
    np.add.at(counts, (found.ravel(), truth.ravel() + 1), 1)
    areas = counts.sum(axis=1)
    counted = np.flatnonzero(counts[:, 0] <= 0.5 * areas)
    counted = counted[(counted > 0) & (areas[counted] > 0)]
    unions = counts[:, 1:].sum(axis=1)[:, None] + counts[:, 2:].sum(axis=0) - counts[:, 2:]
    ious = counts[:, 2:] / np.maximum(unions, 1)
    order = counted[np.argsort(-scores[counted - 1], kind="stable")]
    taken: set[int] = set()
    hits = []
    for one in order:
        free = [each for each in range(ious.shape[1]) if each not in taken and ious[one, each] >= 0.5]
        best = max(free, key=lambda each: ious[one, each], default=None)
        hits.append(best is not None)
        if best is not None:
            taken.add(best)
    return Matched(int(truth.max()), scores[order - 1], np.array(hits, bool))


def average_precision(images: list[Matched]) -> float:
    """Return AP50 over all images: the area under the interpolated precision at each recall."""
    scores, hits = np.concatenate([one.scores for one in images]), np.concatenate([one.hits for one in images])
    hits = hits[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(precision[hits].sum() / sum(one.truths for one in images))


def exact(images: list[Matched]) -> float:
    """Return the share of images with the true number of objects."""
    return float(np.mean([one.truths == len(one.hits) for one in images]))
