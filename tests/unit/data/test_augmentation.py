import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from likewise.data.augmentation import Augmentation, Crop, mirror_labels, random_crop
from support import fakes


def test_mirroring_exchanges_left_and_right_parts() -> None:
    labels = np.array([[14, 15, 3, 255]], np.uint8)
    assert mirror_labels(labels, ((14, 15),)).tolist() == [[255, 3, 14, 15]]


def marked() -> tuple[np.ndarray, np.ndarray]:
    """An image whose red channel is its label map."""
    labels = np.zeros((40, 60), np.uint8)
    labels[10:25, 5:20] = 200
    return np.stack([labels] * 3, axis=2), labels


@settings(deadline=None)  # the first call loads torchvision
@given(st.integers(0, 2**32 - 1))
def test_image_and_labels_move_together(seed: int) -> None:
    image, labels = Augmentation(crop=32, mirror=0.5)(*marked(), seed)
    assert image.shape == (32, 32, 3)
    np.testing.assert_array_equal(image[..., 0], labels)


def test_a_scaled_pair_still_agrees_but_for_the_edge() -> None:
    for seed in range(10):
        image, labels = Augmentation(scale=(0.5, 2.0), mirror=0)(*marked(), seed)
        assert image.shape[:2] == labels.shape
        assert ((image[..., 0] > 100) != (labels == 200)).mean() < 0.05
        assert set(np.unique(labels)) == {0, 200}


def test_a_crop_beyond_the_image_is_filled_with_ignored_pixels() -> None:
    image, labels = Augmentation(crop=80, mirror=0)(*marked(), 3)
    assert labels.shape == (80, 80)
    assert (labels != 255).sum() <= 40 * 60
    inside = labels != 255
    assert (labels[inside] == 200).sum() == 15 * 15
    assert set(np.unique(image[~inside])) == {int(marked()[0].mean())}


def test_mirroring_happens_as_often_as_asked_and_swaps_the_pairs() -> None:
    labels = np.array([[1, 2, 3]], np.uint8)
    image = np.repeat(labels[..., None], 3, axis=2)
    always = Augmentation(mirror=1.0, pairs=((1, 2),))(image, labels, 0)
    assert always[1].tolist() == [[3, 1, 2]]
    assert always[0][..., 0].tolist() == [[3, 2, 1]]
    assert Augmentation(mirror=0.0)(image, labels, 0)[1].tolist() == [[1, 2, 3]]


def test_the_same_seed_gives_the_same_pair_and_no_global_generator_moves() -> None:
    augment = Augmentation(scale=(0.5, 2.0), crop=24, jitter=0.4)
    pair = fakes.noise(5), fakes.block(1, 5)
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = augment(*pair, 11), augment(*pair, 11), augment(*pair, 12)
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any()


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
