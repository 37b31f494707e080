"""What convolutions read, against torch's."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from likewise.ops.hypercorrelation.products import first_layer, reads, strided
from likewise.ops.hypercorrelation.supports import SupportLevel

PLANES = [(1, 1), (2, 2), (1, 3), (5, 4), (13, 32)]
KERNELS = [(3, 1), (3, 2), (5, 4)]


@pytest.mark.parametrize(("plane", "kernel"), list(itertools.product(PLANES, KERNELS)))
def test_a_convolution_is_a_product_of_what_it_reads(plane: tuple[int, int], kernel: tuple[int, int]) -> None:
    side, stride = kernel
    generator = np.random.default_rng(0)
    x, weight = generator.normal(size=plane).astype(np.float32), generator.normal(size=(side, side)).astype(np.float32)
    rows, taps, centers = reads(plane, side, stride)
    found = (x.ravel()[rows] * np.append(weight, 0)[taps]).sum(axis=1)
    expected = F.conv2d(*(torch.from_numpy(own)[None, None] for own in (x, weight)), None, stride, side // 2)[0, 0]
    np.testing.assert_allclose(found, expected.numpy().ravel(), atol=1e-5)
    assert strided(plane, stride) == tuple(expected.shape)
    np.testing.assert_array_equal(x.ravel()[centers], x[::stride, ::stride].ravel())


def test_an_output_reads_no_more_than_falls_on_the_plane() -> None:
    assert reads((1, 1), 3, 1).rows.shape == (1, 1)
    assert reads((2, 2), 3, 1).rows.shape == (4, 4)


def level_of(mask: np.ndarray) -> SupportLevel:
    taps = [np.random.default_rng(c).random((c, *mask.shape), np.float32) * mask for c in (2, 3)]
    return SupportLevel.of(taps)


@pytest.mark.parametrize("plane", [(1, 1), (5, 4), (13, 32)])
@pytest.mark.parametrize(("side", "stride"), [(3, 2), (5, 4)])
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_windows_hold_the_features_that_each_output_sees(
    plane: tuple[int, int], side: int, stride: int, share: float
) -> None:
    generator = np.random.default_rng(0)
    mask = (generator.random(plane) < share).astype(np.float32)
    level = level_of(mask)
    operands, window_of = first_layer(level, side, stride)
    features = np.zeros((5, *plane), np.float32)
    features[:, *level.positions.T] = np.concatenate(level.features, axis=1).T
    weight = generator.normal(size=(side, side)).astype(np.float32)
    expected = F.conv2d(
        torch.from_numpy(features)[:, None], torch.from_numpy(weight)[None, None], None, stride, side // 2
    )[:, 0].numpy()
    found = (operands["windows"] * np.append(weight, 0)[operands["taps"]][..., None]).sum(axis=1)
    np.testing.assert_allclose(found[window_of].T.reshape(expected.shape), expected, atol=1e-5)
    assert operands["outputs"] == len(window_of) == expected[0].size
    assert not operands["windows"][-1].any()
    centers = np.zeros((len(operands["windows"]), 5), np.float32)
    centers[operands["at"]] = operands["centers"]
    np.testing.assert_array_equal(centers[window_of].T.reshape(expected.shape), features[:, ::stride, ::stride])


def test_foreground_that_no_output_sees_has_no_window() -> None:
    mask = np.zeros((32, 32), np.float32)
    mask[31, 31] = 1  # the last output is at 28 and sees up to 30
    operands, window_of = first_layer(level_of(mask), 5, 4)
    assert operands["windows"].shape[0] == 1
    assert not operands["centers"].any()
    assert not window_of.any()
