"""Prototypes in closed form: the default method, and PANet's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from likewise.engine.protocol import FeatureExtractor, Features
from likewise.ops.bilinear import resize_bilinear
from likewise.ops.discriminant import LearnedClass, class_odds, learn_class, scene_misfit
from likewise.ops.presence import World
from likewise.ops.prototypes import (
    SupportStatistics,
    concat_levels,
    cosine,
    join_classes,
    masked_mean,
    merge_statistics,
    probabilities,
    resize_mask,
    softmax,
    support_statistics,
)
from likewise.predict.concept import Concept
from likewise.predict.heads.protocol import Found, Mask
from likewise.predict.inputs import Pixels
from likewise.predict.presence import Judge, folded_semantic_rows, mean_row, needed_rows, semantic_rows
from likewise.predict.second_look import MOST_MISFIT, PREFIX, look_again

SIDE = 320
"""Default input size in pixels."""


class Prepared(NamedTuple):
    """What images are compared with.

    Attributes:
        own: prototypes.
        finer: those of the second look; None if the concept has none.
        judge: of presence, if there is a world.
    """

    own: Any
    finer: Any
    judge: Judge | None


class Encoded(NamedTuple):
    """The features of one image: all taps, at the size of the first, and the semantic map."""

    features: Float32[np.ndarray, "c hf wf"]
    semantic: Float32[np.ndarray, "d hs ws"]


class PrototypesHead:
    """Whitened self-support prototypes (`likewise.ops.prototypes`) and a linear discriminant of the examples' pixels
    (`likewise.ops.discriminant`) on the features of any backbone.

    A class has its own pair of prototypes; classes compete with their odds against their background.

    Args:
        extractor: computes the features. All its taps are concatenated.
        world: of its semantic map; without one, presence is not judged.
    """

    side = SIDE
    align_corners = False
    finer_rows: tuple[str, ...] = SupportStatistics._fields

    def __init__(self, extractor: FeatureExtractor, world: World | None = None) -> None:
        self.extractor, self.world = extractor, world
        self.backbone, self.fingerprint = extractor.name, extractor.fingerprint
        self.multiple = self.smallest = extractor.multiple

    def check(self, concept: Concept) -> None:
        c = self.extractor.channels
        own = {"means": (2, c), "sums": (2, c), "shares": (2,), "squares": (c, c), "weights": (2,), "area_odds": ()}
        concept.check_rows(own | finer_shapes(concept, own) | needed_rows(self.extractor.semantic_channels))

    def learn(
        self, image: UInt8[np.ndarray, "h w 3"], foreground: Mask, background: Mask, *, absent: bool = False
    ) -> dict[str, np.ndarray]:
        size = (image.shape[0], image.shape[1])
        inside = resize_mask(foreground, size)
        outside = resize_mask(background, size) & ~inside if background.any() else np.zeros_like(inside)
        ((features, semantic),) = features_of(self.extractor.features(image[None]))
        own, other = (np.zeros_like(inside), inside) if absent else (inside, outside)
        statistics = support_statistics(features, own, other)
        rows = {name: np.asarray(part, np.float16)[None] for name, part in statistics._asdict().items()}
        return rows | semantic_rows(semantic, inside, absent=absent)

    def prepare(self, concept: Concept) -> Prepared:
        """Return what is known of each class, and the judge."""
        judge = None if self.world is None else Judge(concept, self.world)
        return Prepared(*both_looks(concept, self.finer_rows, self.merge), judge)

    def merge(self, ways: Sequence[dict[str, np.ndarray]]) -> list[LearnedClass]:
        """Return what is known of each class from its rows."""
        return [learn_class(statistics_in(way), way["count"]) for way in ways]

    def fold(self, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return one row that stands for several examples."""
        folded: dict[str, np.ndarray] = {}
        for prefix in [prefix for prefix in ("", PREFIX) if f"{prefix}means" in rows]:
            merged = merge_statistics(statistics_in(rows, prefix), rows["count"])
            folded |= {prefix + name: np.asarray(part, np.float16)[None] for name, part in merged._asdict().items()}
        return folded | folded_semantic_rows(rows)

    def segment(
        self,
        images: UInt8[np.ndarray, "b h w 3"],
        prepared: Prepared,
        sizes: Sequence[tuple[int, int]],
        threshold: float = 0.0,
        finer: Sequence[Pixels] | None = None,
    ) -> list[Found]:
        encoded = features_of(self.extractor.features(images))
        return [
            self.answer(one, prepared, sizes[index], threshold, finer[index] if finer else None)
            for index, one in enumerate(encoded)
        ]

    def answer(
        self,
        encoded: Encoded,
        prepared: Prepared,
        size: tuple[int, int] | None = None,
        threshold: float = 0.0,
        finer: Pixels | None = None,
    ) -> Found:
        """Return what is found in an image, at `size` or else at that of the features.

        Args:
            finer: the image at the size of the second look; None: by the features alone.
        """
        odds = self.read(encoded.features, prepared.own)
        judged = prepared.judge(encoded.semantic, list(odds)) if prepared.judge else None
        present = [judged is None or judged[way].presence >= threshold for way in range(len(odds))]
        if finer is not None and self.knows(
            encoded.features, [way for way, own in zip(prepared.own, present, strict=True) if own]
        ):
            odds = look_again(
                odds,
                odds[present].max(axis=0),
                finer,
                lambda part: self.read(taps_of(self.extractor, part), prepared.finer),
                multiple=self.multiple,
            )
        planes = join_classes(list(odds), [one.logit for one in judged], present) if judged else list(odds)
        return Found(probabilities(planes, size or encoded.features.shape[1:]), judged)

    def knows(self, features: Float32[np.ndarray, "c h w"], ways: Sequence[LearnedClass]) -> bool:
        """Return whether the image shows the scene of the examples of a class."""
        return any(scene_misfit(features, way) < MOST_MISFIT for way in ways)

    def read(
        self, features: Float32[np.ndarray, "c h w"], ways: Sequence[LearnedClass]
    ) -> Float32[np.ndarray, "k h w"]:
        """Return the log-odds of each class."""
        return np.stack([class_odds(features, way) for way in ways])


class PANetHead:
    """PANet as published: shots are averaged into one prototype per class, and a softmax over cosines decides.

    Args:
        extractor: computes the features. All its taps are concatenated.
        world: of its semantic map; without one, presence is not judged.
        scale: factor of the cosine (`likewise.models.panet.PANetConfig`, as the next two).
        pool_at: pool support features at the size of the "mask" or of the "features".
        align_corners: of every resize.
    """

    side = SIDE
    finer_rows: tuple[str, ...] = ("foreground", "background")

    def __init__(
        self,
        extractor: FeatureExtractor,
        world: World | None = None,
        *,
        scale: float = 20.0,
        pool_at: str = "mask",
        align_corners: bool = False,
    ) -> None:
        self.extractor, self.world = extractor, world
        self.scale, self.pool_at, self.align_corners = scale, pool_at, align_corners
        self.backbone, self.fingerprint = extractor.name, extractor.fingerprint
        self.multiple = self.smallest = extractor.multiple

    def check(self, concept: Concept) -> None:
        c = self.extractor.channels
        own: dict[str, tuple[int, ...]] = {"foreground": (c,), "background": (c,)}
        concept.check_rows(own | finer_shapes(concept, own) | needed_rows(self.extractor.semantic_channels))

    def learn(
        self, image: UInt8[np.ndarray, "h w 3"], foreground: Mask, background: Mask, *, absent: bool = False
    ) -> dict[str, np.ndarray]:
        encoded = features_of(self.extractor.features(image[None]), align_corners=self.align_corners)
        ((features, semantic),) = encoded
        rows = {}
        for name, mask in (("foreground", foreground), ("background", background)):
            weights = mask.astype(np.float32)
            if self.pool_at == "features":
                size = (features.shape[1], features.shape[2])
                weights = resize_bilinear(weights, size, align_corners=self.align_corners)
            rows[name] = masked_mean(features, weights, align_corners=self.align_corners)[None]
        return rows | semantic_rows(semantic, foreground, absent=absent)

    def prepare(self, concept: Concept) -> Prepared:
        judge = None if self.world is None else Judge(concept, self.world)
        return Prepared(*both_looks(concept, self.finer_rows, self.merge), judge)

    def merge(self, ways: Sequence[dict[str, np.ndarray]]) -> Float32[np.ndarray, "k c"]:
        """Return the background prototype, averaged over classes and shots, then one per class (PANet, section 3.2)."""
        background = np.mean([mean_row(way, "background") for way in ways], axis=0)
        return np.stack([background, *(mean_row(way, "foreground") for way in ways)])

    def fold(self, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return one row that stands for several examples."""
        names = [prefix + name for prefix in ("", PREFIX) for name in self.finer_rows if prefix + name in rows]
        return {name: mean_row(rows, name)[None] for name in names} | folded_semantic_rows(rows)

    def segment(
        self,
        images: UInt8[np.ndarray, "b h w 3"],
        prepared: Prepared,
        sizes: Sequence[tuple[int, int]],
        threshold: float = 0.0,
        finer: Sequence[Pixels] | None = None,
    ) -> list[Found]:
        encoded = features_of(self.extractor.features(images), align_corners=self.align_corners)
        return [
            self.answer(one, prepared, sizes[index], threshold, finer[index] if finer else None)
            for index, one in enumerate(encoded)
        ]

    def answer(
        self,
        encoded: Encoded,
        prepared: Prepared,
        size: tuple[int, int] | None = None,
        threshold: float = 0.0,
        finer: Pixels | None = None,
    ) -> Found:
        """Return what is found in an image, at `size` or else at that of the features.

        Args:
            finer: the image at the size of the second look; None: by the features alone.
        """
        query, semantic = encoded
        logits = self.read(query, prepared.own)
        judged = prepared.judge(semantic, list(logits[1:] - logits[0])) if prepared.judge else None
        present = [judged is None or judged[way].presence >= threshold for way in range(len(logits) - 1)]
        if finer is not None and any(present):
            logits = look_again(
                logits,
                (logits[1:] - logits[0])[present].max(axis=0),
                finer,
                lambda part: self.read(taps_of(self.extractor, part, align_corners=self.align_corners), prepared.finer),
                multiple=self.multiple,
            )
        for way, there in enumerate(present, start=1):
            if not there:
                logits[way] = logits.min()
        planes = resize_bilinear(logits, size or query.shape[1:], align_corners=self.align_corners)
        return Found(softmax(planes), judged)

    def read(
        self, features: Float32[np.ndarray, "c h w"], prototypes: Float32[np.ndarray, "k c"]
    ) -> Float32[np.ndarray, "k h w"]:
        """Return the logits of background and classes."""
        return self.scale * cosine(prototypes, features.reshape(len(features), -1)).reshape(-1, *features.shape[1:])


def statistics_in(rows: dict[str, np.ndarray], prefix: str = "") -> SupportStatistics:
    return SupportStatistics(*(rows[prefix + name] for name in SupportStatistics._fields))


def features_of(features: Features, *, align_corners: bool = False) -> list[Encoded]:
    """Return the concatenated taps and the semantic map of each image."""
    levels, semantic = features
    return [
        Encoded(concat_levels([level[index] for level in levels], align_corners=align_corners), semantic[index])
        for index in range(len(semantic))
    ]


def finer_shapes(concept: Concept, own: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the rows of the second look that a concept has."""
    return {PREFIX + name: shape for name, shape in own.items() if PREFIX + name in concept.rows}


def both_looks(
    concept: Concept, finer_rows: Sequence[str], merge: Callable[[list[dict[str, np.ndarray]]], Any]
) -> tuple[Any, Any]:
    """Return the merged rows of all classes, for the first and for the second look; None if it has none for that."""
    ways = [concept.of_class(index) for index in range(len(concept.classes))]
    if not all(PREFIX + name in concept.rows for name in finer_rows):
        return merge(ways), None
    return merge(ways), merge([way | {name: way[PREFIX + name] for name in finer_rows} for way in ways])


def taps_of(
    extractor: FeatureExtractor, image: Pixels, *, align_corners: bool = False
) -> Float32[np.ndarray, "c hf wf"]:
    """Return the concatenated taps of one image."""
    return concat_levels([level[0] for level in extractor.levels(image[None])], align_corners=align_corners)
