"""What is measured of HSNet's kernels."""

import pytest
import torch

from likewise.evaluate import kernels
from likewise.models import hsnet
from likewise.ops.hypercorrelation.kernels import KERNELS


def test_parameters_and_arithmetic_are_counted():
    cost = kernels.measure("center-pivot", "lite0", 32, 1, "cpu", torch.get_num_threads())
    model = hsnet.lite0()
    assert cost.parameters == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert cost.seconds > 0
    # the last convolution alone: 64 -> 2 channels, 3x3, at 8x8
    assert cost.flops > 2 * 64 * 2 * 9 * 64


def test_a_dearer_kernel_has_more_of_everything():
    full, pivot = (kernels.measure_apart(kernel, "lite0", 64, 1) for kernel in ("full", "center-pivot"))
    assert full.parameters > 4 * pivot.parameters
    assert full.flops > 3 * pivot.flops
    assert (full.memory is None) == (pivot.memory is None)


def test_memory_is_not_told_where_the_system_does_not_tell(monkeypatch):
    monkeypatch.setattr(kernels, "STATUS", kernels.STATUS / "nowhere")
    assert kernels.status_of_process("VmHWM") is None


@pytest.mark.parametrize("kernel", ["center-pivot", "separable"])
def test_a_cheap_kernel_and_the_full_one_with_its_weights_agree(kernel):
    assert 0 <= kernels.largest_difference(kernel) < 1e-5


def test_the_paper_has_the_kernels_that_are_here():
    assert kernels.PAPER.keys() == KERNELS.keys()
