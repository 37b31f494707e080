"""Prototypes in closed form against slow, obvious loops, torch, and hand-computed cases."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from likewise.ops import features as torch_ops
from likewise.ops.prototypes import (
    Prototypes,
    SupportStatistics,
    concat_levels,
    cosine,
    form_prototypes,
    log_odds,
    masked_mean,
    merge_statistics,
    probabilities,
    resize_mask,
    self_support_prototypes,
    side_weights,
    sigmoid,
    softmax,
    support_statistics,
    touched_area,
    unit_length,
)


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def some_features(generator: np.random.Generator, channels: int = 5, height: int = 8, width: int = 8) -> np.ndarray:
    return generator.normal(size=(channels, height, width)).astype(np.float32)


def merge_shots(shots: SupportStatistics) -> Prototypes:
    return form_prototypes(merge_statistics(shots), len(shots.means))


def with_area(shot: SupportStatistics, area: float) -> SupportStatistics:
    return shot._replace(weights=side_weights(area))


def some_masks(size: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """A foreground and a background, with pixels in neither."""
    foreground, background = np.zeros((2, size, size), bool)
    foreground[: size // 2], background[size // 2 + 1 :] = True, True
    return foreground, background


def stacked(*shots: SupportStatistics) -> SupportStatistics:
    return SupportStatistics(*(np.stack(parts) for parts in zip(*shots, strict=True)))


def test_levels_are_concatenated_at_the_size_of_the_first(generator: np.random.Generator) -> None:
    levels = [some_features(generator, 3, 6, 4), some_features(generator, 2, 3, 2)]
    tensors = [torch.from_numpy(level)[None] for level in levels]
    expected = torch_ops.concat_levels(tensors, align_corners=False)[0].numpy()
    np.testing.assert_allclose(concat_levels(levels), expected, atol=1e-6)


@pytest.mark.parametrize("align_corners", [False, True])
def test_the_masked_mean_is_that_of_the_resized_features(generator: np.random.Generator, align_corners: bool) -> None:
    features, mask = some_features(generator, 4, 5, 6), generator.random((30, 21)) < 0.3
    tensor = torch.from_numpy(features)[None]
    resized = F.interpolate(tensor, (30, 21), mode="bilinear", align_corners=align_corners)[0].numpy()
    expected = resized[:, mask].mean(axis=1)
    found = masked_mean(features, mask.astype(np.float32), align_corners=align_corners)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert not masked_mean(features, np.zeros((30, 21), np.float32)).any()


def test_statistics_equal_a_loop_over_pixels(generator: np.random.Generator) -> None:
    features, (foreground, background) = some_features(generator), some_masks()
    found = support_statistics(features, foreground, background)
    unit = features / np.linalg.norm(features, axis=0)
    known = foreground.sum() + background.sum()
    for side, mask in enumerate((background, foreground)):
        np.testing.assert_allclose(found.means[side], features[:, mask].mean(axis=1), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found.sums[side], unit[:, mask].sum(axis=1) / known, rtol=1e-4, atol=1e-6)
        assert found.shares[side] == pytest.approx(mask.sum() / known)
    squares = sum(np.outer(unit[:, y, x], unit[:, y, x]) for y, x in np.argwhere(foreground | background)) / known
    np.testing.assert_allclose(found.squares, squares, rtol=1e-4, atol=1e-6)
    assert found.weights[1] == pytest.approx(1.0)  # 8 x 8 pixels are one cell, and the object touches it


def test_the_area_counts_cells_that_the_object_touches() -> None:
    mask = np.zeros((32, 40), bool)
    assert touched_area(mask) == pytest.approx(1 / 20)  # at least one
    mask[7:9, 0] = True
    assert touched_area(mask) == pytest.approx(2 / 20)
    mask[:] = True
    assert touched_area(mask) == pytest.approx(1)
    assert touched_area(np.ones((3, 5), bool)) == pytest.approx(1)


def test_a_resized_mask_keeps_half_covered_pixels_and_never_vanishes() -> None:
    mask = np.zeros((40, 40), bool)
    mask[:, :14] = True
    assert resize_mask(mask, (4, 4)).tolist() == [[True, False, False, False]] * 4  # 1.4 pixels wide
    speck = np.zeros((4000, 3000), bool)
    speck[17, 5] = True
    assert np.argwhere(resize_mask(speck, (32, 32))).tolist() == [[0, 0]]


def test_one_shot_keeps_its_means(generator: np.random.Generator) -> None:
    statistics = with_area(support_statistics(some_features(generator), *some_masks()), 0.1)
    merged = merge_shots(stacked(statistics))
    assert merged.whitening is None
    assert merged.shots == 1
    np.testing.assert_array_equal(merged.means, statistics.means)


def test_shots_weigh_by_the_square_root_of_their_areas(generator: np.random.Generator) -> None:
    shots = [support_statistics(some_features(generator), *some_masks()) for _ in range(2)]
    small, large = (with_area(shot, area) for shot, area in zip(shots, (0.04, 0.36), strict=True))
    merged = merge_shots(stacked(small, large))
    expected = np.stack(
        [
            (np.sqrt(0.96) * small.means[0] + np.sqrt(0.64) * large.means[0]) / (np.sqrt(0.96) + np.sqrt(0.64)),
            (0.2 * small.means[1] + 0.6 * large.means[1]) / 0.8,
        ]
    )
    assert merged.whitening is not None
    np.testing.assert_allclose(merged.means @ np.linalg.inv(merged.whitening).T, expected, rtol=1e-3, atol=1e-4)


def test_merging_is_exact_in_any_order_and_grouping(generator: np.random.Generator) -> None:
    shots = [with_area(support_statistics(some_features(generator), *some_masks()), 0.1 * n) for n in (1, 3, 5, 7, 9)]
    at_once = merge_statistics(stacked(*shots))
    first = merge_statistics(stacked(*shots[:3]))
    later = merge_statistics(stacked(shots[4], first, shots[3]), np.array([1.0, 3.0, 1.0]))
    for one, other in zip(at_once, later, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("shots", [2, 3, 30])
def test_whitening_is_the_mahalanobis_distance_with_a_ridge(generator: np.random.Generator, shots: int) -> None:
    statistics = [support_statistics(some_features(generator, 6), *some_masks()) for _ in range(shots)]
    merged = merge_shots(stacked(*statistics))
    unit, side = [], []
    for shot in statistics:  # the covariance around each side's mean, from the sufficient statistics
        unit.append(shot.squares)
        side.append((shot.sums, shot.shares))
    sums, shares = np.mean([s for s, _ in side], axis=0), np.mean([s for _, s in side], axis=0)
    covariance = np.mean(unit, axis=0) - sum(np.outer(s, s) / share for s, share in zip(sums, shares, strict=True))
    ridge = 40 / min(shots - 1, 10) * np.trace(covariance) / 6
    metric = np.linalg.inv(covariance / ridge + np.eye(6))
    assert merged.whitening is not None
    np.testing.assert_allclose(merged.whitening.T @ merged.whitening, metric, rtol=1e-3, atol=1e-4)


def test_whitening_ignores_a_direction_of_within_class_variance() -> None:
    # Both sides vary along the first axis; the second tells them apart.
    means = np.array([[1.0, 0.0, 1.0], [-1.0, 1.0, 0.0]], np.float32)
    squares = np.diag([1.0, 0.01, 0.01]).astype(np.float32)
    zeros, halves = np.zeros((2, 3), np.float32), np.full(2, 0.5, np.float32)
    shot = SupportStatistics(means, zeros, halves, squares, side_weights(0.5))
    query = np.array([-1.0, 0.0, 1.0], np.float32)[:, None]  # the background, but for the first axis
    margins = []
    for shots in (1, 2, 11):
        merged = merge_shots(stacked(*[shot] * shots))
        whitened = query if merged.whitening is None else merged.whitening @ query
        background, foreground = cosine(merged.means, whitened)[:, 0]
        margins.append(background - foreground)
    assert margins[0] < margins[1] < margins[2]


def test_statistics_in_half_precision_and_flat_images_give_finite_prototypes() -> None:
    flat = support_statistics(np.ones((4, 3, 3), np.float32), *some_masks(3))
    halves = SupportStatistics(*(np.asarray(part, np.float16) for part in stacked(flat, flat, flat)))
    merged = merge_shots(halves)
    assert np.isfinite(merged.means).all()
    assert merged.whitening is not None
    assert np.isfinite(merged.whitening).all()


def test_confident_positions_of_the_query_form_prototypes() -> None:
    means = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    query = np.array([[1.0, 0.9, 0.1], [0.1, 0.0, 1.0]], np.float32)
    cosines = cosine(means, query)
    adapted = self_support_prototypes(query, means, cosines, shots=1)
    own = np.stack([query[:, :2].mean(axis=1), query[:, 2]])
    distance = 1 - cosine(means[:1], own[0][:, None])[0, 0]
    weight = min((distance / 0.1) ** 2, 1)
    np.testing.assert_allclose(adapted, (means + weight * own) / (1 + weight), rtol=1e-5)


def test_the_query_weighs_less_with_more_shots_and_in_the_examples_scene() -> None:
    means = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], np.float32)
    elsewhere = np.array([[0.6, 0.0], [0.0, 1.0], [0.8, 0.2]], np.float32)
    here = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.2]], np.float32)
    moved = [
        np.abs(self_support_prototypes(elsewhere, means, cosine(means, elsewhere), shots) - means).max()
        for shots in (1, 2, 5)
    ]
    assert moved[0] > moved[1] > moved[2] > 0
    np.testing.assert_allclose(self_support_prototypes(here, means, cosine(means, here), 1), means, atol=1e-6)


def test_log_odds_are_differences_of_scaled_cosines(generator: np.random.Generator) -> None:
    query, means = some_features(generator, 3, 4, 5), generator.normal(size=(2, 3)).astype(np.float32)
    flat = query.reshape(3, -1)
    adapted = self_support_prototypes(flat, means, cosine(means, flat), 2)
    background, foreground = F.cosine_similarity(
        torch.from_numpy(adapted)[:, :, None], torch.from_numpy(flat)[None], dim=1
    ).numpy()
    expected = (20 * (foreground - background)).reshape(4, 5)
    np.testing.assert_allclose(log_odds(query, Prototypes(means, None, 2)), expected, rtol=1e-4, atol=1e-5)


def test_a_zero_feature_has_cosine_zero() -> None:
    assert not cosine(np.ones((2, 3), np.float32), np.zeros((3, 4), np.float32)).any()


def test_classes_keep_their_odds_against_the_background(generator: np.random.Generator) -> None:
    odds = [generator.normal(scale=3, size=(3, 4)).astype(np.float32) for _ in range(3)]
    found = probabilities(odds, (3, 4))
    np.testing.assert_allclose(found.sum(axis=0), 1, rtol=1e-5)
    for own, plane in zip(found[1:], odds, strict=True):
        np.testing.assert_allclose(np.log(own / found[0]), plane, rtol=1e-3, atol=1e-4)
    one = probabilities(odds[:1], (6, 8))
    expected = torch.sigmoid(
        F.interpolate(torch.from_numpy(odds[0])[None, None], (6, 8), mode="bilinear", align_corners=False)
    )[0, 0]
    np.testing.assert_allclose(one[1], expected.numpy(), atol=1e-6)


def test_extreme_logits_do_not_overflow() -> None:
    with np.errstate(over="raise"):
        assert sigmoid(np.array([-1e4, 0, 1e4], np.float32)).tolist() == [0, 0.5, 1]
        assert softmax(np.array([[[1e4]], [[-1e4]]], np.float32))[:, 0, 0].tolist() == [1, 0]


RECORDED = {
    1: [
        [-14.6797, -4.8008, -13.2509, -8.3303],
        [-14.6797, 8.991, 13.6181, -5.7386],
        [14.6797, -1.2848, -6.9311, -2.7786],
    ],
    3: [
        [-14.095, -6.5075, -14.1402, -5.5381],
        [-14.095, 10.3404, 12.7305, -7.3477],
        [14.095, -3.7033, -5.3763, -1.4956],
    ],
    12: [
        [-13.9962, -5.5724, -13.8369, -6.1471],
        [-13.9962, 9.2043, 12.09, -6.4985],
        [13.9962, -2.8833, -5.0942, -2.0154],
    ],
}
"""Log-odds at every fifth row and fourth column of `scene(7)`, by the number of examples.

Computed by a second implementation of the same equations, in torch.
"""


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of waves with a rectangle of other features, and the rectangle's mask."""
    rows, columns, channels = np.meshgrid(np.arange(12), np.arange(16), np.arange(8), indexing="ij")
    inside = (rows > 1 + seed % 3) & (rows < 8) & (columns > 3) & (columns < 9 + seed % 5)
    wave = np.sin(0.7 * rows + 0.4 * columns * (1 + channels) + 1.3 * seed) + np.where(inside, np.cos(channels), 0.3)
    return wave.transpose(2, 0, 1).astype(np.float32), inside[..., 0].repeat(8, axis=0).repeat(8, axis=1)


@pytest.mark.parametrize("shots", RECORDED)
def test_log_odds_equal_those_recorded_from_torch(shots: int) -> None:
    examples = [support_statistics(features, mask, ~mask) for features, mask in map(scene, range(shots))]
    prototypes = merge_shots(stacked(*examples))
    found = log_odds(scene(7)[0], prototypes)
    np.testing.assert_allclose(found[::5, ::4], RECORDED[shots], rtol=0, atol=2e-4)


def test_features_get_unit_length_and_zeros_stay() -> None:
    features = np.random.default_rng(0).normal(size=(4, 3, 5)).astype(np.float32)
    features[:, 1, 2] = 0
    lengths = np.linalg.norm(unit_length(features), axis=0)
    assert lengths[1, 2] == 0
    np.testing.assert_allclose(np.delete(lengths.ravel(), 7), 1, rtol=1e-6)
