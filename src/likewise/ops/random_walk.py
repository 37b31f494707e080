"""Random walker segmentation on the grid of an image, with a prior at every pixel.

Grady, "Random Walks for Image Segmentation", TPAMI 2006, and "Multilabel Random Walker Image Segmentation Using Prior
Models", CVPR 2005: the probability that a walk which rarely crosses an edge first reaches the object. Numpy only.

    image --> edge_weights --> weights; seeds, prior --> random_walk: (L + D) p = D prior --> probabilities
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""The four directions (rows, columns) in which a pixel has a neighbour; the others are their opposites."""


class Weights(NamedTuple):
    """How easily a walk steps between neighbours.

    Attributes:
        steps: for each of `STEPS`, the weight between a pixel and its neighbour.
        degree: sum of a pixel's weights.
    """

    steps: tuple[Float32[np.ndarray, "_h _w"], ...]
    degree: Float32[np.ndarray, "h w"]


def edge_weights(planes: Float32[np.ndarray, "c h w"], *, contrast: float, least: float = 1e-3) -> Weights:
    """Return the weights between neighbours, `exp(-contrast * d² / mean d²) + least`, less for diagonals.

    Args:
        planes: what neighbours are compared by: colours, features.
        contrast: how much differences count.
        least: of a weight, so that nothing is cut off.
    """
    squares = [np.square(np.subtract(*_pair(planes, step))).sum(axis=0) for step in STEPS]
    mean = max(float(np.mean([square.mean() for square in squares])), 1e-12)
    steps = []
    degree = np.zeros(planes.shape[1:], np.float32)
    for step, square in zip(STEPS, squares, strict=True):
        weight = np.exp(np.float32(-contrast / mean) * square) + np.float32(least)
        weight /= np.float32(np.hypot(*step))
        one, other = _pair(degree, step)
        one += weight
        other += weight
        steps.append(weight)
    return Weights(tuple(steps), degree)


def random_walk(
    weights: Weights,
    target: Float32[np.ndarray, "h w"],
    strength: Float32[np.ndarray, "h w"],
    *,
    start: Float32[np.ndarray, "h w"] | None = None,
    tolerance: float = 1e-3,
    most: int = 200,
) -> Float32[np.ndarray, "h w"]:
    """Return the p that minimises `sum w (p_i - p_j)² + sum strength (p_i - target_i)²`, by conjugate gradients.

    Args:
        target: in [0, 1]: 1 at the object's seeds, 0 at others, the prior elsewhere.
        strength: how firmly a pixel is held to its target; large at seeds. Above 0 somewhere.
        start: where the iteration starts; the target if None.
        tolerance: of the residual, relative to the right-hand side.
        most: iterations at most.
    """
    diagonal = weights.degree + strength
    right = strength * target
    found = (target if start is None else start).astype(np.float32)
    residual = right - _apply(weights, diagonal, found)
    scaled = residual / diagonal
    direction = scaled.copy()
    energy = float(np.vdot(residual, scaled))
    goal = tolerance**2 * max(float(np.vdot(right, right / diagonal)), 1e-12)
    for _ in range(most):
        if energy <= goal:
            break
        image = _apply(weights, diagonal, direction)
        length = np.float32(energy / max(float(np.vdot(direction, image)), 1e-20))
        found += length * direction
        residual -= length * image
        scaled = residual / diagonal
        before, energy = energy, float(np.vdot(residual, scaled))
        direction = scaled + np.float32(energy / before) * direction
    return found.clip(0, 1)


def _apply(weights: Weights, diagonal: np.ndarray, plane: np.ndarray) -> np.ndarray:
    result = diagonal * plane
    for step, weight in zip(STEPS, weights.steps, strict=True):
        one, other = _pair(plane, step)
        own, neighbour = _pair(result, step)
        own -= weight * other
        neighbour -= weight * one
    return result


def _pair(planes: np.ndarray, step: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return views of every pixel that has a neighbour in the direction, and of that neighbour."""
    down, right = step
    height, width = planes.shape[-2:]
    if right >= 0:
        return planes[..., : height - down, : width - right], planes[..., down:, right:]
    return planes[..., : height - down, -right:], planes[..., down:, : width + right]
