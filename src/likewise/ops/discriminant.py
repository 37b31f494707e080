"""Linear discriminants of pixels: object against background, of the examples and of the image itself.

Prototypes compare a position with two means by cosine, and transfer to new scenes. Where an image shows the scene of
the examples again, their pixels say more: the directions in which object and background differ there. This is linear
discriminant analysis with one covariance for both (Fisher 1936), in closed form from the sums of
`likewise.ops.prototypes.SupportStatistics`.

The image itself shows how far it can be trusted. If its features are as close to the nearer of the two means as
those of the examples are, the scene is known; if they are `misfit` times as far in square, the examples' covariance is
too small by this factor. The log-odds are divided by it, as if the covariance were multiplied. One example of a new
scene has a misfit of 10 to 30 and leaves the answer to the prototypes; with twenty examples it is near 1 in any scene
(experiments/24-learning-curve).

The image has a discriminant of its own, learned from the pixels that a first answer is sure of. It shows how object and
background differ here, as self-support does (`likewise.ops.prototypes`), but in all directions instead of two means.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from likewise.ops.prototypes import (
    Prototypes,
    SupportStatistics,
    form_prototypes,
    log_odds,
    merge_statistics,
    sigmoid,
    unit_length,
)

RIDGE = 0.5
"""Ridge of the covariance, in mean variances (experiments/24-learning-curve)."""
MISFIT_POSITIONS = 256
"""Most positions, evenly spaced, that estimate the misfit; set without a measurement."""
DOUBT = 0.5
"""Least absolute log-odds of a position that the image's own discriminant learns from. Its weight grows linearly to 1
over one more unit. Set without a measurement."""
FEWEST = 4.0
"""Least sum of weights, of object and of background positions, for that discriminant; set without a measurement."""


class Discriminant(NamedTuple):
    """The discriminant of a class.

    Attributes:
        direction: its product with a unit feature, plus the constant, is the log-odds of the object.
        constant: see there; it holds the log-odds of the object's area in the examples.
        means: mean unit feature of the background and of the object.
        precision: inverse of the covariance plus the ridge.
        spread: mean squared distance of the examples' features from their side's mean, in this precision.
    """

    direction: Float32[np.ndarray, " c"]
    constant: float
    means: Float32[np.ndarray, "2 c"]
    precision: Float32[np.ndarray, "c c"]
    spread: float


def learn_discriminant(merged: SupportStatistics) -> Discriminant | None:
    """Return the discriminant of examples from their merged statistics; None if they show one side or one colour."""
    sums, shares, squares = (np.asarray(part, np.float64) for part in (merged.sums, merged.shares, merged.squares))
    if shares.min() <= 0:
        return None
    means = sums / shares[:, None]
    covariance = squares - (means.T * shares) @ means
    variance = max(covariance.trace() / len(covariance), 1e-9)
    try:
        precision = np.linalg.inv(covariance + RIDGE * variance * np.eye(len(covariance)))
    except np.linalg.LinAlgError:  # statistics of no image: a covariance with negative variances
        return None
    direction = precision @ (means[1] - means[0])
    constant = np.log(shares[1] / shares[0]) - 0.5 * (means[0] + means[1]) @ direction
    spread = float((precision * covariance).sum())
    if not (np.isfinite(constant) and spread > 1e-6):  # no variance, or statistics of no image
        return None
    return Discriminant(
        direction.astype(np.float32),
        float(constant),
        means.astype(np.float32),
        precision.astype(np.float32),
        spread,
    )


def discriminant_odds(query: Float32[np.ndarray, "c h w"], learned: Discriminant) -> Float32[np.ndarray, "h w"]:
    """Return the log-odds of the object at every position of the query's features, divided by the misfit."""
    flat = query.reshape(len(query), -1)
    unit = unit_length(flat)
    odds = learned.direction @ unit + np.float32(learned.constant)
    return (odds / np.float32(misfit(unit, learned))).reshape(query.shape[1:])


def misfit(unit: Float32[np.ndarray, "c p"], learned: Discriminant) -> float:
    """Return how much farther, in square, features lie from the nearer mean than those of the examples; at least 1."""
    some = unit[:, :: -(-unit.shape[1] // MISFIT_POSITIONS)]
    squares = (some * (learned.precision @ some)).sum(axis=0)
    towards = learned.means @ learned.precision
    distances = squares - 2 * towards @ some + (towards * learned.means).sum(axis=1)[:, None]
    return max(1.0, float(distances.min(axis=0).mean()) / learned.spread)


class LearnedClass(NamedTuple):
    """What is known of a class: the two readings of its examples."""

    prototypes: Prototypes
    discriminant: Discriminant | None


def learn_class(shots: SupportStatistics, counts: Float[np.ndarray, " n"] | None = None) -> LearnedClass:
    """Return what examples say of their class; for the arguments see `likewise.ops.prototypes.merge_statistics`."""
    merged, count = merge_statistics(shots, counts), len(shots.means) if counts is None else round(counts.sum())
    return LearnedClass(form_prototypes(merged, count), learn_discriminant(merged))


def class_odds(query: Float32[np.ndarray, "c h w"], learned: LearnedClass) -> Float32[np.ndarray, "h w"]:
    """Return the log-odds of a class at every position of the query's features: the sum of both readings."""
    odds = log_odds(query, learned.prototypes)
    return odds if learned.discriminant is None else odds + discriminant_odds(query, learned.discriminant)


def own_odds(query: Float32[np.ndarray, "c h w"], guess: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Return the log-odds of an image's own discriminant; zeros where a guess is not sure of object and background.

    Args:
        guess: log-odds of the object at each position, weighted by probability; doubtful ones (`DOUBT`) do not count.
    """
    flat, sure = query.reshape(len(query), -1), guess.ravel()
    unit = unit_length(flat)
    teach = np.stack([sigmoid(side * sure) * (side * sure - DOUBT).clip(0, 1) for side in (-1, 1)])
    if teach.sum(axis=1).min() < FEWEST:
        return np.zeros_like(guess)
    teach = (teach / teach.sum()).astype(np.float32)
    shares = teach.sum(axis=1).astype(np.float64)
    means = (teach @ unit.T).astype(np.float64) / shares[:, None]
    covariance = ((teach.sum(axis=0) * unit) @ unit.T).astype(np.float64) - (means.T * shares) @ means
    covariance += RIDGE * max(covariance.trace() / len(covariance), 1e-9) * np.eye(len(covariance))
    direction = np.linalg.solve(covariance, means[1] - means[0])
    constant = np.log(shares[1] / shares[0]) - 0.5 * (means[0] + means[1]) @ direction
    return (direction.astype(np.float32) @ unit + np.float32(constant)).reshape(guess.shape)
