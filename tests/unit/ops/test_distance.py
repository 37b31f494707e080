"""Distances on a grid."""

import numpy as np

from likewise.ops.distance import distance_to


def test_the_distance_is_that_to_the_nearest_true_position() -> None:
    mask = np.random.default_rng(0).random((9, 14)) > 0.93
    rows, columns = np.nonzero(mask)
    own = np.indices(mask.shape)
    expected = np.sqrt(((own[0][..., None] - rows) ** 2 + (own[1][..., None] - columns) ** 2).min(axis=2))
    np.testing.assert_allclose(distance_to(mask), expected, rtol=1e-6)


def test_without_a_true_position_all_distances_are_the_same() -> None:
    np.testing.assert_array_equal(distance_to(np.zeros((3, 4), bool)), 7)
