"""`FewShot` on the episodes of a data set, with cached features, since an image occurs in many episodes.

support image, class --> learn --> concept of one example --+
                                                              +--> merge --> segment --> labels
query image ----------> backbone (once per image) ---------+
"""

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from cachetools import LRUCache, cached
from jaxtyping import UInt8

from likewise.data.episodes import Episode, EpisodeSet, read_pair
from likewise.errors import ImageError
from likewise.evaluate.protocols import FSCS2022, Likewise1, Protocol
from likewise.io.labels import IGNORE
from likewise.io.opening import format_size
from likewise.predict.concept import Concept
from likewise.predict.examples import Example
from likewise.predict.few_shot import FewShot
from likewise.weights import PRESENCE

MEMORY = 1 << 30
"""Bytes of cached features, and as many of cached concepts."""


def predictor_options(protocol: Protocol, engine: str = "torch") -> dict[str, Any]:
    """Return the options of a `FewShot` for a protocol.

    Under the papers' protocols several shots are merged as in the model's paper, under likewise-1 as for users. Where
    every query shows its class, presence is not judged. Images get one look, masks are not refined to edges, and
    torch caches the features of recent images.
    """
    may_be_absent = isinstance(protocol, Likewise1 | FSCS2022)
    return {
        "quality": "fast",
        "edges": False,
        "as_published": not isinstance(protocol, Likewise1),
        "presence": PRESENCE if may_be_absent else 0.0,
        "engine": engine,
        "feature_cache": MEMORY if engine == "torch" else 0,
    }


def episode_segmenter(
    few_shot: FewShot, protocol: Protocol
) -> Callable[[EpisodeSet, Episode], tuple[UInt8[np.ndarray, "h w"], tuple[float, ...] | None]]:
    """Return a function from an episode to the labels of its query, at the size of the protocol, and the presences.

    It raises `ImageError` for an image that cannot be read or does not show its class. `few_shot` is created with
    `predictor_options(protocol)`.
    """
    concepts: LRUCache[Hashable, Concept] = LRUCache(
        MEMORY, getsizeof=lambda concept: sum(rows.nbytes for rows in concept.rows.values())
    )

    @cached(concepts, key=lambda dataset, image, classes, way: (dataset.name, image, classes, way))
    def learn(dataset: EpisodeSet, image: str, classes: tuple[str, ...], way: int) -> Concept:
        return few_shot.learn(support_example(dataset, image, classes, way, protocol), finer=False)

    def segment(dataset: EpisodeSet, episode: Episode) -> tuple[UInt8[np.ndarray, "h w"], tuple[float, ...] | None]:
        first, *others = [
            learn(dataset, image, episode.classes, way) for way, shots in enumerate(episode.supports) for image in shots
        ]
        query, _ = read_pair(dataset, episode.query, episode.classes, protocol.size, protocol.nearest)
        result = few_shot.segment(query, first.merged(*others))
        return result.labels, result.presences

    return segment


def support_example(dataset: EpisodeSet, image: str, classes: tuple[str, ...], way: int, protocol: Protocol) -> Example:
    """Return a support of one way: ignored pixels are background, pixels of the other ways are ignored (PANet, 3.2).

    If no background is left, pixels of the other ways are background.
    """
    pixels, labels = read_pair(dataset, image, classes, protocol.size, protocol.nearest)
    foreground = labels == way + 1
    if not foreground.any():
        raise ImageError(f"{dataset.image_path(image)}: does not show {classes[way]} at {format_size(*labels.shape)}")
    background = (labels == 0) | (labels == IGNORE)
    unknown = ~(foreground | background)
    ignore = unknown if unknown.any() and background.any() else None
    return Example(pixels, mask=foreground, ignore=ignore, class_name=classes[way])
