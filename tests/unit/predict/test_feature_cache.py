"""A cache of backbone features returns what the backbone computes, within its memory."""

import pytest
import torch

from likewise.predict.feature_cache import CachedBackbone
from likewise.weights.load import open_model
from likewise.weights.names import FEW_SHOT


@pytest.fixture(scope="module")
def backbone() -> torch.nn.Module:
    return open_model("panet-lite0", FEW_SHOT).network.backbone


def test_cached_features_equal_the_backbones_and_stay_within_the_limit(backbone: torch.nn.Module) -> None:
    images = torch.randn((3, 3, 64, 96), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        one = sum(level.nbytes for level in backbone(images[:1]))
        cached = CachedBackbone(backbone, 2 * one)
        for _ in range(2):
            for level, expected in zip(cached(images[1:]), backbone(images[1:]), strict=True):
                torch.testing.assert_close(level, expected, rtol=1e-3, atol=1e-4)  # batch sizes round differently
        assert cached.passes == 2
        cached(images)
    assert len(cached.cache) == 2
    assert cached.cache.currsize == 2 * one
