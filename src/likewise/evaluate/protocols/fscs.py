"""The protocol of few-shot classification and segmentation at once."""

import zlib
from collections.abc import Sequence

import numpy as np

from likewise.data.episodes import Episode, EpisodeSet
from likewise.evaluate.protocols.protocol import Protocol, with_supports
from likewise.metrics.few_shot import FSCSIoU


class FSCS2022(Protocol):
    """`fs-cs-2022`: Kang and Cho, Integrative Few-Shot Learning for Classification and Segmentation, CVPR 2022.

    Reproduces: N classes with K supports each, and a query that shows any subset of them, or none (section 3); 400x400;
    the exact ratio, the share of queries whose set of classes is predicted exactly (section 5.1), and mIoU with every
    false positive. A class counts as predicted if it has a pixel.

    Ours: classes take turns; every second query is drawn from the images of the turn's class, the others from the
    images without it, which may show other ways. Each class draws from its own generator.

    Known flaws: the paper does not state how often a query shows none of its classes, so exact ratios of other programs
    compare only roughly.
    """

    name = "fs-cs-2022"
    size = 400
    several_ways = True

    def draw(self, dataset: EpisodeSet, shots: int, ways: int, count: int, seed: int) -> list[Episode]:
        generators = {name: np.random.default_rng([seed, zlib.crc32(name.encode())]) for name in dataset.classes}
        episodes = []
        for index in range(count):
            name = dataset.classes[index // 2 % len(dataset.classes)]
            generator = generators[name]
            others = [other for other in dataset.classes if other != name]
            classes = (name, *(others[j] for j in generator.permutation(len(others))[: ways - 1]))
            images = dataset.images_of[name]
            if index % 2:
                images = tuple(image for image in dataset.classes_of if image not in set(images)) or images
            query = images[generator.integers(len(images))]
            episodes.append(with_supports(dataset, classes, query, shots, seed, generator))
        return episodes

    def metric(self, classes: Sequence[str]) -> FSCSIoU:
        return FSCSIoU(classes)
