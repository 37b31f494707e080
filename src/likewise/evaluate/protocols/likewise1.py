"""The protocol of this project."""

import zlib
from collections.abc import Sequence

import numpy as np

from likewise.data.episodes import Episode, EpisodeSet
from likewise.evaluate.protocols.protocol import Protocol, with_supports
from likewise.metrics.few_shot import LikewiseIoU

PRESENT_PER_ABSENT = 5
"""Number of episodes of a class that are followed by one whose query shows none of its classes."""


class Likewise1(Protocol):
    """`likewise-1`: equal classes, absent classes and false positives count, and every number has an interval.

    Episodes: every class has the same number (`count`, 1000, over the number of classes, rounded down). The queries of
    a class are its images in random order, all of them before one repeats. Supports are distinct and differ from the
    query; the other ways are drawn from the other classes. Every fifth episode of a class is followed by one whose
    query has no entry of any of its classes; these are reported apart and measure whether a method reports absence
    (the pixels of the target decide absence). Each class draws from its own generator, seeded with `seed` (0) and the
    name of the class, and the classes take turns, so a shorter list is the beginning of a longer one.

    Scores: images at their own size, ignored pixels left out, false positives always counted, mIoU with a 95% bootstrap
    interval over query images.

    Known flaws: the interval covers the choice of query images, not that of the training; large images weigh more
    within a class.
    """

    name = "likewise-1"
    several_ways = True

    def draw(self, dataset: EpisodeSet, shots: int, ways: int, count: int, seed: int) -> list[Episode]:
        per_class = max(1, count // len(dataset.classes))
        turns = [self._class_turns(dataset, name, shots, ways, per_class, seed) for name in dataset.classes]
        return [episode for turn in zip(*turns, strict=True) for episodes in turn for episode in episodes]

    def _class_turns(
        self, dataset: EpisodeSet, name: str, shots: int, ways: int, count: int, seed: int
    ) -> list[list[Episode]]:
        """Return the turns of one class: one episode each, and an absent one after every fifth."""
        generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
        others = [other for other in dataset.classes if other != name]
        images = dataset.images_of[name]
        turns: list[list[Episode]] = []
        queries: list[str] = []
        for i in range(count):
            if not queries:
                queries = [images[j] for j in generator.permutation(len(images))]
            classes = (name, *(others[j] for j in generator.permutation(len(others))[: ways - 1]))
            turn = [with_supports(dataset, classes, queries.pop(), shots, seed, generator)]
            absent = [image for image, names in dataset.classes_of.items() if not set(names) & set(classes)]
            if (i + 1) % PRESENT_PER_ABSENT == 0 and absent:
                query = absent[generator.integers(len(absent))]
                turn.append(with_supports(dataset, classes, query, shots, seed, generator))
            turns.append(turn)
        return turns

    def metric(self, classes: Sequence[str]) -> LikewiseIoU:
        return LikewiseIoU(classes)
