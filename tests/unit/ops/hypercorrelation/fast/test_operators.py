"""Each undocumented operator against the documented one, with and without support for it."""

import pytest
import torch
import torch.nn.functional as F

from likewise.ops.hypercorrelation.fast import operators


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def fail(*arguments: object) -> None:
    raise RuntimeError("could not create a primitive descriptor")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("switched_on", [True, False])
def test_the_convolution_equals_that_of_torch(switched_on, dtype, monkeypatch):
    monkeypatch.setattr(operators, "FAST", switched_on)
    x, weight, bias = (
        torch.randn(1, 6, 5, 4, 3).to(dtype),
        torch.randn(8, 6, 3, 3, 1).to(dtype),
        torch.randn(8).to(dtype),
    )
    with torch.inference_mode():
        found = operators.convolve3d(x, weight, bias, (2, 2, 1), (1, 1, 0))
        expected = F.conv3d(x.double(), weight.double(), bias.double(), (2, 2, 1), (1, 1, 0))
        # 54 products are added in any order: the error grows with the sum of their absolute values.
        size = F.conv3d(x.double().abs(), weight.double().abs(), bias.double().abs(), (2, 2, 1), (1, 1, 0))
    assert (
        (found.double() - expected).abs() <= 54 * torch.finfo(torch.float32).eps * size + half_step(expected, dtype)
    ).all()


def half_step(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the largest change by rounding to the given precision, doubled for sums halfway between two numbers."""
    return values.abs() * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("switched_on", [True, False])
def test_moments_are_the_mean_and_variance_of_each_column(switched_on, dtype, monkeypatch):
    monkeypatch.setattr(operators, "FAST", switched_on)
    rows = (1.5 + torch.randn(1000, 12)).to(dtype)
    mean, variance = operators.column_moments(rows)
    assert (mean.dtype, variance.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(mean.double(), rows.double().mean(dim=0), rtol=1e-5, atol=0)
    torch.testing.assert_close(variance.double(), rows.double().var(dim=0, correction=0), rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("operator", "is_supported"),
    [
        ("mkldnn_convolution", operators.has_onednn_convolution),
        ("batch_norm_update_stats", lambda: operators.has_column_moments(torch.float32)),
    ],
)
def test_the_documented_operator_replaces_one_that_fails(operator, is_supported, monkeypatch):
    monkeypatch.setattr(torch.ops.aten, operator, fail)
    clear_trials()
    try:
        assert not is_supported()
        x, weight = torch.randn(1, 2, 3, 3, 2), torch.randn(2, 2, 3, 3, 1)
        expected = F.conv3d(x, weight, None, (1, 1, 1), (1, 1, 0))
        torch.testing.assert_close(operators.convolve3d(x, weight, None, (1, 1, 1), (1, 1, 0)), expected)
        mean, _ = operators.column_moments(torch.tensor([[1.0], [3.0]]))
        assert mean.item() == 2
    finally:
        clear_trials()


def clear_trials() -> None:
    operators.has_onednn_convolution.cache_clear()
    operators.has_column_moments.cache_clear()
