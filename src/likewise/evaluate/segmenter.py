"""`FewShot` on the episodes of a data set, where every image comes many times and is computed once.

support image, class --> learn --> concept of one example --+
                                                              +--> merge --> segment --> labels
query image ----------> backbone (once an image) ----------+
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from cachetools import LRUCache, cached
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from likewise.backbones.taps import Backbone
from likewise.data.episodes import Episode, EpisodeSet, load_episode
from likewise.errors import ImageError
from likewise.evaluate.protocols import Likewise1, Protocol
from likewise.io.images import format_size
from likewise.io.labels import IGNORE
from likewise.predict.concept import Concept
from likewise.predict.examples import Example
from likewise.predict.few_shot import FewShot

MEMORY = 1 << 30
"""Bytes of features, and as many of concepts, that are remembered."""


class RememberingBackbone(nn.Module):
    """A frozen backbone that remembers its feature maps by the content of the normalised image."""

    def __init__(self, backbone: Backbone, memory: int) -> None:
        super().__init__()
        self.spec, self.taps, self.normalise = backbone.spec, backbone.taps, backbone.normalise
        self.backbone = backbone
        self.passes = 0
        self.cache: LRUCache[Hashable, list[Tensor]] = LRUCache(
            memory, getsizeof=lambda maps: sum(m.nbytes for m in maps)
        )
        self.features = cached(self.cache, key=content_key)(self._computed)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """The backbone's feature maps, computed one image at a time."""
        found = [self.features(image) for image in images.split(1)]
        return [torch.cat(level) for level in zip(*found, strict=True)]

    def _computed(self, image: Tensor) -> list[Tensor]:
        self.passes += 1
        return self.backbone(image)


def content_key(image: Tensor) -> Hashable:
    """A cache key from the content of a normalised image."""
    pixels = image.movedim(1, -1).contiguous().cpu().view(torch.uint8).numpy()
    return image.shape, hashlib.blake2b(pixels.data, digest_size=16).digest()


@contextmanager
def episode_segmenter(
    few_shot: FewShot, protocol: Protocol, memory: int = MEMORY
) -> Iterator[Callable[[EpisodeSet, Episode], UInt8[np.ndarray, "h w"]]]:
    """A function from an episode to the labels of its query, at the size of the protocol; within the context.

    Under the papers' protocols several shots are joined as the model's paper does (`Head.as_published`: HSNet's vote),
    under ours, likewise-1, as for people (`FewShot.segment`). Masks are the model's own, without `FewShot.edges`.

    Raises (the function) `ImageError` for an image that cannot be read, or that shows nothing of its class.
    """
    backbone, edges = few_shot.network.backbone, few_shot.edges
    concepts: LRUCache[Hashable, Concept] = LRUCache(
        memory, getsizeof=lambda concept: sum(rows.nbytes for rows in concept.rows.values())
    )

    @cached(concepts, key=lambda dataset, image, classes, way: (dataset.name, image, classes, way))
    def learn(dataset: EpisodeSet, image: str, classes: tuple[str, ...], way: int) -> Concept:
        return few_shot.learn(support_example(dataset, image, classes, way, protocol))

    def segment(dataset: EpisodeSet, episode: Episode) -> UInt8[np.ndarray, "h w"]:
        first, *others = [
            learn(dataset, image, episode.classes, way) for way, shots in enumerate(episode.supports) for image in shots
        ]
        return few_shot.segment(query_of(dataset, episode, protocol), first.merged(*others)).labels

    few_shot.network.backbone, few_shot.edges = RememberingBackbone(backbone, memory), False
    try:
        with nullcontext() if isinstance(protocol, Likewise1) else few_shot.head.as_published():
            yield segment
    finally:
        few_shot.network.backbone, few_shot.edges = backbone, edges


def model_settings(few_shot: FewShot) -> dict[str, str | int]:
    """What a run's masks depend on, of the model."""
    return {
        "model": few_shot.model_name,
        "backbone": few_shot.backbone_name,
        "side": few_shot.side,
        "weights": few_shot.fingerprint,
        "precision": few_shot.precision,
    }


def query_of(dataset: EpisodeSet, episode: Episode, protocol: Protocol) -> UInt8[np.ndarray, "h w 3"]:
    """The query's pixels at the size of the protocol."""
    alone = Episode(episode.classes, (), episode.query)
    return load_episode(dataset, alone, protocol.size, protocol.nearest).query


def support_example(dataset: EpisodeSet, image: str, classes: tuple[str, ...], way: int, protocol: Protocol) -> Example:
    """A support of one way: ignored pixels count as background, those of the other ways as neither (PANet, 3.2)."""
    loaded = load_episode(dataset, Episode(classes, (), image), protocol.size, protocol.nearest)
    labels, pixels = loaded.target, loaded.query
    foreground = labels == way + 1
    if not foreground.any():
        raise ImageError(f"{dataset.image_path(image)}: shows nothing of {classes[way]} at {format_size(*labels.shape)}")
    background = (labels == 0) | (labels == IGNORE)
    if (foreground | background).all():
        return Example(pixels, mask=foreground, class_name=classes[way])
    return Example(pixels, scribbles=(foreground + 2 * background).astype(np.uint8), class_name=classes[way])
