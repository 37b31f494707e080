"""`benchmarks/kernels.py`: costs of the 4D kernels of HSNet."""

import pytest
import torch
from benchmarks import kernels

from likewise.models import hsnet
from likewise.ops.hypercorrelation.kernels import KERNELS


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
def test_each_kernel_stands_beside_the_numbers_of_the_paper(capsys):
    kernels.main(["--backbone", "lite0", "--size", "32", "--repeats", "1"])
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if " ms " in line]
    assert [row.split()[0] for row in rows[::2]] == ["full", "separable", "center-pivot"]
    for row, flops in zip(rows[1::2], ("702.35 G", "28.40 G", "20.56 G"), strict=True):
        assert row.split()[0] == "paper"
        assert flops in row
    assert sum("largest relative difference" in line for line in lines) == 2
