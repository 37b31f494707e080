"""Prototypes of several examples, whitened and moved by the query."""

import pytest
import torch
import torch.nn.functional as F

from likewise.ops.features import cosine_similarity, masked_average_pool
from likewise.ops.prototypes import (
    LEAST,
    MOST_TRUSTED,
    SHRINKAGE,
    SURE,
    Prototypes,
    Shown,
    likeness,
    show,
    together,
    with_query,
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def planes(*values: float) -> torch.Tensor:
    """Probabilities of the background and of the foreground, one position after the other."""
    foreground = torch.tensor(values)[None, None, None]
    return torch.cat([1 - foreground, foreground], dim=1)


def sides(size: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """Background and foreground of two images, some of either in neither."""
    foreground, background = torch.zeros(2, 2, size, size)
    foreground[0, : size // 2], foreground[1, 2:5, 3:] = 1, 1
    background[0, size // 2 + 1 :], background[1, 6:] = 1, 1
    return background, foreground


def of_one_class(shown: Shown) -> Shown:
    return Shown(*(part[None] for part in shown))


def test_the_spread_is_the_covariance_around_the_means_of_all_examples():
    features, (background, foreground) = torch.randn(2, 5, 8, 8), sides()
    shown = show(features, background, foreground)
    known = (background + foreground).sum(dim=(1, 2))
    expected = torch.zeros(5, 5)
    for side, masks in enumerate((background, foreground)):
        chosen = [image[:, mask == 1] for image, mask in zip(features, masks, strict=True)]
        torch.testing.assert_close(shown.means[:, side], torch.stack([each.mean(dim=1) for each in chosen]))
        weights = torch.cat([torch.full(each.shape[1:], 0.5) / of for each, of in zip(chosen, known, strict=True)])
        unit = F.normalize(torch.cat(chosen, dim=1), dim=0)
        expected += torch.cov(unit, correction=0, aweights=weights) * weights.sum()
    torch.testing.assert_close(of_one_class(shown).spread()[0], expected, rtol=1e-4, atol=1e-6)


def test_masks_of_another_size_and_sides_without_a_pixel_are_no_obstacle():
    features, foreground = torch.randn(2, 5, 8, 8), torch.rand(2, 30, 21).round()
    foreground[1] = 1
    shown = show(features, 1 - foreground, foreground)
    torch.testing.assert_close(shown.means[:, 1], masked_average_pool(features, foreground, align_corners=False))
    spread = of_one_class(shown).spread()
    assert spread.isfinite().all()
    assert (torch.linalg.eigvalsh(spread) > -1e-6).all()


def test_one_example_is_compared_with_as_panet_does():
    features, query = torch.randn(1, 5, 8, 8), torch.randn(1, 5, 6, 6)
    background, foreground = (mask[:1] for mask in sides())
    shown = show(features, background, foreground)
    prototypes = together(of_one_class(shown), torch.ones(1, 1, 2))
    assert prototypes.whitening is None
    torch.testing.assert_close(
        likeness(query, prototypes, self_support=False), cosine_similarity(query, shown.means), rtol=1e-5, atol=1e-6
    )


def shown_of(means: torch.Tensor, spread: torch.Tensor) -> Shown:
    """Examples with these means and this spread; their unit features have the mean 0."""
    return Shown(
        means, torch.zeros_like(means), torch.full(means.shape[:-1], 0.5), spread.expand(1, means.shape[1], -1, -1)
    )


def test_a_direction_in_which_a_class_differs_counts_for_less():
    # Both classes spread along the first axis; the second tells them apart.
    spread = torch.diag(torch.tensor([1.0, 0.01, 0.01, 0.01]))
    means = torch.tensor([[1.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 1.0, 0.0]])
    query = torch.tensor([-1.0, 1.0, 0.0, 0.0])[None, :, None, None]  # like the background but for the first axis
    told = []
    for shots in (1, 2, 1 + MOST_TRUSTED, 100):
        shown = shown_of(means.expand(1, shots, 2, 4), spread)
        cosines = likeness(query, together(shown, torch.full((1, shots, 2), 1 / shots)), self_support=False)
        told.append((cosines[0, 0] - cosines[0, 1]).item())
    assert told[0] < told[1] < told[2] == pytest.approx(told[3], abs=1e-5)
    assert told[0] == pytest.approx(-0.5)
    assert told[2] > -0.05


def test_whitening_is_the_mahalanobis_distance_with_a_ridge():
    generator = torch.randn(3, 6, 6)
    spread = (generator @ generator.mT).mean(dim=0)
    shown = shown_of(torch.randn(1, 3, 2, 6), spread)
    prototypes = together(shown, torch.full((1, 3, 2), 1 / 3))
    metric = torch.linalg.inv(spread / (SHRINKAGE / 2 * spread.trace() / 6) + torch.eye(6))
    torch.testing.assert_close(prototypes.whitening[0].T @ prototypes.whitening[0], metric, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        prototypes.means[0], shown.means[0].mean(dim=0) @ prototypes.whitening[0].T, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("channels", [0, 4])
def test_examples_without_any_spread_are_not_whitened_to_nonsense(channels):
    shown = shown_of(torch.ones(1, 3, 2, channels), torch.zeros(channels, channels))
    prototypes = together(shown, torch.full((1, 3, 2), 1 / 3))
    torch.testing.assert_close(prototypes.means, torch.ones(1, 2, channels))


@pytest.mark.parametrize("shots", [2, 500])
def test_flat_images_in_half_precision_leave_finite_prototypes(shots):
    flat = torch.zeros(1, 32)
    flat[0, 0], flat[0, 1:] = 0.9, 0.07  # one channel outweighs all others, and rounding all that varies
    features = flat[..., None, None].expand(1, 32, 8, 8)
    background, foreground = (mask[:1] for mask in sides())
    shown = show(features, background, foreground)
    rows = Shown(*(part[None].half().expand(-1, shots, *part.shape[1:]) for part in shown))
    prototypes = together(rows._replace(means=rows.means.float()), torch.full((1, shots, 2), 1 / shots))
    cosines = likeness(features, prototypes, self_support=True)
    assert cosines.isfinite().all()
    assert cosines.min() > 0.99


def test_with_self_support_its_cosines_follow():
    prototypes = Prototypes(torch.randn(1, 2, 5), torch.eye(5)[None], 2)
    query = torch.randn(1, 5, 6, 6)
    plain = likeness(query, prototypes, self_support=False)
    moved = likeness(query, prototypes, self_support=True)
    assert moved.shape == (1, 4, 6, 6)
    torch.testing.assert_close(moved[:, :2], plain)
    assert (moved[:, 2:] - plain).abs().max() > 0.01


def test_of_one_example_and_a_query_of_another_scene_either_counts_the_same():
    features = torch.zeros(1, 2, 1, 4)
    features[0, 0], features[0, 1] = torch.tensor([1.0, 3.0, 5.0, 7.0]), 1.0
    moved = with_query(features, torch.zeros(1, 2, 2), planes(0.9, 0.88, 0.7, 0.1), shots=1)
    # foreground: the two positions over 0.85; background: the one over 0.6
    torch.testing.assert_close(moved[0, 1], torch.tensor([2.0, 1.0]) / 2)
    torch.testing.assert_close(moved[0, 0], torch.tensor([7.0, 1.0]) / 2)


@pytest.mark.parametrize(("distance", "count"), [(0.0, 0.0), (0.05, 0.25), (0.1, 1.0), (0.3, 1.0)])
def test_in_a_scene_like_the_examples_the_query_counts_less(distance, count):
    cosine = 1 - distance
    features = torch.tensor([[[[2.0 * cosine, 0.0]], [[2.0 * (1 - cosine**2) ** 0.5, 3.0]]]])
    prototypes = torch.tensor([[[5.0, 0.0], [0.0, 1.0]]])
    moved = with_query(features, prototypes, planes(0.0, 1.0), shots=1)
    own = features[0, :, 0].T
    torch.testing.assert_close(moved[0], (prototypes[0] + count * own) / (1 + count), rtol=1e-4, atol=1e-4)


def test_more_shots_leave_the_query_less_to_say():
    features, prototypes = torch.randn(1, 3, 4, 4), torch.zeros(1, 2, 3)
    probabilities = torch.rand(1, 1, 4, 4)
    probabilities = torch.cat([1 - probabilities, probabilities], dim=1)
    gaps = [(with_query(features, prototypes, probabilities, shots) - prototypes).norm() for shots in (1, 5)]
    torch.testing.assert_close(gaps[0], 13 * gaps[1])


def test_where_nothing_is_sure_the_likeliest_positions_speak():
    values = torch.linspace(0.45, 0.55, 20)
    assert values.max() < min(SURE)
    features = torch.arange(20.0)[None, None, None]
    moved = with_query(features, torch.zeros(1, 2, 1), planes(*values.tolist()), shots=1)
    torch.testing.assert_close(moved[0, 1, 0], torch.arange(20.0)[-LEAST:].mean() / 2)
    torch.testing.assert_close(moved[0, 0, 0], torch.arange(20.0)[:LEAST].mean() / 2)


def test_fewer_positions_than_that_are_all_taken():
    features = torch.tensor([[[[2.0, 4.0]]]])
    moved = with_query(features, torch.zeros(1, 2, 1), planes(0.5, 0.5), shots=1)
    torch.testing.assert_close(moved, torch.full((1, 2, 1), 1.5))
