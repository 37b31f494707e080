"""HSNet: hypercorrelations of the query with every shot. Numpy only, the same for every engine."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from likewise.engine.protocol import CorrelationNetwork
from likewise.errors import ConceptError, ExampleError
from likewise.ops.bilinear import resize_bilinear
from likewise.ops.hypercorrelation.supports import check_packed, check_supports, pack_supports, unpack_supports
from likewise.ops.prototypes import resize_mask
from likewise.ops.shots import compete, foreground_wins, mean_probability, vote
from likewise.predict.concept import Concept
from likewise.predict.heads.protocol import Found, Mask
from likewise.predict.inputs import Pixels

LARGEST_INPUT = 4
"""Bound of a resized image's area in `side` squared: twice the largest that rounding to whole positions gives."""


class HSNetHead:
    """A class's probability is the mean over its shots, and classes compete (`compete`).

    As published, the shots of a single class vote instead (HSNet, section 4.5) and probabilities are 0 or 1. The paper
    has no rule for several classes, so these compete either way.

    Images are resized to multiples of 16 pixels, at least 32. The paper's 400 x 400 stays unchanged, and images of
    many sizes share few input sizes, the first use of each being slow on torch.

    Args:
        network: the model, ready for inference.
        as_published: merge shots by the paper's vote.
    """

    multiple, smallest = 16, 32
    finer_rows: tuple[str, ...] = ()

    def __init__(self, network: CorrelationNetwork, *, as_published: bool = False) -> None:
        self.network, self.votes = network, as_published
        self.backbone, self.fingerprint, self.side = network.backbone, network.fingerprint, network.side

    def check(self, concept: Concept) -> None:
        try:
            check_packed(concept.rows, self.network.channels, LARGEST_INPUT * concept.side**2)
        except ValueError as error:
            raise ConceptError(f"a damaged concept: {error}; learn it again from its examples") from error

    def learn(
        self, image: UInt8[np.ndarray, "h w 3"], foreground: Mask, background: Mask, *, absent: bool = False
    ) -> dict[str, np.ndarray]:
        """Return the foreground features of one example; HSNet does not use the background."""
        if absent:
            raise ExampleError("HSNet does not learn from negatives; leave them out, or choose another model")
        inside = resize_mask(foreground, (image.shape[0], image.shape[1]))
        return pack_supports([self.network.encode_support(image, inside)])

    def prepare(self, concept: Concept) -> list[list[Any]]:
        """Return the supports of each class."""
        supports = unpack_supports(concept.rows)
        check_supports(supports, self.network.channels)
        ways: list[list[Any]] = [[] for _ in concept.classes]
        for index, support in zip(concept.class_of, supports, strict=True):
            ways[index].append(self.network.prepare(support))
        return ways

    def segment(
        self,
        images: UInt8[np.ndarray, "b h w 3"],
        prepared: list[list[Any]],
        sizes: Sequence[tuple[int, int]],
        thresholds: Sequence[float] = (),
        finer: Sequence[Pixels] | None = None,
    ) -> list[Found]:
        plane = (images.shape[1], images.shape[2])
        return [
            Found(self.probabilities(query, prepared, plane, size))
            for query, size in zip(self.network.encode_query(images), sizes, strict=True)
        ]

    def probabilities(
        self, query: Any, ways: list[list[Any]], plane: tuple[int, int], size: tuple[int, int]
    ) -> Float32[np.ndarray, "k ho wo"]:
        """Return the probabilities of one image: its input has size `plane`, the result `size`."""
        if self.votes and len(ways) == 1:
            found = (resize_bilinear(shot, size, align_corners=True) for shot in self.network.logits(query, ways[0]))
            foreground = vote(np.stack([foreground_wins(shot) for shot in found]))
            return np.stack([~foreground, foreground]).astype(np.float32)
        alone = []
        for way in ways:
            shots = [resize_bilinear(shot, plane, align_corners=True) for shot in self.network.logits(query, way)]
            alone.append(mean_probability(shots, size))
        return compete(np.stack(alone))
