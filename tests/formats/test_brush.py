"""Brush masks have the bytes of Label Studio's own converter, for any mask."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from likewise.io.annotations.label_studio import decode_brush, encode_brush

brush = pytest.importorskip("label_studio_sdk.converter.brush")


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    """Masks with runs of any length: each pixel of a small one is a block of pixels."""
    mask = draw(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12)))
    return np.repeat(np.repeat(mask, draw(st.integers(1, 40)), axis=0), draw(st.integers(1, 40)), axis=1)


@settings(max_examples=500, deadline=None)
@given(masks())
def test_a_brush_is_written_and_read_with_the_same_bytes(mask: np.ndarray) -> None:
    coded = encode_brush(mask)
    assert coded == brush.mask2rle(mask.astype(np.uint8) * 255)
    np.testing.assert_array_equal(decode_brush(coded, (mask.shape[0], mask.shape[1])), mask)
    decoded = np.reshape(brush.decode_rle(coded), (*mask.shape, 4))
    np.testing.assert_array_equal(decoded[..., 3] > 0, mask)


def test_runs_longer_than_a_length_holds_are_split_equally() -> None:
    for count in (1, 1 << 14, (1 << 14) + 1, 3 << 14):
        mask = np.ones((1, count), bool)
        assert encode_brush(mask) == brush.mask2rle(mask.astype(np.uint8) * 255)
        assert decode_brush(encode_brush(mask), mask.shape).all()
