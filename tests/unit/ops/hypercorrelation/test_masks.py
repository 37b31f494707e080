"""The masks of small objects at every level, and of all objects against torch."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from likewise.ops.hypercorrelation.masks import level_masks, max_pool

PLANES = {stride: (256 // stride, 256 // stride) for stride in (8, 16, 32)}


def small_mask(side: int, at: int = 70) -> np.ndarray:
    mask = np.zeros((1, 256, 256), np.float32)
    mask[:, at : at + side, at : at + side] = 1
    return mask


def pooled(mask: np.ndarray, by: int) -> np.ndarray:
    return F.max_pool2d(torch.from_numpy(mask)[None], by)[0].numpy()


def test_a_mask_that_every_level_holds_is_only_resized():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        masks = level_masks(small_mask(90), PLANES, rescue=True)
    expected = F.interpolate(torch.from_numpy(small_mask(90))[None], size=8, mode="bilinear", align_corners=True)[0]
    np.testing.assert_allclose(masks[32], expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("size", [(400, 400), (352, 464), (375, 500), (256, 240), (33, 47)])
def test_a_mask_shows_at_the_same_positions_as_on_torch(size):
    # 400 -> 50 samples every 57/7 of a pixel: the seventh sample is on pixel 57, or just beyond it by rounding.
    generator = np.random.default_rng(0)
    planes = {stride: (-(-size[0] // stride), -(-size[1] // stride)) for stride in (8, 16, 32)}
    for _ in range(20):
        masks = np.zeros((1, *size), np.float32)
        masks[0, generator.integers(size[0] - 20) :, generator.integers(size[1] - 20) :] = 1
        for stride, level in level_masks(masks, planes, rescue=False).items():
            given = torch.from_numpy(masks)[None]
            expected = F.interpolate(given, size=planes[stride], mode="bilinear", align_corners=True)[0].numpy()
            np.testing.assert_array_equal(level > 0, expected > 0)
            np.testing.assert_allclose(level, expected, atol=1e-5)


@pytest.mark.parametrize("size", [(32, 32), (7, 5), (19, 30), (40, 3)])
def test_pooling_to_any_size_is_torchs(size):
    mask = np.random.default_rng(0).random((33, 29), np.float32)
    expected = F.adaptive_max_pool2d(torch.from_numpy(mask)[None, None], size)[0, 0].numpy()
    np.testing.assert_array_equal(max_pool(mask, size), expected)


def test_a_mask_that_vanishes_at_a_level_is_pooled_from_the_finest_level_that_holds_it():
    mask = small_mask(16, at=78)
    with pytest.warns(UserWarning, match="stride 32; the finest level"):
        masks = level_masks(mask, PLANES, rescue=True)
    assert masks[8].any()
    np.testing.assert_array_equal(masks[32], pooled(masks[8], 4))


def test_a_mask_that_vanishes_at_every_level_is_pooled_from_the_image():
    mask = np.zeros((2, 256, 256), np.float32)
    mask[0, 77, 77] = 1
    mask[1] = small_mask(90)
    with pytest.warns(UserWarning, match="stride 8 and 16 and 32"):
        masks = level_masks(mask, PLANES, rescue=True)
    alone = level_masks(mask[1:], PLANES, rescue=True)
    for stride in (8, 16, 32):
        np.testing.assert_array_equal(masks[stride][:1], pooled(mask[:1], stride))
        np.testing.assert_array_equal(masks[stride][1:], alone[stride])


def test_without_rescue_the_level_stays_empty_as_published():
    with pytest.warns(UserWarning, match="this stride has no correlations"):
        masks = level_masks(small_mask(16, at=78), PLANES, rescue=False)
    assert not masks[32].any()


def test_an_empty_mask_stays_empty_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        masks = level_masks(np.zeros((1, 256, 256), np.float32), PLANES, rescue=True)
    assert not any(level.any() for level in masks.values())
