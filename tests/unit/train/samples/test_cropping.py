"""Random crops: the same crop of an image, its map and its mask."""

import numpy as np
import pytest

from likewise.train.samples.cropping import Crop, random_crop


def ramp(height: int = 40, width: int = 80) -> np.ndarray:
    """An image whose red is the row and whose green is the column."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return np.stack([rows, columns, np.zeros_like(rows)], axis=2)


def test_the_full_crop_is_the_resized_image():
    whole = Crop(0.0, 0.0, 1.0, 1.0, mirrored=False)
    np.testing.assert_array_equal(whole.apply(ramp(40, 40), 40), ramp(40, 40))
    assert whole.apply(ramp(), 20).shape == (20, 20, 3)


def test_a_mirrored_crop_is_the_crop_mirrored():
    plain, mirrored = (Crop(0.2, 0.1, 0.5, 0.5, mirrored) for mirrored in (False, True))
    np.testing.assert_array_equal(mirrored.apply(ramp(), 16), plain.apply(ramp(), 16)[:, ::-1])


def test_image_and_labels_are_cropped_at_the_same_place():
    crop = Crop(0.25, 0.5, 0.5, 0.25, mirrored=True)
    pixels, labels = crop.apply(ramp(), 10), crop.apply((ramp()[..., 1] >= 50).astype(np.uint8), 10, labels=True)
    certain = abs(pixels[..., 1].astype(int) - 50) > 1
    np.testing.assert_array_equal(labels[certain], (pixels[..., 1] >= 50)[certain])
    assert 0 < labels.sum() < labels.size
    assert pixels[..., 0].min() >= 9
    assert pixels[..., 0].max() <= 30


def test_labels_get_no_new_values():
    labels = np.random.default_rng(0).choice(np.uint8([0, 1, 255]), (30, 30))
    assert set(np.unique(Crop(0.1, 0.1, 0.7, 0.7, False).apply(labels, 57, labels=True))) == {0, 1, 255}


@pytest.mark.parametrize("minimum", [0.5, 1.0])
def test_random_crops_lie_inside_and_keep_the_minimum_share(minimum):
    generator = np.random.default_rng(0)
    crops = [random_crop(minimum, 0.5, generator) for _ in range(200)]
    for crop in crops:
        assert minimum <= crop.height <= 1
        assert minimum <= crop.width <= 1
        assert 0 <= crop.top <= 1 - crop.height + 1e-9
        assert 0 <= crop.left <= 1 - crop.width + 1e-9
    assert 60 < sum(crop.mirrored for crop in crops) < 140
