"""The co-attention against a literal form of the paper's equations."""

import torch
import torch.nn.functional as F

from likewise.models.blocks.coattention import CoAttention, co_attention


def plain_correlate(level, features, vectors) -> torch.Tensor:
    """One image's correlation: the whole HW x HW matrix, its sorted channels, and the convolution."""
    unit = F.normalize(features, dim=0).flatten(1)
    maps = F.normalize(torch.stack([vector @ unit for vector in vectors]), dim=1)
    agreement = torch.stack([sum(a @ b for b in maps) for a in maps])
    fused = sum(weight * m for weight, m in zip(agreement.softmax(0), maps, strict=True))
    attention = (fused - fused.min()) / (fused.max() - fused.min() + 1e-12)
    correlation = unit.T @ unit
    channels = [attention * correlation[position] for position in attention.argsort(descending=True, stable=True)]
    return level.correlation(torch.stack(channels)[:, :, None])[:, :, 0]


def test_reordering_the_features_equals_reordering_the_self_correlation():
    torch.manual_seed(0)
    level = CoAttention(16, width=12).double()
    torch.nn.init.normal_(level.correlation.bias)
    features = torch.randn(20, 14, 14, dtype=torch.float64)
    vectors = F.normalize(torch.randn(5, 20, dtype=torch.float64), dim=1)
    ours, theirs = level.correlate(features, vectors).T, plain_correlate(level, features, vectors)
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-13)


def test_the_order_of_positions_does_not_depend_on_the_order_of_a_large_group():
    generator = torch.Generator().manual_seed(0)
    unit = F.normalize(torch.randn(784, 64, generator=generator), dim=1)
    vectors = F.normalize(torch.randn(1000, 64, generator=generator), dim=1)
    order = co_attention(unit, vectors).argsort()
    for _ in range(5):
        shuffled = vectors[torch.randperm(1000, generator=generator)]
        assert torch.equal(co_attention(unit, shuffled).argsort(), order)
