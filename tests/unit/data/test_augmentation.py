import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from likewise.data.augmentation import Augmentation, mirror_labels
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
