"""Shapes to masks: pixels whose centres lie inside, against obvious loops and pycocotools."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from pycocotools import mask as coco_mask

from likewise.errors import ImageError
from likewise.io.annotations.shapes import (
    Bitmap,
    Box,
    Polygons,
    bounds,
    ellipse,
    encode,
    encode_counts,
    encode_values,
    fill,
    ring_of,
    turn,
)

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))


def inside(x: float, y: float, ring: np.ndarray) -> bool:
    """Cast a ray to the right."""
    crossings = 0
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
            crossings += 1
    return crossings % 2 == 1


@settings(deadline=None)
@given(hnp.arrays(np.float64, st.tuples(st.integers(3, 7), st.just(2)), elements=st.floats(-3, 13, width=16)))
def test_a_ring_has_the_pixels_whose_centres_lie_inside(ring: np.ndarray) -> None:
    found = fill([ring], (9, 11))
    for row, column in np.ndindex(9, 11):
        edge = distance(column + 0.5, row + 0.5, ring) < 1e-6
        assert edge or found[row, column] == inside(column + 0.5, row + 0.5, ring)


def distance(x: float, y: float, ring: np.ndarray) -> float:
    """Return the distance of a point to the nearest edge."""
    best = np.inf
    for a, b in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        line, point = b - a, np.array([x, y]) - a
        along = np.clip(point @ line / max(line @ line, 1e-12), 0, 1)
        best = min(best, float(np.hypot(*(point - along * line))))
    return best


def test_holes_are_left_out_and_parts_are_united() -> None:
    outer, hole = ring_of([0, 0, 8, 0, 8, 8, 0, 8]), ring_of([2, 2, 5, 2, 5, 5, 2, 5])
    mask = Polygons(((outer, hole), (ring_of([9, 0, 10, 0, 10, 1, 9, 1]),))).mask((10, 12))
    assert mask.sum() == 64 - 9 + 1
    assert not mask[2:5, 2:5].any()
    assert mask[0, 9]
    assert not fill([ring_of([0, 0, 5, 5])], (4, 4)).any()
    assert not fill([], (4, 4)).any()


def test_a_box_is_cut_off_at_the_image() -> None:
    mask = Box((-2.0, 1.4, 3.0, 99.0)).mask((5, 6))
    assert mask[1:, :3].all()
    assert mask.sum() == 12


@given(MASKS)
def test_run_lengths_return_the_mask_and_are_those_of_coco(mask: np.ndarray) -> None:
    runs = encode(mask)
    np.testing.assert_array_equal(runs.mask(mask.shape), mask)
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.concatenate([[flat[0]], flat[1:] != flat[:-1]]))
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    assert encode_counts(counts, mask.shape) == runs


@given(hnp.arrays(np.int64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 4)))
def test_every_value_gets_its_run_lengths(values: np.ndarray) -> None:
    assert encode_values(values) == {value: encode(values == value) for value in np.unique(values).tolist() if value}


def test_ellipses_and_turned_rings_have_the_area_that_they_should() -> None:
    assert fill([ellipse(50, 40, 30, 10)], (80, 100)).sum() == pytest.approx(np.pi * 300, rel=0.01)
    upright = fill([ellipse(50, 40, 30, 10, 90)], (80, 100))
    assert bounds(upright) == (40, 10, 60, 70)
    quarter = turn(ring_of([10, 10, 30, 10, 30, 20, 10, 20]), (10, 10), 90)
    assert bounds(fill([quarter], (50, 50))) == (0, 10, 10, 30), "clockwise on the screen"
    assert bounds(np.zeros((3, 3), bool)) == (0, 0, 0, 0)


def test_a_bitmap_reads_its_file_when_it_is_needed(tmp_path: Path) -> None:
    bitmap = Bitmap(tmp_path / "labels.png", 7)
    with pytest.raises(ImageError):
        bitmap.mask((2, 3))
    Image.fromarray(np.array([[0, 7, 7], [0, 0, 3]], np.uint8)).save(bitmap.path)
    assert bitmap.mask((2, 3)).sum() == 2
    with pytest.raises(ImageError, match="3x2"):
        bitmap.mask((2, 4))


@given(MASKS)
def test_pycocotools_reads_the_counts(mask: np.ndarray) -> None:
    coded = {"size": list(mask.shape), "counts": encode(mask).counts.encode()}
    assert coco_mask.area(coded) == mask.sum()
