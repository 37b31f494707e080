"""Random parts: the same part of an image, its map and its mask."""

import numpy as np
import pytest

from likewise.train.samples.cropping import Crop, random_crop


def ramp(height: int = 40, width: int = 80) -> np.ndarray:
    """An image whose red is the row and whose green is the column."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return np.stack([rows, columns, np.zeros_like(rows)], axis=2)


def test_the_whole_is_the_image_at_the_wanted_size():
    whole = Crop(0.0, 0.0, 1.0, 1.0, mirrored=False)
    np.testing.assert_array_equal(whole.of(ramp(40, 40), 40), ramp(40, 40))
    assert whole.of(ramp(), 20).shape == (20, 20, 3)


def test_a_mirrored_part_is_the_part_turned_round():
    plain, mirrored = (Crop(0.2, 0.1, 0.5, 0.5, mirrored) for mirrored in (False, True))
    np.testing.assert_array_equal(mirrored.of(ramp(), 16), plain.of(ramp(), 16)[:, ::-1])


def test_image_and_labels_show_the_same_part():
    part = Crop(0.25, 0.5, 0.5, 0.25, mirrored=True)
    pixels, labels = part.of(ramp(), 10), part.of((ramp()[..., 1] >= 50).astype(np.uint8), 10, labels=True)
    sure = abs(pixels[..., 1].astype(int) - 50) > 1
    np.testing.assert_array_equal(labels[sure], (pixels[..., 1] >= 50)[sure])
    assert 0 < labels.sum() < labels.size
    assert pixels[..., 0].min() >= 9
    assert pixels[..., 0].max() <= 30


def test_labels_get_no_new_values():
    labels = np.random.default_rng(0).choice(np.uint8([0, 1, 255]), (30, 30))
    assert set(np.unique(Crop(0.1, 0.1, 0.7, 0.7, False).of(labels, 57, labels=True))) == {0, 1, 255}


@pytest.mark.parametrize("least", [0.5, 1.0])
def test_random_parts_lie_inside_and_keep_the_least_share(least):
    generator = np.random.default_rng(0)
    parts = [random_crop(least, 0.5, generator) for _ in range(200)]
    for part in parts:
        assert least <= part.height <= 1
        assert least <= part.width <= 1
        assert 0 <= part.top <= 1 - part.height + 1e-9
        assert 0 <= part.left <= 1 - part.width + 1e-9
    assert 60 < sum(part.mirrored for part in parts) < 140
