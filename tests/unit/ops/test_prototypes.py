"""Prototypes of several supports, whitened and adapted to the query."""

import pytest
import torch
import torch.nn.functional as F

from likewise.ops.features import cosine_similarity, masked_average_pool
from likewise.ops.prototypes import (
    Prototypes,
    SupportStatistics,
    cosine_maps,
    merge_shots,
    self_support_prototypes,
    support_statistics,
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def planes(*values: float) -> torch.Tensor:
    """Probabilities of background and foreground, of these foreground values."""
    foreground = torch.tensor(values)[None, None, None]
    return torch.cat([1 - foreground, foreground], dim=1)


def sides(size: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """Background and foreground masks of two images, with pixels in neither."""
    foreground, background = torch.zeros(2, 2, size, size)
    foreground[0, : size // 2], foreground[1, 2:5, 3:] = 1, 1
    background[0, size // 2 + 1 :], background[1, 6:] = 1, 1
    return background, foreground


def of_one_class(statistics: SupportStatistics) -> SupportStatistics:
    return SupportStatistics(*(part[None] for part in statistics))


def test_the_covariance_is_around_the_means_over_all_supports():
    features, (background, foreground) = torch.randn(2, 5, 8, 8), sides()
    statistics = support_statistics(features, background, foreground)
    known = (background + foreground).sum(dim=(1, 2))
    expected = torch.zeros(5, 5)
    for side, masks in enumerate((background, foreground)):
        chosen = [image[:, mask == 1] for image, mask in zip(features, masks, strict=True)]
        torch.testing.assert_close(statistics.means[:, side], torch.stack([each.mean(dim=1) for each in chosen]))
        weights = torch.cat([torch.full(each.shape[1:], 0.5) / of for each, of in zip(chosen, known, strict=True)])
        unit = F.normalize(torch.cat(chosen, dim=1), dim=0)
        expected += torch.cov(unit, correction=0, aweights=weights) * weights.sum()
    torch.testing.assert_close(of_one_class(statistics).covariance()[0], expected, rtol=1e-4, atol=1e-6)


def test_masks_may_have_another_size_and_may_lack_background():
    features, foreground = torch.randn(2, 5, 8, 8), torch.rand(2, 30, 21).round()
    foreground[1] = 1
    statistics = support_statistics(features, 1 - foreground, foreground)
    torch.testing.assert_close(statistics.means[:, 1], masked_average_pool(features, foreground, align_corners=False))
    covariance = of_one_class(statistics).covariance()
    assert covariance.isfinite().all()
    assert (torch.linalg.eigvalsh(covariance) > -1e-6).all()


def test_a_single_support_gives_the_cosines_of_panet():
    features, query = torch.randn(1, 5, 8, 8), torch.randn(1, 5, 6, 6)
    background, foreground = (mask[:1] for mask in sides())
    statistics = support_statistics(features, background, foreground)
    prototypes = merge_shots(of_one_class(statistics), torch.ones(1, 1, 2))
    assert prototypes.whitening is None
    torch.testing.assert_close(
        cosine_maps(query, prototypes, self_support=False),
        cosine_similarity(query, statistics.means),
        rtol=1e-5,
        atol=1e-6,
    )


def statistics_of(means: torch.Tensor, covariance: torch.Tensor) -> SupportStatistics:
    """Statistics with these means and this covariance; their unit features have mean 0."""
    return SupportStatistics(
        means, torch.zeros_like(means), torch.full(means.shape[:-1], 0.5), covariance.expand(1, means.shape[1], -1, -1)
    )


def test_whitening_reduces_directions_of_within_class_variance():
    # Both classes vary along the first axis; the second tells them apart.
    covariance = torch.diag(torch.tensor([1.0, 0.01, 0.01, 0.01]))
    means = torch.tensor([[1.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 1.0, 0.0]])
    query = torch.tensor([-1.0, 1.0, 0.0, 0.0])[None, :, None, None]  # like the background but for the first axis
    margins = []
    for shots in (1, 2, 11, 100):
        statistics = statistics_of(means.expand(1, shots, 2, 4), covariance)
        cosines = cosine_maps(query, merge_shots(statistics, torch.full((1, shots, 2), 1 / shots)), self_support=False)
        margins.append((cosines[0, 0] - cosines[0, 1]).item())
    assert margins[0] < margins[1] < margins[2] == pytest.approx(margins[3], abs=1e-5)
    assert margins[0] == pytest.approx(-0.5)
    assert margins[2] > -0.05


def test_whitening_is_the_mahalanobis_distance_with_a_ridge():
    generator = torch.randn(3, 6, 6)
    covariance = (generator @ generator.mT).mean(dim=0)
    statistics = statistics_of(torch.randn(1, 3, 2, 6), covariance)
    prototypes = merge_shots(statistics, torch.full((1, 3, 2), 1 / 3))
    metric = torch.linalg.inv(covariance / (40 / 2 * covariance.trace() / 6) + torch.eye(6))
    torch.testing.assert_close(prototypes.whitening[0].T @ prototypes.whitening[0], metric, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        prototypes.means[0], statistics.means[0].mean(dim=0) @ prototypes.whitening[0].T, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("channels", [0, 4])
def test_supports_without_variance_keep_their_prototypes(channels):
    statistics = statistics_of(torch.ones(1, 3, 2, channels), torch.zeros(channels, channels))
    prototypes = merge_shots(statistics, torch.full((1, 3, 2), 1 / 3))
    torch.testing.assert_close(prototypes.means, torch.ones(1, 2, channels))


@pytest.mark.parametrize("shots", [2, 500])
def test_flat_images_in_half_precision_give_finite_cosines(shots):
    flat = torch.zeros(1, 32)
    flat[0, 0], flat[0, 1:] = 0.9, 0.07  # one channel outweighs all others, and rounding all that varies
    features = flat[..., None, None].expand(1, 32, 8, 8)
    background, foreground = (mask[:1] for mask in sides())
    statistics = support_statistics(features, background, foreground)
    rows = SupportStatistics(*(part[None].half().expand(-1, shots, *part.shape[1:]) for part in statistics))
    prototypes = merge_shots(rows._replace(means=rows.means.float()), torch.full((1, shots, 2), 1 / shots))
    cosines = cosine_maps(features, prototypes, self_support=True)
    assert cosines.isfinite().all()
    assert cosines.min() > 0.99


def test_self_support_appends_two_cosine_maps():
    prototypes = Prototypes(torch.randn(1, 2, 5), torch.eye(5)[None], torch.full((1, 2, 2), 0.5))
    query = torch.randn(1, 5, 6, 6)
    plain = cosine_maps(query, prototypes, self_support=False)
    moved = cosine_maps(query, prototypes, self_support=True)
    assert moved.shape == (1, 4, 6, 6)
    torch.testing.assert_close(moved[:, :2], plain)
    assert (moved[:, 2:] - plain).abs().max() > 0.01


def test_one_support_and_a_query_of_a_new_scene_have_equal_weight():
    features = torch.zeros(1, 2, 1, 4)
    features[0, 0], features[0, 1] = torch.tensor([1.0, 3.0, 5.0, 7.0]), 1.0
    moved = self_support_prototypes(features, torch.zeros(1, 2, 2), planes(0.9, 0.88, 0.7, 0.1), shots=1)
    # foreground: the two positions over 0.85; background: the one over 0.6
    torch.testing.assert_close(moved[0, 1], torch.tensor([2.0, 1.0]) / 2)
    torch.testing.assert_close(moved[0, 0], torch.tensor([7.0, 1.0]) / 2)


@pytest.mark.parametrize(("distance", "count"), [(0.0, 0.0), (0.05, 0.25), (0.1, 1.0), (0.3, 1.0)])
def test_the_querys_weight_falls_in_a_scene_like_the_supports(distance, count):
    cosine = 1 - distance
    features = torch.tensor([[[[2.0 * cosine, 0.0]], [[2.0 * (1 - cosine**2) ** 0.5, 3.0]]]])
    prototypes = torch.tensor([[[5.0, 0.0], [0.0, 1.0]]])
    moved = self_support_prototypes(features, prototypes, planes(0.0, 1.0), shots=1)
    own = features[0, :, 0].T
    torch.testing.assert_close(moved[0], (prototypes[0] + count * own) / (1 + count), rtol=1e-4, atol=1e-4)


def test_the_querys_weight_falls_with_the_number_of_shots():
    features, prototypes = torch.randn(1, 3, 4, 4), torch.zeros(1, 2, 3)
    probabilities = torch.rand(1, 1, 4, 4)
    probabilities = torch.cat([1 - probabilities, probabilities], dim=1)
    gaps = [
        (self_support_prototypes(features, prototypes, probabilities, shots) - prototypes).norm() for shots in (1, 5)
    ]
    torch.testing.assert_close(gaps[0], 13 * gaps[1])


def test_the_twelve_most_probable_positions_are_used_when_none_is_confident():
    values = torch.linspace(0.45, 0.55, 20)
    assert values.max() < 0.6
    features = torch.arange(20.0)[None, None, None]
    moved = self_support_prototypes(features, torch.zeros(1, 2, 1), planes(*values.tolist()), shots=1)
    torch.testing.assert_close(moved[0, 1, 0], torch.arange(20.0)[-12:].mean() / 2)
    torch.testing.assert_close(moved[0, 0, 0], torch.arange(20.0)[:12].mean() / 2)


def test_all_positions_are_used_when_there_are_fewer_than_twelve():
    features = torch.tensor([[[[2.0, 4.0]]]])
    moved = self_support_prototypes(features, torch.zeros(1, 2, 1), planes(0.5, 0.5), shots=1)
    torch.testing.assert_close(moved, torch.full((1, 2, 1), 1.5))
