import numpy as np
import pytest

from likewise.ops.presence import (
    World,
    agreement,
    collect_evidence,
    expand_prototype,
    fit_threshold,
    found_region,
    measure_world,
    object_mean,
    open_space,
    region_centres,
    rivals_of,
    unit_features,
)

CHANNELS = 6


def features(seed: int, height: int = 5, width: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(CHANNELS, height, width)).astype(np.float32)


def test_a_world_holds_the_mean_and_covariance_of_unit_features():
    maps = [features(seed) for seed in range(4)]
    flat = np.concatenate([unit_features(one) for one in maps]).astype(np.float64)
    world = measure_world(iter(maps))
    np.testing.assert_allclose(world.mean, flat.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(world.covariance, np.cov(flat.T, bias=True), atol=1e-6)


def test_each_image_counts_the_same_in_a_world_whatever_its_size():
    small, large = features(0, 2, 2), features(1, 9, 9)
    world = measure_world([small, large])
    expected = (unit_features(small).mean(axis=0) + unit_features(large).mean(axis=0)) / 2
    np.testing.assert_allclose(world.mean, expected, atol=1e-6)


def test_a_world_of_one_image_raises():
    with pytest.raises(ValueError, match="1"):
        measure_world([features(0)])


def test_the_mean_of_an_object_is_the_mean_of_its_positions():
    one, mask = features(2, 4, 4), np.zeros((4, 4), bool)
    mask[1, 2] = mask[3, 0] = True
    expected = unit_features(one).reshape(4, 4, CHANNELS)[mask].mean(axis=0)
    np.testing.assert_allclose(object_mean(one, mask)[0], expected, atol=1e-6)


def test_a_space_whitens_the_world():
    maps = [features(seed, 20, 20) for seed in range(3)]
    space = open_space(measure_world(maps))
    projected = space.project(np.concatenate([unit_features(one) for one in maps]))
    assert np.abs(projected.mean(axis=0)).max() < 1e-4
    covariance = np.cov(projected.T, bias=True)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 0.02
    assert (np.diag(covariance) < 1).all()  # the ridge


def test_centres_of_few_positions_are_these_positions():
    one, mask = features(3, 4, 4), np.zeros((4, 4), bool)
    mask[:2, :3] = True
    centres = region_centres(one, mask)
    expected = unit_features(one).reshape(4, 4, CHANNELS)[mask]
    assert {tuple(row.round(5)) for row in centres} == {tuple(row.round(5)) for row in expected}


def test_many_positions_have_as_many_centres_as_are_kept_always_the_same():
    one = features(4, 12, 12)
    first = region_centres(one, np.ones((24, 24), bool))
    assert first.shape == (16, CHANNELS)
    np.testing.assert_array_equal(first, region_centres(one, np.ones((24, 24), bool)))


def test_evidence_for_the_examples_own_feature_is_one():
    prototype = np.arange(1, 4, dtype=np.float32)
    evidence = collect_evidence(np.stack([prototype] * 5), np.ones(5, bool), prototype)
    assert evidence == pytest.approx((1, 1))


def test_evidence_ignores_positions_outside_the_region_and_beyond_the_best():
    prototype = np.array([1, 0], np.float32)
    query = np.array([[3, 0], [2, 0], [1, 0], [0, 5], [-9, 0]], np.float32)
    evidence = collect_evidence(query, np.array([False, False, False, True, False]), prototype)
    assert evidence == pytest.approx((2, 0))


def test_rivals_are_made_of_the_centres_and_the_negatives_most_like_the_object():
    centres = np.array([[0, 5], [3, 0], [2, 1], [-1, 0]], np.float32)
    others = [np.array([[value, value]], np.float32) for value in (9, 7, 1)]
    nearest, *alone = rivals_of(np.array([1, 0], np.float32), [centres, *others])
    np.testing.assert_allclose(alone, [[2.5, 0.5], [9, 9], [7, 7], [1, 1]])
    np.testing.assert_allclose(nearest, np.mean(alone[:3], axis=0), rtol=1e-6)


@pytest.mark.parametrize("odds", [np.full((3, 3), -2.0), np.zeros((1, 1))])
def test_a_region_is_never_empty(odds):
    assert found_region(odds.astype(np.float32), (3, 3)).any()


def test_a_region_is_where_the_odds_are_positive():
    odds = np.full((4, 4), -1, np.float32)
    odds[:2, :2] = 1
    assert found_region(odds, (4, 4)).reshape(4, 4)[:2, :2].all()
    assert found_region(odds, (4, 4)).sum() == 4


def test_the_two_most_probable_positions_are_in_every_region():
    odds = np.arange(-9, 0, dtype=np.float32).reshape(3, 3)
    assert found_region(odds, (3, 3)).nonzero()[0].tolist() == [7, 8]


def test_a_world_without_variance_still_opens():
    space = open_space(World(np.zeros(3, np.float32), np.eye(3, dtype=np.float32)))
    np.testing.assert_allclose(space.whitening @ space.whitening.T, np.eye(3) / 2, atol=1e-6)


def test_similar_examples_agree():
    random = np.random.default_rng(0)
    shared = random.normal(size=8).astype(np.float32)
    similar = shared + 0.1 * random.normal(size=(4, 8)).astype(np.float32)
    assert agreement(similar) > 0.9
    assert agreement(random.normal(size=(4, 8)).astype(np.float32)) < 0.5
    assert agreement(np.stack([shared, -shared])) == pytest.approx(-1)
    assert agreement(similar[:1]) is None


def two_groups(without: int, present: int, shift: float) -> np.ndarray:
    random = np.random.default_rng(0)
    return np.concatenate([random.normal(-2 + shift, 0.7, without), random.normal(2 + shift, 0.7, present)])


@pytest.mark.parametrize("shift", [-1.5, 0.0, 1.5])
@pytest.mark.parametrize(("without", "present"), [(10, 10), (40, 4), (4, 40)])
def test_a_fitted_threshold_parts_two_groups(without, present, shift):
    logits = two_groups(without, present, shift)
    threshold = fit_threshold(logits, 0.0)
    right = ((logits >= threshold) == (np.arange(len(logits)) >= without)).mean()
    assert right >= 0.95
    assert fit_threshold(np.random.default_rng(1).permutation(logits), 0.0) == threshold


@pytest.mark.parametrize(("mean", "there"), [(2.5, True), (-2.5, False)])
def test_a_folder_of_one_kind_is_not_split(mean, there):
    logits = np.random.default_rng(0).normal(mean, 0.8, 30)
    assert ((logits >= fit_threshold(logits, 0.0)) == there).all()


def test_a_threshold_of_equal_images_is_finite():
    assert np.isfinite(fit_threshold(np.full(20, 50.0), -0.8))
    assert np.isfinite(fit_threshold(np.full(20, -1e3), -0.8))


def test_the_surest_half_of_the_sure_images_joins_the_examples():
    prototype, regions = np.zeros(3, np.float32), np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 2, 2]]
    logits = np.array([9.0, 8.0, 7.0, 6.0, 0.0, -5.0])
    once = expand_prototype(prototype, 1, regions, logits, 1.0)
    np.testing.assert_allclose(once, [2 / 3, 0, 0], atol=1e-6)
    order = np.array([3, 5, 0, 4, 2, 1])
    np.testing.assert_array_equal(expand_prototype(prototype, 1, regions[order], logits[order], 1.0), once)


def test_images_stand_for_the_examples_that_lack_of_three():
    prototype, regions = np.zeros(2, np.float32), np.tile(np.float32([1, 0]), (1000, 1))
    several = [expand_prototype(prototype, shots, regions, np.full(1000, 9.0), 0.0)[0] for shots in (1, 2, 3, 5)]
    np.testing.assert_allclose(several, [2 / 3, 1 / 3, 0, 0], atol=1e-6)


def test_without_a_sure_image_the_prototype_stays():
    prototype = np.float32([1, 2])
    regions = np.ones((4, 2), np.float32)
    assert expand_prototype(prototype, 1, regions, np.full(4, 0.2), 0.0) is prototype
