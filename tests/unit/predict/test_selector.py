"""Masks from clicks, boxes and strokes."""

import numpy as np
import pytest

from likewise import ArgumentError, Selector
from support.scenes import scene

IMAGE, DISC = scene()
CENTRE = (65, 55)


@pytest.fixture(scope="module")
def selector() -> Selector:
    return Selector(IMAGE)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum()


def strokes_of(*values: tuple[int, slice, slice]) -> np.ndarray:
    strokes = np.zeros(DISC.shape, np.uint8)
    for value, rows, columns in values:
        strokes[rows, columns] = value
    return strokes


@pytest.mark.parametrize(
    "marks",
    [
        {"points": [CENTRE]},
        {"points": [CENTRE, (5, 5)], "labels": [1, 0]},
        {"box": (38, 28, 92, 82)},
        {"strokes": strokes_of((1, slice(50, 60), slice(60, 70)), (2, slice(0, 5), slice(0, 160)))},
    ],
    ids=["click", "clicks", "box", "strokes"],
)
def test_a_plain_object_is_found_from_any_mark(selector: Selector, marks: dict) -> None:
    mask = selector.mask(**marks)
    assert mask.shape == DISC.shape
    assert mask.dtype == bool
    assert iou(mask, DISC) > 0.9


def test_nothing_outside_a_box_is_the_object(selector: Selector) -> None:
    mask = selector.mask(box=(40, 30, 66, 80))
    assert mask.any()
    assert not mask[:, 66:].any()


@pytest.mark.parametrize(
    ("marks", "named"),
    [
        ({}, "nothing marks the object"),
        ({"points": [CENTRE], "labels": [0]}, "nothing marks the object"),
        ({"points": [(160, 3)]}, "160,3"),
        ({"points": [(0.4, 0.5)]}, "normalised"),
        ({"points": [CENTRE], "labels": [1, 0]}, "1 points"),
        ({"box": (0.2, 0.2, 0.6, 0.7)}, "normalised"),
        ({"strokes": np.ones((3, 3), np.uint8)}, "3 x 3"),
        ({"points": [CENTRE], "previous": np.ones((3, 3), bool)}, "3 x 3"),
    ],
)
def test_impossible_marks_are_refused(selector: Selector, marks: dict, named: str) -> None:
    with pytest.raises(ArgumentError, match=named):
        selector.mask(**marks)
