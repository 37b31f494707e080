"""Connected pieces, against scipy's labelling of each value."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from likewise.io.components import label_pieces


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3)))
@pytest.mark.parametrize("diagonal", [True, False])
def test_pieces_are_those_of_each_value(diagonal: bool, labels: np.ndarray) -> None:
    found = label_pieces(labels, diagonal=diagonal)
    assert ((found > 0) == (labels > 0)).all()
    total = 0
    for value in (1, 2, 3):
        expected, count = ndimage.label(labels == value, np.ones((3, 3)) if diagonal else None)
        total += count
        for index in range(1, count + 1):
            assert len(np.unique(found[expected == index])) == 1
    assert found.max(initial=0) == total


def test_pieces_are_numbered_in_the_order_of_their_first_pixel() -> None:
    np.testing.assert_array_equal(label_pieces(np.array([[0, 2, 0, 1], [1, 0, 0, 1]])), [[0, 1, 0, 2], [3, 0, 0, 2]])
    np.testing.assert_array_equal(label_pieces(np.eye(2, dtype=bool)), np.eye(2))
