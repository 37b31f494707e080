"""Checks of a group: agreement, outsiders and unreliable maps."""

import pytest
import torch
import torch.nn.functional as F

from likewise.predict.group_health import assess_group, group_agreement, map_certainty


def some_vectors(count: int, outsiders: int = 0) -> dict[int, torch.Tensor]:
    """Foregrounds around one direction; the last ones point elsewhere."""
    generator = torch.Generator().manual_seed(0)
    fore = torch.ones(count, 32) + 0.5 * torch.randn(count, 32, generator=generator)
    fore[count - outsiders :] = torch.randn(outsiders, 32, generator=generator)
    sides = F.normalize(torch.stack([fore, torch.zeros_like(fore)], dim=1), dim=2)
    return dict.fromkeys((8, 16, 32), sides)


def names(count: int) -> list[str]:
    return [f"{index}.jpg" for index in range(count)]


def test_agreement_is_the_cosine_with_the_mean_of_the_others():
    vectors = F.normalize(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), dim=1)
    expected = [
        F.cosine_similarity(vectors[i], vectors[[j for j in range(3) if j != i]].mean(0), dim=0) for i in range(3)
    ]
    torch.testing.assert_close(group_agreement(vectors), torch.stack(expected))


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
    assert "group of one" in health.warnings()[0]


def test_a_majority_of_unreliable_maps_warns():
    most = assess_group(names(5), some_vectors(5), [1.0, 0.9, 0.0, 0.1, 0.0])
    assert most.unreliable == ("2.jpg", "3.jpg", "4.jpg")
    assert "3 of 5" in most.warnings()[0]
    assert assess_group(names(5), some_vectors(5), [1.0, 0.9, 0.9, 0.1, 0.0]).warnings() == []


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0.0), (1.0, 0.0), (0.4, 0.4)])
def test_an_empty_or_full_map_has_no_certainty_and_a_uniform_one_little(value, expected):
    assert map_certainty(torch.full((8, 8), value)) == pytest.approx(expected)


def test_a_clear_map_is_certain():
    clear = torch.zeros(8, 8)
    clear[2:5, 2:6] = 0.95
    assert map_certainty(clear) == pytest.approx(0.95)
