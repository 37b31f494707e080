"""Group norm of levels with their channels last, against the same in double precision."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from likewise.ops.hypercorrelation.fast import operators
from likewise.ops.hypercorrelation.fast.norms import Moments, merge_moments, moments, normalise, scaled


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(autouse=True, params=[True, False], ids=["fast", "documented operators"])
def _fast(request, monkeypatch):
    monkeypatch.setattr(operators, "FAST", request.param)


def level(channels: int, *axes: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    x = 1.5 + torch.randn(1, channels, *axes)
    return x.to(dtype, memory_format=torch.channels_last_3d)


def exact(norm: nn.GroupNorm, x: torch.Tensor) -> Moments:
    values = x.double().reshape(norm.num_groups, -1)
    return Moments(values.mean(dim=1), values.var(dim=1, correction=0), x[0, 0].numel())


LEVELS = {
    "large": (16, 9, 8, 2500),
    "of an odd number of positions": (16, 7, 7, 625),
    "of a prime number of positions": (8, 1, 1, 2503),
    "deep": (128, 2, 2, 625),
    "of one position": (8, 1, 1, 1),
    "wider than a row": (2048, 1, 2, 3),
}


@pytest.mark.parametrize("shape", LEVELS.values(), ids=LEVELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_moments_are_those_of_double_precision(shape, dtype):
    norm, x = nn.GroupNorm(4, shape[0]), level(*shape, dtype=dtype)
    found, expected = moments(norm, x), exact(norm, x)
    assert found.positions == expected.positions
    torch.testing.assert_close(found.mean.double(), expected.mean, rtol=5e-6, atol=1e-7)
    torch.testing.assert_close(found.variance.double(), expected.variance, rtol=5e-6, atol=1e-7)


def test_moments_of_parts_of_any_size_make_those_of_the_whole():
    norm, x = nn.GroupNorm(4, 16), level(16, 3, 5, 700)
    found = merge_moments([moments(norm, part) for part in x.split([1, 300, 399], dim=4)])
    expected = exact(norm, x)
    assert found.positions == expected.positions
    torch.testing.assert_close(found.mean.double(), expected.mean, rtol=5e-6, atol=1e-7)
    torch.testing.assert_close(found.variance.double(), expected.variance, rtol=5e-6, atol=1e-7)


def test_of_parts_that_are_almost_the_same_the_variance_is_not_lost():
    norm = nn.GroupNorm(1, 1)
    parts = [torch.full((1, 1, 1, 1, count), value) for count, value in ((3, 1.0), (70, 1.0 + 2**-12), (0, 5.0))]
    found = merge_moments(
        [moments(norm, part) if part.numel() else Moments(*torch.tensor([[5.0], [0.0]]), 0) for part in parts]
    )
    share = 3 / 73
    expected = share * (1 - share) * 2**-24
    assert found.variance.item() == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_level_is_normalised_as_by_group_norm(dtype):
    norm = nn.GroupNorm(4, 16)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = level(16, 3, 4, 500, dtype=dtype)
    with torch.inference_mode():
        found = normalise(norm.to(dtype), x)
    weight, bias = norm.weight.double(), norm.bias.double()
    expected = F.group_norm(x.double().contiguous(), 4, weight, bias, norm.eps).relu()
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", LEVELS.values(), ids=LEVELS)
def test_a_level_less_a_constant_is_scaled_as_one_of_double_precision(shape):
    norm, x = nn.GroupNorm(4, shape[0]), level(*shape)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    less = torch.randn(shape[0])
    with torch.inference_mode():
        found = scaled(norm, x, moments(norm, x), less=less)
    weight, bias = norm.weight.double(), norm.bias.double() - less
    expected = F.group_norm(x.double().contiguous(), 4, weight, bias, norm.eps)
    assert found.shape == x.shape
    assert found.is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
