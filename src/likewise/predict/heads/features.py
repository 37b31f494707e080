"""What the methods share that compare an image's features with prototypes: two looks, and presence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from likewise.engine.protocol import FeatureExtractor, Features
from likewise.ops.presence import World
from likewise.ops.prototypes import concat_levels
from likewise.predict.concept import Concept
from likewise.predict.heads.protocol import Found, Mask
from likewise.predict.inputs import Pixels
from likewise.predict.presence import Judge, Look, needed_rows
from likewise.predict.second_look import PREFIX

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


class FeatureHead(ABC):
    """A method in closed form on the features of a backbone, and a judge of presence.

    Args:
        extractor: computes the features. All its taps are concatenated.
        world: of its semantic map; without one, presence is not judged.
        align_corners: of every resize.
    """

    side = SIDE
    finer_rows: tuple[str, ...]

    def __init__(self, extractor: FeatureExtractor, world: World | None = None, *, align_corners: bool = False) -> None:
        self.extractor, self.world, self.align_corners = extractor, world, align_corners
        self.backbone, self.fingerprint = extractor.name, extractor.fingerprint
        self.multiple = self.smallest = extractor.multiple

    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the names and the shapes of an example's rows, without those of presence."""

    @abstractmethod
    def merge(self, ways: Sequence[dict[str, np.ndarray]]) -> Any:
        """Return what is known of each class from its rows."""

    @abstractmethod
    def fold(self, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return one row that stands for several examples."""

    @abstractmethod
    def learn(
        self, image: UInt8[np.ndarray, "h w 3"], foreground: Mask, background: Mask, *, absent: bool = False
    ) -> dict[str, np.ndarray]: ...

    @abstractmethod
    def answer(
        self,
        encoded: Encoded,
        prepared: Prepared,
        size: tuple[int, int] | None = None,
        thresholds: Sequence[float] = (),
        finer: Pixels | None = None,
    ) -> Found:
        """Return what is found in an image, at `size` or else at that of the features.

        Args:
            finer: the image at the size of the second look; None: by the features alone.
        """

    @abstractmethod
    def odds(self, features: Float32[np.ndarray, "c h w"], own: Any) -> Float32[np.ndarray, "k h w"]:
        """Return the log-odds of each class.

        Args:
            own: what `merge` returned.
        """

    def look(self, encoded: Encoded, prepared: Prepared) -> Look:
        """Return what the first look at an image leaves for the judge."""
        return Look(encoded.semantic, self.odds(encoded.features, prepared.own))

    def check(self, concept: Concept) -> None:
        own = self.shapes()
        finer = {PREFIX + name: shape for name, shape in own.items() if PREFIX + name in concept.rows}
        concept.check_rows(own | finer | needed_rows(self.extractor.semantic_channels))

    def prepare(self, concept: Concept) -> Prepared:
        """Return what is known of each class for both looks, and the judge."""
        judge = None if self.world is None else Judge(concept, self.world)
        ways, finer = [concept.of_class(index) for index in range(len(concept.classes))], None
        if all(PREFIX + name in concept.rows for name in self.finer_rows):
            finer = self.merge([way | self.rows_of_second_look(way) for way in ways])
        return Prepared(self.merge(ways), finer, judge)

    def rows_of_second_look(self, way: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return what replaces the rows of a class at the second look."""
        return {name: way[PREFIX + name] for name in self.finer_rows}

    def segment(
        self,
        images: UInt8[np.ndarray, "b h w 3"],
        prepared: Prepared,
        sizes: Sequence[tuple[int, int]],
        thresholds: Sequence[float] = (),
        finer: Sequence[Pixels] | None = None,
    ) -> list[Found]:
        return [
            self.answer(one, prepared, sizes[index], thresholds, finer[index] if finer else None)
            for index, one in enumerate(self.encode(images))
        ]

    def encode(self, images: UInt8[np.ndarray, "b h w 3"]) -> list[Encoded]:
        """Return the features of each image."""
        return features_of(self.extractor.features(images), align_corners=self.align_corners)

    def taps_of(self, image: Pixels) -> Float32[np.ndarray, "c hf wf"]:
        """Return the concatenated taps of one image."""
        levels = [level[0] for level in self.extractor.levels(image[None])]
        return concat_levels(levels, align_corners=self.align_corners)


def features_of(features: Features, *, align_corners: bool = False) -> list[Encoded]:
    """Return the concatenated taps and the semantic map of each image."""
    levels, semantic = features
    return [
        Encoded(concat_levels([level[index] for level in levels], align_corners=align_corners), semantic[index])
        for index in range(len(semantic))
    ]
