"""Every way to a product, and which is taken."""

import pytest
import torch

from likewise.ops.hypercorrelation.fast import products


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("way", ["by_matmul", "by_fused_linear"])
@pytest.mark.parametrize("count", [1, 6, 7])
def test_every_way_to_a_product_gives_it(way, count):
    support, query = torch.randn(count, 16), torch.randn(5, 16)
    found = getattr(products, way)(support, query)
    torch.testing.assert_close(found, (support @ query.T).clamp_min(0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("faster", ["by_matmul", "by_fused_linear"])
def test_the_way_to_a_product_is_the_one_that_was_measured_fastest(faster, monkeypatch):
    monkeypatch.setattr(products, "seconds", lambda way, support, query: 2.0 - (way.__name__ == faster))
    products.fastest_way.cache_clear()
    try:
        chosen = products.fastest_way(torch.device("cpu"), torch.float32, 1)
    finally:
        products.fastest_way.cache_clear()
    assert chosen is getattr(products, faster)
