import numpy as np
import pytest

from likewise.viz.memory import EMPTY, LOW, MemoryView, draw_memory, memory_lines


@pytest.fixture
def view() -> MemoryView:
    """Three filled classes (sky and sea are similar) and an empty one."""
    similarity = np.array([[1, 0.995, 0, np.nan], [0.995, 1, 0, np.nan], [0, 0, 1, np.nan], [np.nan] * 4])
    return MemoryView(("sky", "sea", "road", "ghost"), np.array([True, True, True, False]), similarity)


def test_lines_name_empty_classes_and_nearest_neighbours(view: MemoryView) -> None:
    lines = memory_lines(view)
    assert lines[0] == "3 of 4 classes filled; empty: ghost"
    assert lines[1:3] == ["sky: nearest is sea (0.995)", "sea: nearest is sky (0.995)"]
    assert len(lines) == 4


def test_a_memory_of_one_class_has_no_neighbour() -> None:
    view = MemoryView(("all",), np.array([True]), np.ones((1, 1)))
    assert memory_lines(view) == ["1 of 1 classes filled"]
    assert draw_memory(view).shape[2] == 3


def colours(image: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(colour) for colour in image.reshape(-1, 3).tolist()}


def test_empty_classes_are_grey_and_the_lowest_cosine_is_palest(view: MemoryView) -> None:
    found = colours(draw_memory(view))
    assert EMPTY in found
    assert tuple(LOW.tolist()) in found
    full = MemoryView(view.classes[:3], view.filled[:3], view.similarity[:3, :3])
    assert EMPTY not in colours(draw_memory(full))


def test_drift_is_drawn_beside_the_similarity(view: MemoryView) -> None:
    drift = np.array([[0.2, 1], [0.9, 1], [np.nan, 1], [np.nan, np.nan]])
    with_drift = MemoryView(view.classes, view.filled, view.similarity, drift, (10, 20))
    assert draw_memory(with_drift).shape[1] > draw_memory(view).shape[1]
