"""Bilinear resizing against torch's."""

import numpy as np
import pytest
import torch

from likewise.ops.bilinear import resize_bilinear


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(
    ("size", "other"),
    [((10, 15), (64, 81)), ((37, 21), (17, 55)), ((1, 1), (4, 3)), ((5, 6), (5, 6)), ((9, 4), (1, 1))],
)
def test_resizing_equals_torch(size: tuple[int, int], other: tuple[int, int], align_corners: bool) -> None:
    planes = np.random.default_rng(0).random((2, *size), dtype=np.float32)
    tensor = torch.from_numpy(planes)[None]
    expected = torch.nn.functional.interpolate(tensor, other, mode="bilinear", align_corners=align_corners)[0].numpy()
    found = resize_bilinear(planes, other, align_corners=align_corners)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=5e-6)


def test_the_planes_given_are_not_returned_themselves() -> None:
    planes = np.zeros((1, 3, 3), np.float32)
    resize_bilinear(planes, (3, 3))[:] = 1
    assert not planes.any()
