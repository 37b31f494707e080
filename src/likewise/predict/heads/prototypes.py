"""Prototypes in closed form: the default method, and PANet's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from likewise.engine.protocol import FeatureExtractor
from likewise.ops.bilinear import resize_bilinear
from likewise.ops.prototypes import (
    Prototypes,
    SupportStatistics,
    concat_levels,
    cosine,
    log_odds,
    masked_mean,
    merge_shots,
    probabilities,
    resize_mask,
    softmax,
    support_statistics,
)
from likewise.predict.concept import Concept

SIDE = 320
"""Default input size in pixels."""


class PrototypesHead:
    """Whitened self-support prototypes (`likewise.ops.prototypes`) on the features of any backbone.

    A class has its own pair of prototypes; classes compete with their odds against their background.

    Args:
        extractor: computes the features. All its taps are concatenated.
    """

    side = SIDE

    def __init__(self, extractor: FeatureExtractor) -> None:
        self.extractor = extractor
        self.backbone, self.fingerprint = extractor.name, extractor.fingerprint
        self.multiple = self.smallest = extractor.multiple

    def check(self, concept: Concept) -> None:
        channels = self.extractor.channels
        shapes = {"means": (2, channels), "sums": (2, channels), "shares": (2,), "squares": (channels, channels)}
        concept.check_rows({**shapes, "area": ()})

    def learn(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        foreground: Bool[np.ndarray, "hm wm"],
        background: Bool[np.ndarray, "hm wm"],
    ) -> dict[str, np.ndarray]:
        size = (image.shape[0], image.shape[1])
        inside = resize_mask(foreground, size)
        outside = resize_mask(background, size) & ~inside if background.any() else np.zeros_like(inside)
        statistics = support_statistics(features_of(self.extractor, image[None])[0], inside, outside)
        return {name: np.asarray(part, np.float16)[None] for name, part in statistics._asdict().items()}

    def prepare(self, concept: Concept) -> list[Prototypes]:
        """Return the prototypes of each class."""
        ways = (concept.of_class(index) for index in range(len(concept.classes)))
        return [merge_shots(SupportStatistics(*(way[name] for name in SupportStatistics._fields))) for way in ways]

    def segment(
        self, images: UInt8[np.ndarray, "b h w 3"], prepared: list[Prototypes], sizes: Sequence[tuple[int, int]]
    ) -> list[Float32[np.ndarray, "k _ho _wo"]]:
        queries = zip(features_of(self.extractor, images), sizes, strict=True)
        return [probabilities([log_odds(query, way) for way in prepared], size) for query, size in queries]


class PANetHead:
    """PANet as published: shots are averaged into one prototype per class, and a softmax over cosines decides.

    Args:
        extractor: computes the features. All its taps are concatenated.
        scale: factor of the cosine (`likewise.models.panet.PANetConfig`, as the next two).
        pool_at: pool support features at the size of the "mask" or of the "features".
        align_corners: of every resize.
    """

    side = SIDE

    def __init__(
        self, extractor: FeatureExtractor, *, scale: float = 20.0, pool_at: str = "mask", align_corners: bool = False
    ) -> None:
        self.extractor = extractor
        self.scale, self.pool_at, self.align_corners = scale, pool_at, align_corners
        self.backbone, self.fingerprint = extractor.name, extractor.fingerprint
        self.multiple = self.smallest = extractor.multiple

    def check(self, concept: Concept) -> None:
        channels = self.extractor.channels
        concept.check_rows({"foreground": (channels,), "background": (channels,)})

    def learn(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        foreground: Bool[np.ndarray, "hm wm"],
        background: Bool[np.ndarray, "hm wm"],
    ) -> dict[str, np.ndarray]:
        (features,) = features_of(self.extractor, image[None], align_corners=self.align_corners)
        rows = {}
        for name, mask in (("foreground", foreground), ("background", background)):
            weights = mask.astype(np.float32)
            if self.pool_at == "features":
                size = (features.shape[1], features.shape[2])
                weights = resize_bilinear(weights, size, align_corners=self.align_corners)
            rows[name] = masked_mean(features, weights, align_corners=self.align_corners)[None]
        return rows

    def prepare(self, concept: Concept) -> Float32[np.ndarray, "k c"]:
        """Return the background prototype, averaged over classes and shots, then one per class (PANet, section 3.2)."""
        ways = [concept.of_class(index) for index in range(len(concept.classes))]
        background = np.mean([way["background"].astype(np.float32).mean(axis=0) for way in ways], axis=0)
        return np.stack([background, *(way["foreground"].astype(np.float32).mean(axis=0) for way in ways)])

    def segment(
        self,
        images: UInt8[np.ndarray, "b h w 3"],
        prepared: Float32[np.ndarray, "k c"],
        sizes: Sequence[tuple[int, int]],
    ) -> list[Float32[np.ndarray, "k _ho _wo"]]:
        found = []
        queries = features_of(self.extractor, images, align_corners=self.align_corners)
        for query, size in zip(queries, sizes, strict=True):
            logits = self.scale * cosine(prepared, query.reshape(len(query), -1)).reshape(-1, *query.shape[1:])
            found.append(softmax(resize_bilinear(logits, size, align_corners=self.align_corners)))
        return found


def features_of(
    extractor: FeatureExtractor, images: UInt8[np.ndarray, "b h w 3"], *, align_corners: bool = False
) -> list[Float32[np.ndarray, "c hf wf"]]:
    """Return the concatenated features of each image."""
    levels = extractor.features(images)
    return [
        concat_levels([level[index] for level in levels], align_corners=align_corners) for index in range(len(images))
    ]
