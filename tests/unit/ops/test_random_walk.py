"""The random walker on a grid."""

import numpy as np

from likewise.ops.random_walk import STEPS, edge_weights, random_walk


def dense_solution(weights, target: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """The same system, written out pixel by pixel and solved directly."""
    height, width = target.shape
    system = np.diag(strength.ravel().astype(np.float64))
    for (down, right), plane in zip(STEPS, weights.steps, strict=True):
        for row, column in np.ndindex(plane.shape):
            start = column - min(right, 0)
            one, other = row * width + start, (row + down) * width + start + right
            system[[one, other], [one, other]] += plane[row, column]
            system[one, other] -= plane[row, column]
            system[other, one] -= plane[row, column]
    return np.linalg.solve(system, (strength * target).ravel()).reshape(height, width)


def test_it_solves_the_linear_system_of_the_walk() -> None:
    generator = np.random.default_rng(0)
    weights = edge_weights(generator.random((3, 6, 7), dtype=np.float32), contrast=2.0)
    target, strength = generator.random((2, 6, 7), dtype=np.float32)
    found = random_walk(weights, target, strength, tolerance=1e-6)
    np.testing.assert_allclose(found, dense_solution(weights, target, strength), atol=1e-4)


def test_seeds_spread_up_to_an_edge_of_the_image() -> None:
    planes = np.zeros((1, 8, 12), np.float32)
    planes[:, :, 6:] = 1
    target, strength = np.full((8, 12), 0.5, np.float32), np.full((8, 12), 1e-4, np.float32)
    target[4, 1], target[4, 10], strength[4, 1], strength[4, 10] = 1, 0, 100, 100
    found = random_walk(edge_weights(planes, contrast=4.0), target, strength)
    assert (found[:, :6] > 0.5).all()
    assert (found[:, 6:] < 0.5).all()
