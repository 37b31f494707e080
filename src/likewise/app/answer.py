"""What is answered about one image, and one pass over all of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import UInt8

from likewise.app.masks import Labels
from likewise.app.network import Network
from likewise.engine.protocol import Features
from likewise.io.resize import resize_labels
from likewise.predict.result import to_result
from likewise.predict.segmenter import Segmenter

FEATURE_SIDE = 32
"""Long side of the label maps of a network's answers that are compared with each other."""


@dataclass(frozen=True)
class Answer:
    """What the concept says about an image, for each class id.

    Attributes:
        number: of the pass that computed it.
        labels: class ids at the size of the features.
        changed: 1 - IoU of these with those of the pass before.
    """

    number: int
    presence: dict[int, float]
    quality: dict[int, float]
    area: dict[int, float]
    labels: Labels
    changed: float | None = None


@dataclass
class Pass:
    """One pass over all images: a segmenter, the class ids of its labels, and how far it is.

    Attributes:
        network: answers instead of the segmenter, if a person adopted it.
    """

    number: int = 0
    segmenter: Segmenter | None = None
    classes: tuple[int, ...] = ()
    network: Network | None = None
    done: int = 0
    total: int = 0
    changes: list[float] = field(default_factory=list)

    @property
    def answers(self) -> bool:
        """Whether there is anything that answers."""
        return self.segmenter is not None or self.network is not None


def to_answer(features: Features, current: Pass) -> Answer:
    """Return the answer for an image's features."""
    assert current.segmenter is not None
    found = current.segmenter.answer(features)
    result = to_result(found.probabilities, current.segmenter.concept.classes, None, found.judged)
    presences = result.presences or (1.0,) * len(current.classes)
    areas = [float((result.labels == index).mean()) for index in range(1, len(current.classes) + 1)]
    return Answer(
        current.number,
        dict(zip(current.classes, presences, strict=True)),
        dict(zip(current.classes, result.expected_ious, strict=True)),
        dict(zip(current.classes, areas, strict=True)),
        np.array([0, *current.classes], np.uint8)[result.labels],
    )


def to_network_answer(labels: Labels, probability: np.ndarray, current: Pass) -> Answer:
    """Return the answer of a network: a class is present where it has pixels."""
    areas = {int(id): float((labels == id).mean()) for id in np.unique(labels) if id}
    quality = {id: float(probability[labels == id].mean()) for id in areas}
    return Answer(current.number, dict.fromkeys(areas, 1.0), quality, areas, shrink(labels, FEATURE_SIDE))


def difference(before: Labels, after: Labels) -> float:
    """Return 1 - IoU of two label maps: the share that differs of the pixels with a class in either."""
    either = (before > 0) | (after > 0)
    return float((before != after)[either].mean()) if either.any() else 0.0


def shrink(labels: Labels, side: int) -> UInt8[np.ndarray, "ho wo"]:
    """Return a label map whose long side has at most `side` pixels."""
    scale = side / max(labels.shape)
    height, width = (max(1, round(length * scale)) for length in labels.shape)
    return labels if scale >= 1 else resize_labels(labels, height, width, "centre")
