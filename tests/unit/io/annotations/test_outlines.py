"""Masks to polygons."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask
from scipy import ndimage

from likewise.io.annotations.outlines import TOLERANCE, area, join, outline, simplify, single_ring
from likewise.io.annotations.shapes import fill, ring_of

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=16))


@given(MASKS)
def test_an_exact_outline_has_the_pixels_of_the_mask(mask: np.ndarray) -> None:
    polygons = outline(mask, tolerance=0)
    np.testing.assert_array_equal(polygons.mask(mask.shape), mask)
    for rings in polygons.parts:
        assert area(rings[0]) > 0
        assert all(area(hole) < 0 for hole in rings[1:])
    if mask.any():
        np.testing.assert_array_equal(fill([join(polygons)], mask.shape), mask)
    else:
        assert polygons.parts == ()


@given(MASKS)
def test_pycocotools_fills_exact_outlines_without_holes_alike(mask: np.ndarray) -> None:  # words: allow
    filled = ndimage.binary_fill_holes(mask)
    rings = [rings[0].ravel().tolist() for rings in outline(filled, tolerance=0).parts]
    if rings:
        coded = coco_mask.merge(coco_mask.frPyObjects(rings, *mask.shape))
        np.testing.assert_array_equal(coco_mask.decode(coded).astype(bool), filled)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.floats(0.8, 4))
def test_a_simplified_outline_stays_within_a_pixel_of_the_mask(seed: int, blur: float) -> None:
    mask = ndimage.gaussian_filter(np.random.default_rng(seed).random((50, 60)), blur) > 0.5
    polygons = outline(mask)
    found, around = polygons.mask(mask.shape), np.ones((3, 3))
    assert not (ndimage.binary_erosion(mask, around) & ~found).any()
    assert not (found & ~ndimage.binary_dilation(mask, around)).any()
    assert len(polygons.parts) == len(outline(mask, tolerance=0).parts)


def test_a_disc_and_a_diagonal_need_few_corners() -> None:
    rows, columns = np.mgrid[:200, :200]
    disc = (rows - 100) ** 2 + (columns - 100) ** 2 < 80**2
    assert len(single_ring(outline(disc))) < 60
    assert len(single_ring(outline(disc, tolerance=0))) > 200
    triangle = rows > columns
    assert len(single_ring(outline(triangle))) <= 6
    found = outline(disc).mask(disc.shape)
    assert (found & disc).sum() / (found | disc).sum() > 0.98


def test_tiny_rings_keep_their_corners() -> None:
    square = ring_of([0, 0, 1, 0, 1, 1, 0, 1])
    np.testing.assert_array_equal(simplify(square, TOLERANCE), square)


def test_only_one_part_without_holes_is_a_single_ring() -> None:
    mask = np.zeros((9, 9), bool)
    mask[1:8, 1:8] = True
    assert single_ring(outline(mask)) is not None
    mask[4, 4] = False
    assert single_ring(outline(mask)) is None
    assert len(outline(mask).parts[0]) == 2
    mask[:, 4] = False
    assert len(outline(mask).parts) == 2
    assert single_ring(outline(mask)) is None


def test_an_outline_that_turns_back_beyond_its_ends_keeps_its_corner() -> None:
    ring = ring_of([0, 0, -20, 0.4, -20, 0.9, 40, 1, 40, 30, 0, 30])
    assert simplify(ring, 1.0)[:, 0].min() == -20
