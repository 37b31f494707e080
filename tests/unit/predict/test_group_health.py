"""Checks of a group: agreement, outsiders and unreliable maps."""

import numpy as np
import pytest

from likewise.predict.group_health import assess_group, group_agreement, map_certainty


def some_vectors(count: int, outsiders: int = 0) -> dict[int, np.ndarray]:
    """Foregrounds around one direction; the last ones point elsewhere."""
    generator = np.random.default_rng(0)
    fore = 1 + 0.5 * generator.standard_normal((count, 32))
    fore[count - outsiders :] = generator.standard_normal((outsiders, 32))
    fore /= np.linalg.norm(fore, axis=1, keepdims=True)
    return dict.fromkeys((8, 16, 32), np.stack([fore, np.zeros_like(fore)], axis=1))


def names(count: int) -> list[str]:
    return [f"{index}.jpg" for index in range(count)]


def test_agreement_is_the_cosine_with_the_mean_of_the_others():
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    for index, agreement in enumerate(group_agreement(vectors)):
        own, others = vectors[index], np.delete(vectors, index, axis=0).mean(axis=0)
        assert agreement == pytest.approx(own @ others / np.linalg.norm(others))


def test_images_with_other_vectors_are_outsiders():
    health = assess_group(names(12), some_vectors(12, outsiders=2), [1.0] * 12)
    assert health.outsiders == ("10.jpg", "11.jpg")
    (warning,) = health.warnings()
    assert "10.jpg, 11.jpg" in warning
    assert health.agreement["0.jpg"] > health.agreement["11.jpg"]


def test_a_good_group_has_no_warnings():
    assert assess_group(names(12), some_vectors(12), [1.0] * 12).warnings() == []


def test_a_group_of_three_has_no_outsiders():
    assert assess_group(names(3), some_vectors(3, outsiders=1), [1.0] * 3).outsiders == ()


def test_a_group_of_one_image_agrees_with_itself_and_warns():
    health = assess_group(names(1), some_vectors(1), [1.0])
    assert health.agreement == {"0.jpg": 1.0}
    assert len(health.warnings()) == 1


def test_a_majority_of_unreliable_maps_warns():
    most = assess_group(names(5), some_vectors(5), [1.0, 0.9, 0.0, 0.1, 0.0])
    assert most.unreliable == ("2.jpg", "3.jpg", "4.jpg")
    assert "3 of 5" in most.warnings()[0]
    assert assess_group(names(5), some_vectors(5), [1.0, 0.9, 0.9, 0.1, 0.0]).warnings() == []


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0.0), (1.0, 0.0), (0.4, 0.4)])
def test_an_empty_or_full_map_has_no_certainty_and_a_uniform_one_little(value, expected):
    assert map_certainty(np.full((8, 8), value)) == pytest.approx(expected)


def test_a_clear_map_is_certain():
    clear = np.zeros((8, 8))
    clear[2:5, 2:6] = 0.95
    assert map_certainty(clear) == pytest.approx(0.95)
