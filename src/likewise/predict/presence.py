"""What a few-shot head keeps and computes to tell whether a class is in an image (`likewise.ops.presence`)."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32

from likewise.ops.presence import (
    CENTRES,
    Evidence,
    World,
    agreement,
    collect_evidence,
    expand_prototype,
    fit_threshold,
    found_region,
    object_mean,
    open_space,
    region_centres,
    rivals_of,
    unit_features,
)

if TYPE_CHECKING:
    from likewise.predict.concept import Concept

Rows = dict[str, np.ndarray]

ALONE = 1.0
"""Log-odds that the evidence for each single negative loses. At 0.5 more images with the class are emptied, and at 2
single negatives decide nothing (experiments/18-presence)."""


class Calibration(NamedTuple):
    """A logistic function of the evidence for presence, and one for the expected IoU of a mask.

    Attributes:
        presence: weights of the projection, of the cosine, of log(shots) and of the agreement, and the constant.
        quality: weights of the mask's mean probability, of the cosine and of log(shots), and the constant.
        lone: agreement that a single example counts as.
    """

    presence: tuple[float, float, float, float, float]
    quality: tuple[float, float, float, float]
    lone: float


CALIBRATION = Calibration((1.55, 9.49, -0.14, -4.83, -0.76), (9.61, -0.22, 0.06, -8.24), 0.24)
"""Fitted by experiments/18-presence on training images."""


def semantic_rows(features: Float32[np.ndarray, "c h w"], region: Bool[np.ndarray, "hm wm"], *, absent: bool) -> Rows:
    """Return the rows of an example that presence needs.

    Args:
        features: the semantic map of the example's image.
        region: the object; in a negative, what is not the object.

    `count` is the number of examples that a row stands for.
    """
    found = region_centres(features, region) if absent else object_mean(features, region)
    kept = np.zeros((1, CENTRES, found.shape[1]), np.float16)
    kept[0, : len(found)] = found
    return {"semantic": kept, "absent": np.array([absent], np.float16), "count": np.ones(1, np.float32)}


def folded_semantic_rows(rows: Rows) -> Rows:
    """Return these rows of several examples, no negatives, as one."""
    kept = np.zeros((1, *rows["semantic"].shape[1:]), np.float16)
    kept[0, 0] = mean_row(rows, "semantic")[0]
    return {"semantic": kept, "absent": np.zeros(1, np.float16), "count": rows["count"].sum(keepdims=True)}


def mean_row(rows: Rows, name: str) -> np.ndarray:
    """Return the mean of a row over the examples."""
    return np.average(rows[name].astype(np.float32), axis=0, weights=rows["count"])


def needed_rows(channels: int) -> dict[str, tuple[int, ...]]:
    """Return the names and the shapes of these rows."""
    return {"semantic": (CENTRES, channels), "absent": (), "count": ()}


class Examples(NamedTuple):
    """What the calibration needs to know of a class.

    Attributes:
        shots: number of examples.
        agreement: how similar they are (`likewise.ops.presence.agreement`).
    """

    shots: int
    agreement: float | None


class Judged(NamedTuple):
    """What is known of a class in an image.

    Attributes:
        logit: log-odds that the class is in the image.
        evidence: what it follows from.
        examples: how much that says.
    """

    logit: float
    evidence: Evidence
    examples: Examples

    @property
    def presence(self) -> float:
        """Probability that the class is in the image."""
        return logistic(self.logit)

    def expected_iou(self, probability: float) -> float:
        """Return the IoU that a mask is expected to have if the class is in the image.

        Args:
            probability: mean over the mask.
        """
        return logistic(_linear(CALIBRATION.quality, probability, self.evidence.cosine, math.log(self.examples.shots)))


class Look(NamedTuple):
    """What the first look at an image leaves for a judge.

    Attributes:
        features: the image's semantic map.
        odds: for each class, the log-odds of its object.
    """

    features: Float[np.ndarray, "c h w"]
    odds: Float[np.ndarray, "k ho wo"]


class Judge:
    """Judges which classes of a concept are in an image."""

    def __init__(self, concept: Concept, world: World) -> None:
        self.space = open_space(world)
        semantic, absent = concept.rows["semantic"].astype(np.float32), concept.rows["absent"] > 0
        self.prototypes, self.rivals, self.examples = [], [], []
        for index in range(len(concept.classes)):
            own = np.array(concept.class_of) == index
            counts = concept.rows["count"][own & ~absent]
            projected = self.space.project(semantic[own & ~absent, 0])
            prototype = np.average(projected, axis=0, weights=counts).astype(np.float32)
            negatives = [self.space.project(centres[centres.any(axis=1)]) for centres in semantic[own & absent]]
            self.prototypes.append(prototype)
            self.rivals.append(rivals_of(prototype, negatives) if negatives else None)
            self.examples.append(Examples(round(counts.sum()), agreement(projected[counts == 1])))

    def __call__(self, look: Look) -> tuple[Judged, ...]:
        """Return what is known of each class."""
        judged = []
        query, regions = self._regions(look)
        for region, prototype, rivals, examples in zip(
            regions, self.prototypes, self.rivals, self.examples, strict=True
        ):
            evidence = collect_evidence(query, region, prototype)
            logit = presence_logit(evidence, examples)
            if rivals is not None:
                nearest, *alone = (presence_logit(collect_evidence(query, region, own), examples) for own in rivals)
                logit -= max(0.0, max(nearest, max(alone) - ALONE) - logit)
            judged.append(Judged(logit, evidence, examples))
        return tuple(judged)

    def _regions(self, look: Look) -> tuple[Float32[np.ndarray, "p c"], list[Bool[np.ndarray, " p"]]]:
        """Return the features of an image in the space of the world, and the region of each class."""
        size = (look.features.shape[1], look.features.shape[2])
        query = self.space.project(unit_features(look.features))
        return query, [found_region(np.asarray(plane, np.float32), size) for plane in look.odds]

    def fitted(self, looks: Sequence[Look], presence: Sequence[float]) -> tuple[Judge, tuple[float, ...]]:
        """Return a judge and thresholds that suit some images, whose order does not matter.

        The surest images join the examples (`likewise.ops.presence.expand_prototype`); then each threshold is moved to
        where it parts the images best (`likewise.ops.presence.fit_threshold`).

        Args:
            looks: at the images.
            presence: of each class, the presence from which on it is taken to be in an image, if nothing else is known.
        """
        usual = [math.log(one / max(1 - one, 1e-6)) for one in presence]
        fitted = copy.copy(self)
        fitted.prototypes = list(self.prototypes)
        logits = self._logits(looks)
        means = np.array([[query[own].mean(axis=0) for own in regions] for query, regions in map(self._regions, looks)])
        for index, (prototype, examples) in enumerate(zip(self.prototypes, self.examples, strict=True)):
            least = max(fit_threshold(logits[:, index], usual[index]), usual[index])
            fitted.prototypes[index] = expand_prototype(
                prototype, examples.shots, means[:, index], logits[:, index], least
            )
        thresholds = map(fit_threshold, fitted._logits(looks).T, usual)
        return fitted, tuple(min(max(round(logistic(one), 2), 0.01), 0.99) for one in thresholds)

    def digest(self) -> str:
        """Return a digest of the prototypes."""
        return hashlib.sha256(np.stack(self.prototypes).tobytes()).hexdigest()[:16]

    def _logits(self, looks: Sequence[Look]) -> Float[np.ndarray, "n k"]:
        return np.array([[one.logit for one in self(look)] for look in looks])


def presence_logit(evidence: Evidence, examples: Examples) -> float:
    """Return the log-odds that a class is in an image."""
    agreement = CALIBRATION.lone if examples.agreement is None else examples.agreement
    return _linear(CALIBRATION.presence, evidence.projection, evidence.cosine, math.log(examples.shots), agreement)


def are_present(judged: Sequence[Judged] | None, thresholds: Sequence[float], classes: int) -> list[bool]:
    """Return for each class whether it is taken to be in an image: always without a judge or thresholds."""
    if judged is None or not thresholds:
        return [True] * classes
    return [one.presence >= threshold for one, threshold in zip(judged, thresholds, strict=True)]


def logistic(x: float) -> float:
    """Return `1 / (1 + exp(-x))`."""
    return 0.5 * (1 + math.tanh(0.5 * x))


def _linear(weights: Sequence[float], *values: float) -> float:
    return sum(weight * value for weight, value in zip(weights, (*values, 1), strict=True))
