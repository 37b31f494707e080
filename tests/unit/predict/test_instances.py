"""The objects of a result."""

import numpy as np
import pytest

from likewise.predict.instances import Instances, basins_of, join_basins, separate
from likewise.predict.result import Result


def discs(size: tuple[int, int], centres: list[tuple[int, int]], radius: int) -> np.ndarray:
    rows, columns = np.mgrid[: size[0], : size[1]]
    near = [(rows - row) ** 2 + (columns - column) ** 2 < radius**2 for row, column in centres]
    return np.any(near, axis=0)


def result_of(labels: np.ndarray, classes: tuple[str, ...] = ("ball",)) -> Result:
    plane, ones = np.where(labels > 0, np.float32(0.8), np.float32(0.1)), (1.0,) * len(classes)
    return Result(labels.astype(np.uint8), plane, classes, ones, tuple(0.9 for _ in classes))


CHAIN = [(80, 80), (80, 138), (80, 196), (138, 138), (200, 300)]


def test_discs_that_touch_are_objects_of_their_own() -> None:
    mask = discs((300, 400), CHAIN, 30)
    found = separate(mask, mask * np.float32(0.9))
    assert found.max() == len(CHAIN)
    np.testing.assert_array_equal(found > 0, mask)
    for row, column in CHAIN:
        own = discs((300, 400), [(row, column)], 30)
        piece = found == found[row, column]
        assert (piece & own).sum() / (piece | own).sum() > 0.9


def test_a_long_object_of_even_width_stays_whole() -> None:
    mask = np.zeros((200, 400), bool)
    mask[80:110, 20:380] = True
    mask[80:180, 20:50] = True
    assert separate(mask, mask * np.float32(0.9)).max() == 1


def test_a_valley_of_the_probability_separates_what_the_mask_joins() -> None:
    mask = np.zeros((120, 240), bool)
    mask[30:90, 20:220] = True
    plane = mask * np.float32(0.95)
    assert separate(mask, plane).max() == 1
    plane[:, 110:130] *= 0.7
    assert separate(mask, plane).max() == 2


def test_specks_are_dropped() -> None:
    mask = discs((300, 400), [(150, 150)], 60)
    mask[280:284, 380:384] = True
    found = separate(mask, mask * np.float32(0.9))
    assert found.max() == 1
    assert found[282, 382] == 0


def test_an_object_smaller_than_a_position_of_the_grid_is_no_error() -> None:
    mask = np.zeros((2000, 2000), bool)
    mask[5:8, 5:8] = True
    assert separate(mask, mask * np.float32(0.9)).max() == 0


def test_a_photograph_of_12_megapixels_is_separated_at_the_size_of_the_grid() -> None:
    mask = discs((300, 400), CHAIN, 30).repeat(10, axis=0).repeat(10, axis=1)
    assert separate(mask, mask * np.float32(0.9)).max() == len(CHAIN)


def test_instances_have_labels_scores_boxes_areas_and_centroids() -> None:
    labels = np.zeros((100, 200), np.uint8)
    labels[10:40, 10:30], labels[50:90, 60:100], labels[10:40, 120:180] = 1, 1, 2
    result = result_of(labels, ("cat", "dog"))
    found = result.instances
    assert len(found) == 3
    np.testing.assert_array_equal(found.labels, [1, 1, 2])
    np.testing.assert_array_equal(found.areas, [1600, 600, 1800])
    np.testing.assert_array_equal(found.boxes, [[60, 50, 100, 90], [10, 10, 30, 40], [120, 10, 180, 40]])
    np.testing.assert_allclose(found.centroids, [[80, 70], [20, 25], [150, 25]])
    assert found.masks.shape == (3, 100, 200)
    np.testing.assert_array_equal(found.masks.sum(axis=(1, 2)), found.areas)
    assert ((found.scores > 0) & (found.scores <= 1)).all()
    assert isinstance(result.instances, Instances)


def test_a_surer_object_has_the_higher_score() -> None:
    labels = np.zeros((60, 120), np.uint8)
    labels[10:50, 10:50] = labels[10:50, 70:110] = 1
    result = result_of(labels)
    result.plane[:, 60:] *= 0.7
    found = result.instances
    right = found.ids[30, 90]
    assert found.scores[right - 1] < found.scores[found.ids[30, 30] - 1]


def test_an_empty_result_has_no_instances() -> None:
    found = result_of(np.zeros((50, 60), np.uint8)).instances
    assert len(found) == 0
    assert found.masks.shape == (0, 50, 60)
    assert found.boxes.shape == (0, 4)


@pytest.mark.parametrize(("passed", "count"), [(0.3, 1), (0.9, 2)])
def test_basins_join_over_a_high_pass(passed: float, count: int) -> None:
    depth = np.array([[1, 4, 9, 5, 8, 3, 1]], np.float32).repeat(3, axis=0)
    basins = basins_of(depth)
    assert len(np.unique(basins)) == 2
    assert len(np.unique(join_basins(basins, depth, passed))) == count
