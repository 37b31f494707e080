"""Hypercorrelations against a loop over pairs."""

import itertools

import pytest
import torch

from likewise.ops.hypercorrelation.correlation import (
    CenterPivotConv4d,
    correlate,
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
