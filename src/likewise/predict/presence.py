"""What a few-shot head keeps and computes to tell whether a class is in an image (`likewise.ops.presence`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32

from likewise.ops.presence import (
    CENTRES,
    Detector,
    Evidence,
    World,
    collect_evidence,
    object_mean,
    prepare_detector,
    region_centres,
)
from likewise.predict.concept import Concept

Rows = dict[str, np.ndarray]


class Calibration(NamedTuple):
    """A logistic function of the evidence for presence, and one for the expected IoU of a mask.

    Attributes:
        presence: weights of the projection, of the cosine and of log(shots), and the constant.
        quality: weights of the mask's mean probability, of the cosine and of log(shots), and the constant.
    """

    presence: tuple[float, float, float, float]
    quality: tuple[float, float, float, float]


CALIBRATION = Calibration((0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0))
"""Fitted by experiments/17-presence on training images."""


def semantic_rows(features: Float32[np.ndarray, "c h w"], region: Bool[np.ndarray, "hm wm"], *, absent: bool) -> Rows:
    """Return the rows of an example that presence needs.

    Args:
        features: the semantic map of the example's image.
        region: the object; of a negative, what is not the object.
    """
    found = region_centres(features, region) if absent else object_mean(features, region)
    kept = np.zeros((1, CENTRES, found.shape[1]), np.float16)
    kept[0, : len(found)] = found
    return {"semantic": kept, "absent": np.array([absent], np.float16)}


def needed_rows(channels: int) -> dict[str, tuple[int, ...]]:
    """Return the names and the shapes of these rows."""
    return {"semantic": (CENTRES, channels), "absent": ()}


class Judged(NamedTuple):
    """What is known of a class in an image.

    Attributes:
        logit: log-odds that the class is in the image.
        evidence: what it follows from.
        shots: number of examples.
    """

    logit: float
    evidence: Evidence
    shots: int

    @property
    def presence(self) -> float:
        """Probability that the class is in the image."""
        return logistic(self.logit)

    def expected_iou(self, probability: float) -> float:
        """Return the IoU that a mask is expected to have if the class is in the image.

        Args:
            probability: mean over the mask.
        """
        return logistic(_linear(CALIBRATION.quality, probability, self.evidence.cosine, math.log(self.shots)))


class Judge:
    """Judges which classes of a concept are in an image; other classes and negatives count against a class."""

    def __init__(self, concept: Concept, world: World) -> None:
        semantic, absent = concept.rows["semantic"].astype(np.float32), concept.rows["absent"] > 0
        of_class = [np.array(concept.class_of) == index for index in range(len(concept.classes))]
        means = [semantic[own & ~absent, 0] for own in of_class]
        self.shots = [len(own) for own in means]
        self.detectors: list[Detector] = []
        for index, own in enumerate(of_class):
            centres = semantic[own & absent].reshape(-1, semantic.shape[2])
            others = [mean.mean(axis=0) for other, mean in enumerate(means) if other != index]
            negatives = np.concatenate([centres[centres.any(axis=1)], *(other[None] for other in others)])
            self.detectors.append(prepare_detector(means[index], negatives, world))

    def __call__(
        self, features: Float32[np.ndarray, "c h w"], odds: Sequence[Float32[np.ndarray, "ho wo"]]
    ) -> tuple[Judged, ...]:
        """Return what is known of each class.

        Args:
            features: the image's semantic map.
            odds: for each class, the log-odds of its object.
        """
        judged = []
        for detector, shots, plane in zip(self.detectors, self.shots, odds, strict=True):
            evidence = collect_evidence(features, plane, detector)
            logit = _linear(CALIBRATION.presence, evidence.projection, evidence.cosine, math.log(shots))
            judged.append(Judged(logit, evidence, shots))
        return tuple(judged)


def logistic(x: float) -> float:
    """Return `1 / (1 + exp(-x))`."""
    return 0.5 * (1 + math.tanh(0.5 * x))


def _linear(weights: Sequence[float], *values: float) -> float:
    return sum(weight * value for weight, value in zip(weights, (*values, 1), strict=True))
