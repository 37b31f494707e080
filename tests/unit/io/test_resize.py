import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from likewise.io.resize import cell_means, resize_grey, resize_image, resize_labels
from support import fakes


def ramp(height: int, width: int) -> np.ndarray:
    """A map in which no two neighbours are equal, so that every choice of a pixel shows."""
    return ((np.arange(height)[:, None] * 31 + np.arange(width) * 7) % 256).astype(np.uint8)


@settings(deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([1, 5, 37, 60, 100]))
def test_labels_are_resized_as_torch_and_pillow_do(height: int, width: int, size: int) -> None:
    labels = ramp(height, width)
    tensor = torch.from_numpy(labels)[None, None].float()
    by_torch = torch.nn.functional.interpolate(tensor, (size, size), mode="nearest")[0, 0].numpy()
    np.testing.assert_array_equal(resize_labels(labels, size, size, "floor"), by_torch)
    by_pillow = np.asarray(Image.fromarray(labels).resize((size, size), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(resize_labels(labels, size, size, "centre"), by_pillow)


@pytest.mark.parametrize("side", [281, 320, 333, 375, 427, 480, 500, 640])
def test_labels_of_usual_images_become_400_as_torch_does(side: int) -> None:
    labels = ramp(side, 500)
    tensor = torch.from_numpy(labels)[None, None].float()
    by_torch = torch.nn.functional.interpolate(tensor, (400, 400), mode="nearest")[0, 0].numpy()
    np.testing.assert_array_equal(resize_labels(labels, 400, 400), by_torch)


def test_images_and_grey_maps_take_height_then_width() -> None:
    assert resize_image(fakes.noise(0, 6, 8), 3, 5).shape == (3, 5, 3)
    assert resize_grey(ramp(6, 8), 3, 5).shape == (3, 5)


def test_a_cell_has_the_mean_of_its_pixels() -> None:
    plane = np.array([[1, 0, 0, 0], [0, 0, 1, 1]], bool)
    np.testing.assert_array_equal(cell_means(plane, (1, 4)), [[0.5, 0, 0.5, 0.5]])
    np.testing.assert_array_equal(cell_means(3 * plane.astype(np.float32), (2, 2)), [[1.5, 0], [0, 3]])
