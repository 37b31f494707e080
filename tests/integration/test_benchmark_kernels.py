"""`benchmarks/kernels.py`: HSNet's 4D kernels against slow, obvious loops, and their costs."""

import itertools

import numpy as np
import pytest
import torch
from benchmarks import kernels
from benchmarks.kernels import KERNELS, FullConv4d, SeparableConv4d, full_kernel

from likewise.models import hsnet
from likewise.ops.hypercorrelation.correlation import CenterPivotConv4d


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


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_network_with_any_kernel_segments(kernel):
    model = kernels.with_kernel(hsnet.lite0(), kernel).eval()
    assert isinstance(model.squeeze8[0], KERNELS[kernel])
    with torch.inference_mode():
        assert model(torch.rand(1, 1, 3, 64, 64), torch.ones(1, 1, 64, 64), torch.rand(1, 3, 64, 64)).isfinite().all()


def test_parameters_and_arithmetic_are_counted():
    cost = kernels.measure("center-pivot", "lite0", 32, 1, "cpu", torch.get_num_threads())
    model = hsnet.lite0()
    assert cost.parameters == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert cost.seconds > 0
    # the last convolution alone: 64 -> 2 channels, 3x3, at 8x8
    assert cost.flops > 2 * 64 * 2 * 9 * 64


def test_the_full_kernel_costs_more_than_center_pivot():
    full, pivot = (
        kernels.measure(kernel, "lite0", 64, 1, "cpu", torch.get_num_threads()) for kernel in ("full", "center-pivot")
    )
    assert full.parameters > 4 * pivot.parameters
    assert full.flops > 3 * pivot.flops
    assert (full.memory is None) == (pivot.memory is None)


def test_memory_is_none_where_the_system_does_not_report_it(monkeypatch):
    monkeypatch.setattr(kernels, "STATUS", kernels.STATUS / "nowhere")
    assert kernels.process_memory("VmHWM") is None


@pytest.mark.parametrize("kernel", ["center-pivot", "separable"])
def test_a_cheap_kernel_equals_the_full_kernel_with_its_weights(kernel):
    assert 0 <= kernels.largest_difference(kernel) < 1e-5


def test_the_table_of_the_paper_has_every_kernel():
    assert kernels.PAPER.keys() == KERNELS.keys()


@pytest.mark.slow
def test_a_new_process_measures_the_same_network_and_its_memory():
    choice = ("center-pivot", "lite0", 32, 1, "cpu")
    apart, here = kernels.measure_apart(*choice), kernels.measure(*choice, torch.get_num_threads())
    assert (apart.parameters, apart.flops) == (here.parameters, here.flops)
    assert apart.seconds > 0
    assert (apart.memory is None) == (not kernels.STATUS.is_file())


def test_each_kernel_stands_beside_the_numbers_of_the_paper(capsys, monkeypatch):
    def measure_here(*choice):
        return kernels.measure(*choice, torch.get_num_threads())

    monkeypatch.setattr(kernels, "measure_apart", measure_here)  # a process for each kernel takes five seconds
    kernels.main(["--backbone", "lite0", "--size", "32", "--repeats", "1"])
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if " ms " in line]
    assert [row.split()[0] for row in rows[::2]] == ["full", "separable", "center-pivot"]
    for row, flops in zip(rows[1::2], ("702.35 G", "28.40 G", "20.56 G"), strict=True):
        assert row.split()[0] == "paper"
        assert flops in row
    assert sum("largest relative difference" in line for line in lines) == 2
