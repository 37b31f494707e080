"""The health report: who agrees, who does not belong, which maps to trust."""

import pytest
import torch
import torch.nn.functional as F

from likewise.predict.group_health import agreement_of, certainty_of, health_of


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
    torch.testing.assert_close(agreement_of(vectors), torch.stack(expected))


def test_images_that_point_elsewhere_do_not_seem_to_belong():
    health = health_of(names(12), some_vectors(12, outsiders=2), [1.0] * 12)
    assert health.outsiders == ("10.jpg", "11.jpg")
    assert health.told() == ["do not seem to belong to the group: 10.jpg, 11.jpg"]
    assert health.agreement["0.jpg"] > health.agreement["11.jpg"]


def test_a_good_group_has_nothing_to_tell():
    assert health_of(names(12), some_vectors(12), [1.0] * 12).told() == []


def test_nobody_is_the_odd_one_out_of_three():
    assert health_of(names(3), some_vectors(3, outsiders=1), [1.0] * 3).outsiders == ()


def test_a_group_of_one_is_said_to_be_compared_with_itself():
    health = health_of(names(1), some_vectors(1), [1.0])
    assert health.agreement == {"0.jpg": 1.0}
    assert "compared with itself alone" in health.told()[0]


def test_there_is_a_warning_when_most_maps_are_unreliable():
    most = health_of(names(5), some_vectors(5), [1.0, 0.9, 0.0, 0.1, 0.0])
    assert most.unreliable == ("2.jpg", "3.jpg", "4.jpg")
    assert "the saliency maps of 3 of 5 images are unreliable" in most.told()[0]
    assert health_of(names(5), some_vectors(5), [1.0, 0.9, 0.9, 0.1, 0.0]).told() == []


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0.0), (1.0, 0.0), (0.4, 0.4)])
def test_a_map_of_nothing_or_everything_shows_nothing_and_an_even_one_little(value, expected):
    assert certainty_of(torch.full((8, 8), value)) == pytest.approx(expected)


def test_a_clear_map_is_certain():
    clear = torch.zeros(8, 8)
    clear[2:5, 2:6] = 0.95
    assert certainty_of(clear) == pytest.approx(0.95)
