"""Is the class in the image? A probability in closed form, from the examples and a world.

One example says what the object is, not what else there is. The world says that: the mean and the covariance of the
semantic features of images of anything.

    semantic features of world images --> World ----------------------------+
    semantic features under the examples' masks --> mean of the object -----+--> prepare_detector --> Detector
    semantic features of negatives --> their centres -----------------------+
    semantic features of a query, the region that was found --> Evidence --> presence

Directions in which the world varies say little about a class. Features are therefore centred on the world's mean and
multiplied by the inverse square root of its covariance plus a ridge, as in linear discriminant analysis with one class
against the world (Hariharan, Malik, Ramanan, "Discriminative Decorrelation for Clustering and Classification", ECCV
2012). In this space

- the projection is the part of the object's mean that the query's best positions hold: 1 is as much as the examples,
  0 as much as the world's mean;
- the cosine compares the mean feature of the region that was found with the object's mean.

`presence` is a logistic function of the two. Negatives add to the covariance, so the directions that lead to them count
less.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32

from likewise.ops.bilinear import resize_bilinear
from likewise.ops.prototypes import position_weights, resize_mask

RIDGE = 1.0
"""Ridge of the world's covariance, in mean variances (experiments/17-presence)."""
NEGATIVE_WEIGHT = 0.1
"""Weight of the negatives' mean outer product beside the world's covariance (experiments/17-presence)."""
BEST_POSITIONS = 3
"""Query positions whose projection is averaged (experiments/17-presence)."""
CENTRES = 16
"""Centres that are kept of a negative: more than the kinds of things in most images."""
CENTRE_STEPS = 5
"""Steps of k-means; further ones moved no centre of the images that were tried by more than a hundredth."""


class World(NamedTuple):
    """Statistics of the unit semantic features of images of anything.

    Attributes:
        mean: over all positions.
        covariance: of the same.
    """

    mean: Float32[np.ndarray, " c"]
    covariance: Float32[np.ndarray, "c c"]


class Detector(NamedTuple):
    """What decides whether a class is in an image.

    Attributes:
        mean: of the world.
        whitening: matrix that whitens centred semantic features.
        prototype: the object's mean, centred and whitened.
    """

    mean: Float32[np.ndarray, " c"]
    whitening: Float32[np.ndarray, "c c"]
    prototype: Float32[np.ndarray, " c"]


class Evidence(NamedTuple):
    """What a query says for a class; see above."""

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
        images, total, squares = images + 1, total + unit.mean(axis=1), squares + unit @ unit.T / unit.shape[1]
    if images < 2:
        raise ValueError(f"a world needs several images; got {images}")
    mean = total / images
    covariance = squares / images - np.outer(mean, mean)
    return World(mean.astype(np.float32), covariance.astype(np.float32))


def unit_features(features: Float[np.ndarray, "c h w"]) -> Float32[np.ndarray, "c p"]:
    """Return the feature of each position, of length one."""
    flat = features.reshape(len(features), -1).astype(np.float32)
    return flat / np.maximum(np.linalg.norm(flat, axis=0), 1e-12)


def object_mean(features: Float32[np.ndarray, "c h w"], mask: Bool[np.ndarray, "hm wm"]) -> Float32[np.ndarray, "1 c"]:
    """Return the mean unit feature under a mask, which has a pixel."""
    weights = position_weights(mask.astype(np.float32), (features.shape[1], features.shape[2])).ravel()
    return (unit_features(features) @ (weights / weights.sum()))[None]


def region_centres(
    features: Float32[np.ndarray, "c h w"], mask: Bool[np.ndarray, "hm wm"]
) -> Float32[np.ndarray, "k c"]:
    """Return up to `CENTRES` centres of the unit features under a mask, which has a pixel: k-means, always the same."""
    inside = resize_mask(mask, (features.shape[1], features.shape[2])).ravel()
    unit = unit_features(features)[:, inside].T
    centres = unit[np.linspace(0, len(unit) - 1, min(CENTRES, len(unit))).round().astype(int)]
    for _ in range(CENTRE_STEPS):
        nearest = (unit @ centres.T).argmax(axis=1)
        members = [unit[nearest == index] for index in range(len(centres))]
        centres = np.stack([own.mean(axis=0) if len(own) else kept for own, kept in zip(members, centres, strict=True)])
    return centres


def prepare_detector(
    means: Float32[np.ndarray, "n c"], negatives: Float32[np.ndarray, "m c"], world: World
) -> Detector:
    """Return the detector of a class.

    Args:
        means: the object's mean in each example.
        negatives: centres of what is not the object, and the means of other classes; m may be 0.
    """
    covariance = world.covariance.astype(np.float64)
    covariance += RIDGE * covariance.trace() / len(covariance) * np.eye(len(covariance))
    if len(negatives):
        apart = negatives - world.mean
        covariance += NEGATIVE_WEIGHT / len(negatives) * apart.T @ apart
    variances, directions = np.linalg.eigh(covariance)
    whitening = (directions / np.sqrt(variances)).T.astype(np.float32)
    return Detector(world.mean, whitening, whitening @ (means.mean(axis=0) - world.mean))


def collect_evidence(
    features: Float32[np.ndarray, "c h w"], odds: Float32[np.ndarray, "ho wo"], detector: Detector
) -> Evidence:
    """Return what a query's semantic features say for a class.

    Args:
        odds: log-odds of the object; the region is where they are positive, or the two likeliest positions.
    """
    size = (features.shape[1], features.shape[2])
    whitened = detector.whitening @ (unit_features(features) - detector.mean[:, None])
    squared = max(float(detector.prototype @ detector.prototype), 1e-12)
    projections = detector.prototype @ whitened / squared
    at = resize_bilinear(odds, size).ravel()
    region = at > min(0.0, np.sort(at)[-min(3, len(at))])
    mean = whitened[:, region if region.any() else at >= at.max()].mean(axis=1)
    cosine = detector.prototype @ mean / max(np.sqrt(squared) * float(np.linalg.norm(mean)), 1e-12)
    return Evidence(float(np.sort(projections)[-BEST_POSITIONS:].mean()), float(cosine))
