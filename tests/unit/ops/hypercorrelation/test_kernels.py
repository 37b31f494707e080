"""4D kernels against slow, obvious loops and the published one."""

import itertools

import numpy as np
import pytest
import torch

from likewise.ops.hypercorrelation.kernels import (
    KERNELS,
    CenterPivotConv4d,
    FullConv4d,
    SeparableConv4d,
    full_kernel,
    over_support_plane,
)


def loop_conv4d(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int) -> np.ndarray:
    """Every output by its definition: the sum over a 4D window, zero beyond the borders."""
    pad = weight.shape[-1] // 2
    padded = np.pad(x, [(0, 0), (0, 0)] + [(pad, pad)] * 4)
    side = weight.shape[-1]
    shape = (*x.shape[2:4], *((n - 1) // stride + 1 for n in x.shape[4:]))
    out = np.zeros((x.shape[0], weight.shape[0], *shape))
    for a, b, c, d in itertools.product(*map(range, shape)):
        starts = (a, b, c * stride, d * stride)
        window = padded[(slice(None), slice(None), *(slice(at, at + side) for at in starts))]
        out[:, :, a, b, c, d] = np.einsum("bcijkl,ocijkl->bo", window, weight) + bias
    return out


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


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 4)])
def test_the_full_kernel_is_a_4d_convolution(kernel, stride):
    layer = FullConv4d(2, 3, kernel=kernel, stride=stride).double()
    x = torch.randn(2, 2, 3, 4, 6, 5, dtype=torch.float64)
    with torch.no_grad():
        expected = loop_conv4d(x.numpy(), layer.weight.numpy(), layer.bias.numpy(), stride)
        torch.testing.assert_close(layer(x), torch.from_numpy(expected))


@pytest.mark.parametrize("name", ["center-pivot", "separable"])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 4)])
def test_a_full_kernel_with_the_same_weights_agrees(name, kernel, stride):
    layer = KERNELS[name](2, 3, kernel=kernel, stride=stride).double()
    x = torch.randn(2, 2, 4, 3, 6, 5, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(full_kernel(layer).double()(x), layer(x))


def test_a_full_kernel_takes_planes_smaller_than_itself():
    layer = CenterPivotConv4d(2, 3, kernel=5, stride=4).double()
    x = torch.randn(1, 2, 1, 2, 1, 1, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(full_kernel(layer).double()(x), layer(x))


def test_the_separable_kernel_has_no_bias_that_padding_would_cut_off():
    assert SeparableConv4d(2, 3, kernel=3).support.bias is None


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
