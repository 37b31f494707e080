"""Consensus of a group in closed form: synthetic groups in which one of two salient things is common."""

import numpy as np
import pytest

from likewise.ops.consensus import (
    NOT_SALIENT,
    SALIENT,
    consensus_odds,
    learn_consensus,
    map_at_positions,
    recurrence,
)
from likewise.ops.prototypes import unit_length

CHANNELS, SIZE, IMAGES = 24, 12, 5
COMMON, OTHER = (slice(1, 5), slice(1, 6)), (slice(7, 11), slice(6, 11))
"""Where the common thing and the second salient thing are."""


@pytest.fixture
def group() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Features and maps of images in which a common thing and another one are salient.

    The other things resemble the background more than they resemble each other.
    """
    random = np.random.default_rng(0)
    background, common, *others = np.linalg.qr(random.standard_normal((CHANNELS, IMAGES + 2)))[0].T[..., None, None]
    features, maps = [], []
    for other in others:
        image = background + 0.05 * random.standard_normal((CHANNELS, SIZE, SIZE))
        image[:, *COMMON] += common - background
        image[:, *OTHER] += other - 0.5 * background
        features.append(image.astype(np.float32))
        saliency = np.full((SIZE, SIZE), 0.05, np.float32)
        saliency[COMMON] = saliency[OTHER] = 0.9
        maps.append(saliency)
    return features, maps


def test_the_common_thing_gains_and_the_second_thing_loses(group: tuple[list, list]) -> None:
    features, maps = group
    prototypes = learn_consensus(features, maps)
    assert prototypes is not None
    assert prototypes.shots == IMAGES
    for image, saliency in zip(features, maps, strict=True):
        odds = consensus_odds(image, saliency, prototypes)
        assert odds.shape == (SIZE, SIZE)
        assert odds[COMMON].min() > 0
        assert odds[OTHER].max() < 0
        assert odds[11].max() < 0


def test_images_and_maps_may_have_different_sizes(group: tuple[list, list]) -> None:
    features, maps = group
    wide = np.repeat(features[0], 2, axis=2)
    prototypes = learn_consensus([wide, *features[1:]], maps)
    assert prototypes is not None
    assert consensus_odds(wide, maps[0], prototypes).shape == (SIZE, 2 * SIZE)


def test_recurrence_equals_a_loop_over_the_other_images(group: tuple[list, list]) -> None:
    features, maps = group
    units = [unit_length(image) for image in features[:3]]
    found = recurrence(units, maps[:3])
    for index, unit in enumerate(units):
        for y, x in ((2, 3), (8, 8), (0, 0)):
            gains = []
            for other, saliency in zip(units, maps, strict=False):
                if other is not unit:
                    cosines = np.einsum("chw, c -> hw", other, unit[:, y, x])
                    gains.append(cosines[saliency > SALIENT].max() - cosines[saliency < NOT_SALIENT].max())
            np.testing.assert_allclose(found[index][y, x], np.mean(gains), atol=1e-5)


def test_without_a_salient_part_there_is_no_consensus(group: tuple[list, list]) -> None:
    features, maps = group
    assert learn_consensus(features, [np.zeros_like(saliency) for saliency in maps]) is None


def test_a_single_image_has_a_consensus_with_itself(group: tuple[list, list]) -> None:
    features, maps = group
    prototypes = learn_consensus(features[:1], maps[:1])
    assert prototypes is not None
    odds = consensus_odds(features[0], maps[0], prototypes)
    assert np.isfinite(odds).all()
    assert odds[COMMON].mean() > odds[11].mean()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_flat_map_leaves_the_prototypes_odds(group: tuple[list, list], value: float) -> None:
    features, maps = group
    prototypes = learn_consensus(features, maps)
    assert prototypes is not None
    odds = consensus_odds(features[0], np.full((SIZE, SIZE), value, np.float32), prototypes)
    assert odds[COMMON].min() > odds[OTHER].max()


def test_a_position_has_the_mean_of_the_map_around_it() -> None:
    fine = np.random.default_rng(0).random((16, 16)).astype(np.float32)
    np.testing.assert_allclose(map_at_positions(fine, (4, 4)), fine.reshape(4, 4, 4, 4).mean(axis=(1, 3)), atol=1e-6)
