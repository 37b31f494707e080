"""Bilinear resizing against torch's."""

import numpy as np
import pytest
import torch

from likewise.ops.bilinear import largest_plane, resize_bilinear


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


@pytest.mark.parametrize(("shape", "size"), [((2, 75, 100), (301, 417)), ((3, 10, 12), (6, 40)), ((4, 1, 1), (7, 9))])
@pytest.mark.parametrize("smooth", [True, False])
def test_the_largest_plane_is_that_of_the_resized_planes(
    shape: tuple[int, ...], size: tuple[int, int], smooth: bool
) -> None:
    planes = np.random.default_rng(0).random(shape, dtype=np.float32)
    if smooth:
        planes = resize_bilinear(planes[:, :3, :3], (shape[1], shape[2]))
    np.testing.assert_array_equal(largest_plane(planes, size), resize_bilinear(planes, size).argmax(axis=0))
    np.testing.assert_array_equal(largest_plane(planes, (shape[1], shape[2])), planes.argmax(axis=0))
