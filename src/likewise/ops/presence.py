"""Is the class in the image? A probability in closed form, from the examples and a world.

One example says what the object is, not what else there is. The world says that: the mean and the covariance of the
semantic features of images of anything.

    semantic features of images of anything --> World --> Space
    semantic features under the examples' masks --> object_mean --> prototype ---+
    semantic features of negatives --> region_centres --> rivals_of --> rivals --+--> Evidence for each
    semantic features of a query, and the region that was found in it -----------+

Directions in which the world varies say little about a class. Features are therefore centred on the world's mean and
multiplied by the inverse square root of its covariance plus a ridge, as in linear discriminant analysis with one class
against the world (Hariharan, Malik, Ramanan, "Discriminative Decorrelation for Clustering and Classification", ECCV
2012). In this space

- the projection is the part of the object's mean that the query's best positions hold: 1 is as much as the examples,
  0 as much as the world's mean;
- the cosine compares the mean feature of the region that was found with the object's mean.

How much these say depends on how similar the examples are: the agreement is the mean cosine of each example's mean with
that of the others. Presence is a logistic function of the three and of the number of examples
(`likewise.predict.presence`). The evidence for the rivals, what the negatives have in common with the object, counts
against it: that for the nearest negatives together, or that for the strongest one alone if it is clearly higher.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32

from likewise.ops.bilinear import resize_bilinear
from likewise.ops.prototypes import position_weights, resize_mask, unit_length

RIDGE = 1.0
"""Ridge of the world's covariance, in mean variances (experiments/18-presence)."""
SIMILAR_CENTRES = 2
"""Centres of a negative that are its rival (experiments/18-presence)."""
NEAREST = 3
"""Negatives most like the object whose rivals are averaged (experiments/18-presence)."""
BEST_POSITIONS = 3
"""Query positions whose projection is averaged (experiments/18-presence)."""
CENTRES = 16
"""Centres that are kept of a negative: more than the kinds of things in most images."""
FITTED = (2.0, 2.0)
"""The prior of `fit_threshold`: the distance of the mean log-odds of images with the class,
and of those without it, from the threshold; and their variance about it (experiments/18-presence)."""
FITTED_AS = (2.0, 0.25)
"""Weight of that prior in images: a constant, and a part for each image (experiments/18-presence)."""
SURE = 0.5
"""Log-odds above the threshold from which on an image may join the examples (experiments/18-presence)."""
SUREST = 0.5
"""Part of these images that joins: those with the highest log-odds (experiments/18-presence)."""
ENOUGH = 3
"""Examples that a class has at most with the images that join (experiments/18-presence)."""
FIT_STEPS = 60
"""Steps of expectation and maximisation; after 40 no threshold of experiments/18-presence moved by more than 0.01."""
CENTRE_STEPS = 5
"""Steps of k-means; further ones moved no centre by more than 0.01 of a feature's unit length (no script)."""


class World(NamedTuple):
    """Statistics of the unit semantic features of images of anything.

    Attributes:
        mean: over all positions.
        covariance: of the same.
    """

    mean: Float32[np.ndarray, " c"]
    covariance: Float32[np.ndarray, "c c"]


class Space(NamedTuple):
    """Where features are compared: centred on the world's mean, then whitened by its covariance plus a ridge.

    Attributes:
        mean: of the world.
        whitening: inverse square root of the covariance plus the ridge.
    """

    mean: Float32[np.ndarray, " c"]
    whitening: Float32[np.ndarray, "c c"]

    def project(self, unit: Float32[np.ndarray, "p c"]) -> Float32[np.ndarray, "p c"]:
        """Return unit features in this space."""
        return (unit - self.mean) @ self.whitening.T


class Evidence(NamedTuple):
    """The evidence for a class in a query; see above."""

    projection: float
    cosine: float


def measure_world(maps: Iterable[Float[np.ndarray, "c _h _w"]]) -> World:
    """Return the world of some images' semantic features; each image counts the same.

    Raises:
        ValueError: fewer than two images.
    """
    images, total, squares = 0, np.zeros(()), np.zeros(())
    for features in maps:
        unit = unit_features(features)
        images, total, squares = images + 1, total + unit.mean(axis=0), squares + unit.T @ unit / len(unit)
    if images < 2:
        raise ValueError(f"a world needs several images; got {images}")
    mean = total / images
    covariance = squares / images - np.outer(mean, mean)
    return World(mean.astype(np.float32), covariance.astype(np.float32))


def unit_features(features: Float[np.ndarray, "c h w"]) -> Float32[np.ndarray, "p c"]:
    """Return the feature of each position, of length one."""
    return unit_length(features.reshape(len(features), -1).astype(np.float32)).T


def object_mean(features: Float32[np.ndarray, "c h w"], mask: Bool[np.ndarray, "hm wm"]) -> Float32[np.ndarray, "1 c"]:
    """Return the mean unit feature under a mask, which has a pixel."""
    weights = position_weights(mask.astype(np.float32), (features.shape[1], features.shape[2])).ravel()
    return (weights / weights.sum() @ unit_features(features))[None]


def region_centres(
    features: Float32[np.ndarray, "c h w"], mask: Bool[np.ndarray, "hm wm"]
) -> Float32[np.ndarray, "k c"]:
    """Return up to `CENTRES` centres of the unit features under a mask, which has a pixel: k-means, always the same."""
    inside = resize_mask(mask, (features.shape[1], features.shape[2])).ravel()
    unit = unit_features(features)[inside]
    centres = unit[np.linspace(0, len(unit) - 1, min(CENTRES, len(unit))).round().astype(int)]
    for _ in range(CENTRE_STEPS):
        nearest = (unit @ centres.T).argmax(axis=1)
        members = [unit[nearest == index] for index in range(len(centres))]
        centres = np.stack([own.mean(axis=0) if len(own) else kept for own, kept in zip(members, centres, strict=True)])
    return centres


def open_space(world: World) -> Space:
    """Return the space of a world."""
    covariance = world.covariance.astype(np.float64)
    covariance += RIDGE * covariance.trace() / len(covariance) * np.eye(len(covariance))
    variances, directions = np.linalg.eigh(covariance)
    return Space(world.mean, (directions / np.sqrt(variances)).T.astype(np.float32))


def rivals_of(
    prototype: Float32[np.ndarray, " c"], negatives: Sequence[Float32[np.ndarray, "_k c"]]
) -> Float32[np.ndarray, "n c"]:
    """Return the rival of each negative, after the mean of those of the `NEAREST` negatives most like the object.

    The rival of a negative is the mean of those of its centres that are most like the object.

    Args:
        prototype: the object's mean, like the centres in the space of the world.
        negatives: the centres of each negative.
    """
    alone = np.stack([own[np.argsort(own @ prototype)[-SIMILAR_CENTRES:]].mean(axis=0) for own in negatives])
    nearest = alone[np.argsort(alone @ prototype)[-NEAREST:]].mean(axis=0)
    return np.concatenate([nearest[None], alone])


def agreement(means: Float32[np.ndarray, "n c"]) -> float | None:
    """Return how similar examples are: the mean cosine of each object's mean with the mean of the others.

    None for fewer than two.

    Args:
        means: in the space of the world.
    """
    if len(means) < 2:
        return None
    others = means.sum(axis=0) - means
    lengths = np.linalg.norm(means, axis=1) * np.linalg.norm(others, axis=1)
    return float(((means * others).sum(axis=1) / np.maximum(lengths, 1e-6)).mean())


def found_region(odds: Float32[np.ndarray, "ho wo"], size: tuple[int, int]) -> Bool[np.ndarray, " p"]:
    """Return the positions where the log-odds of the object are positive, and the two most probable."""
    at = resize_bilinear(odds, size).ravel()
    region = at > 0
    region[np.argsort(at)[-2:]] = True
    return region


def collect_evidence(
    query: Float32[np.ndarray, "p c"], region: Bool[np.ndarray, " p"], prototype: Float32[np.ndarray, " c"]
) -> Evidence:
    """Return the evidence for a prototype in a query; all in the space of the world."""
    length = max(float(np.linalg.norm(prototype)), 1e-6)
    projections = query @ prototype / length**2
    mean = query[region].mean(axis=0)
    cosine = mean @ prototype / max(length * float(np.linalg.norm(mean)), 1e-6)
    return Evidence(float(np.sort(projections)[-BEST_POSITIONS:].mean()), float(cosine))


def expand_prototype(
    prototype: Float32[np.ndarray, " c"],
    shots: int,
    regions: Float32[np.ndarray, "n c"],
    logits: Float[np.ndarray, " n"],
    threshold: float,
) -> Float32[np.ndarray, " c"]:
    """Return the object's mean if what was found in the surest of some images joins the examples.

    Query expansion (Chum, Philbin, Sivic, Isard, Zisserman, "Total Recall: Automatic Query Expansion with a Generative
    Feature Model for Object Retrieval", ICCV 2007). All images that join count as the examples that the class lacks of
    `ENOUGH`; with that many nothing joins. The order of the images does not matter.

    Args:
        prototype: the mean of `shots` examples, in the space of the world.
        regions: mean feature of the region that was found in each image, there too.
        logits: log-odds that the object is in each image.
        threshold: log-odds from which on it is taken to be there.
    """
    sure = int((logits >= threshold + SURE).sum())
    joining = np.argsort(-logits, kind="stable")[: math.ceil(SUREST * sure)]
    weight = min(len(joining), ENOUGH - shots)
    if weight <= 0:
        return prototype
    expanded = (shots * prototype + weight * regions[joining].mean(axis=0)) / (shots + weight)
    return expanded.astype(np.float32)


def fit_threshold(logits: Float[np.ndarray, " n"], threshold: float) -> float:
    """Return the log-odds of presence from which on a class is taken to be in these images.

    Log-odds of one example are often too high or too low for a whole folder. Those of images with the class and of
    images without it are modelled as two normal distributions of one variance, fitted by expectation maximisation
    (Dempster, Laird, Rubin 1977). A prior keeps a folder from being split if all of its images show the class, or none.
    The order of the images does not matter.

    Args:
        threshold: log-odds from which on a class is taken to be in an image, if nothing else is known.
    """
    distance, variance = FITTED
    weight = FITTED_AS[0] + FITTED_AS[1] * len(logits)
    values, share = np.sort(np.asarray(logits, np.float64)), 0.5
    expected = np.array([threshold - distance, threshold + distance])
    means, spread = expected.copy(), variance
    for _ in range(FIT_STEPS):
        odds = (values - means.mean()) * (means[1] - means[0]) / spread + np.log(share / (1 - share))
        with_class = 0.5 * (1 + np.tanh(0.5 * odds))
        belonging = np.stack([1 - with_class, with_class])
        counts = belonging.sum(axis=1)
        means = (belonging @ values + weight * expected) / (counts + weight)
        squares = (belonging * (values - means[:, None]) ** 2).sum()
        spread = (squares + weight * variance) / (len(values) + weight)
        share = (counts[1] + 2) / (len(values) + 4)
    return float(means.mean() - spread * np.log(share / (1 - share)) / (means[1] - means[0]))
