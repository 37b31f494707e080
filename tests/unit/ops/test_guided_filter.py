"""The guided filter against kornia's and against a loop over windows."""

import numpy as np
import pytest
import torch
from kornia.filters import guided_blur

from likewise.ops.guided_filter import box_mean, guided_filter, sampled_positions


def test_box_mean_equals_a_loop_over_windows() -> None:
    planes = np.random.default_rng(0).random((2, 7, 9))
    for side in (1, 2, 3, 6):
        before = (side - 1) // 2
        padded = np.pad(planes, [(0, 0), (before, side - 1 - before), (before, side - 1 - before)], mode="edge")
        expected = [
            [[plane[y : y + side, x : x + side].mean() for x in range(9)] for y in range(7)] for plane in padded
        ]
        np.testing.assert_allclose(box_mean(planes, side), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("height", "width", "window", "subsample"),
    [(120, 160, 13, 1), (120, 161, 13, 2), (97, 53, 11, 3), (1, 40, 3, 1), (33, 70, 5, 4), (2, 2, 9, 5)],
)
def test_the_filter_equals_kornia(height: int, width: int, window: int, subsample: int) -> None:
    generator = np.random.default_rng(0)
    ramp = np.linspace(0, 0.8, width, dtype=np.float32)
    guide = 0.2 * generator.random((3, height, width), dtype=np.float32) + ramp
    maps = generator.random((2, height, width), dtype=np.float32)
    expected = guided_blur(
        torch.from_numpy(guide)[None].double(),
        torch.from_numpy(maps)[None].double(),
        window,
        1e-3,
        border_type="replicate",
        subsample=subsample,
    )[0]
    found = guided_filter(guide, maps, window=window, epsilon=1e-3, subsample=subsample)
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-6)


def test_a_constant_map_stays_constant() -> None:
    guide = np.random.default_rng(0).random((3, 20, 30), dtype=np.float32)
    found = guided_filter(guide, np.full((1, 20, 30), 0.25, np.float32), window=5, epsilon=1e-4, subsample=2)
    np.testing.assert_allclose(found, 0.25, atol=1e-6)


def test_every_axis_keeps_at_least_one_sample_inside() -> None:
    for length in range(1, 30):
        for subsample in range(1, 12):
            positions = sampled_positions(length, subsample)
            assert len(positions) == max(length // subsample, 1)
            assert positions.min() >= 0
            assert positions.max() < length
