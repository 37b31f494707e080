"""Hypercorrelations against a loop over pairs, and the masks of small objects at every level."""

import itertools
import warnings

import pytest
import torch
import torch.nn.functional as F

from likewise.ops.hypercorrelation.correlation import (
    CenterPivotConv4d,
    correlate,
    level_masks,
    over_support_plane,
    unit,
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_correlation_is_the_cosine_of_every_pair_clamped_at_zero():
    query, support = torch.randn(2, 5, 2, 3), torch.randn(2, 5, 4, 2)
    found = correlate([unit(query)], [unit(support)])
    for b, i, j, k, l in itertools.product(range(2), range(2), range(3), range(4), range(2)):
        cosine = torch.cosine_similarity(query[b, :, i, j], support[b, :, k, l], dim=0)
        torch.testing.assert_close(found[b, 0, i, j, k, l], cosine.clamp_min(0), rtol=1e-4, atol=1e-4)


def test_the_unit_of_a_zero_vector_is_zero():
    assert not unit(torch.zeros(1, 3, 2, 2)).any()


def planes_of(size: int) -> dict[int, torch.Size]:
    return {stride: torch.Size((size // stride, size // stride)) for stride in (8, 16, 32)}


def small_mask(side: int, at: int = 70) -> torch.Tensor:
    mask = torch.zeros(1, 256, 256)
    mask[:, at : at + side, at : at + side] = 1
    return mask


def test_a_mask_that_every_level_holds_is_only_resized():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        masks = level_masks(small_mask(90), planes_of(256), rescue=True)
    expected = F.interpolate(small_mask(90)[None], size=8, mode="bilinear", align_corners=True)[0]
    torch.testing.assert_close(masks[32], expected)


def test_a_mask_that_vanishes_at_a_level_is_pooled_from_the_finest_level_that_holds_it():
    mask = small_mask(16, at=78)
    with pytest.warns(UserWarning, match="stride 32; the finest level"):
        masks = level_masks(mask, planes_of(256), rescue=True)
    assert masks[8].any()
    torch.testing.assert_close(masks[32], F.max_pool2d(masks[8], 4))


def test_a_mask_that_vanishes_at_every_level_is_pooled_from_the_image():
    mask = torch.zeros(2, 256, 256)
    mask[0, 77, 77] = 1
    mask[1] = small_mask(90)
    with pytest.warns(UserWarning, match="stride 8 and 16 and 32"):
        masks = level_masks(mask, planes_of(256), rescue=True)
    for stride in (8, 16, 32):
        expected = F.max_pool2d(mask[:1], stride)[0]
        torch.testing.assert_close(masks[stride][0], expected)
        torch.testing.assert_close(masks[stride][1], level_masks(mask[1:], planes_of(256), rescue=True)[stride][0])


def test_without_rescue_the_level_stays_empty_as_published():
    with pytest.warns(UserWarning, match="this stride has no correlations"):
        masks = level_masks(small_mask(16, at=78), planes_of(256), rescue=False)
    assert not masks[32].any()


def test_an_empty_mask_stays_empty_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        masks = level_masks(torch.zeros(1, 256, 256), planes_of(256), rescue=True)
    assert not any(level.any() for level in masks.values())


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 4), (5, 2)])
def test_the_center_pivot_kernel_is_the_published_one(kernel, stride, rule, golden):
    meta, arrays = golden("hsnet_conv4d")
    case = f"k{kernel}s{stride}"
    state = rule.make_state(meta["cases"][case]["entries"], meta["gain"])
    names = {"conv1": "query", "conv2": "support"}
    layer = CenterPivotConv4d(3, 4, kernel=kernel, stride=stride)
    layer.load_state_dict(
        {f"{names[name.split('.')[0]]}.{name.split('.')[1]}": torch.from_numpy(value) for name, value in state.items()}
    )
    x = torch.from_numpy(rule.make_array(*meta["inputs"]["x"][1:]))
    with torch.no_grad():
        torch.testing.assert_close(layer(x), torch.from_numpy(arrays[f"{case}_output"]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("kernel", "stride", "side"), [(3, 2, 1), (5, 4, 1), (5, 4, 2), (3, 1, 2)])
def test_weights_that_meet_padding_only_get_no_gradient(kernel, stride, side, dtype):
    torch.manual_seed(0)
    planes = torch.randn(1, 16, 3, 3, side, side, dtype=dtype)
    layer = torch.nn.Conv2d(16, 32, kernel, stride, padding=kernel // 2, dtype=dtype)
    found = over_support_plane(layer, planes)
    flat = planes[0].flatten(1, 2).movedim(1, 0)
    torch.testing.assert_close(found[0].flatten(1, 2).movedim(1, 0), layer(flat))
    found.float().sum().backward()
    expected = torch.nn.grad.conv2d_weight(
        flat.float(), layer.weight.shape, torch.ones_like(layer(flat)).float(), stride, kernel // 2
    )
    torch.testing.assert_close(layer.weight.grad.float(), expected, rtol=0.02, atol=0.02 * float(expected.abs().max()))
    assert not layer.weight.grad[expected == 0].any()
