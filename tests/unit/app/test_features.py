"""The cache of features."""

import numpy as np
import pytest

from likewise.app.features import FeatureCache
from likewise.engine.protocol import Features


@pytest.fixture
def features():
    generator = np.random.default_rng(0)
    levels = [generator.random((1, 8, 6, 5), np.float32), generator.random((1, 16, 3, 2), np.float32)]
    return Features(levels, generator.random((1, 4, 3, 2), np.float32))


def test_features_are_kept_in_half_precision(tmp_path, features):
    cache = FeatureCache(tmp_path / "model")
    assert "a" not in cache
    assert None not in cache
    assert cache.get("a") is None
    cache.put("a", features)
    for one in (cache, FeatureCache(tmp_path / "model")):
        assert "a" in one
        found = one.get("a")
        for level, own in zip(found.levels, features.levels, strict=True):
            assert level.dtype == np.float32
            np.testing.assert_allclose(level, own, atol=1e-3)
        np.testing.assert_allclose(found.semantic, features.semantic, atol=1e-3)


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_or_deleted_file_counts_as_absent(tmp_path, features, damage):
    cache = FeatureCache(tmp_path / "model")
    cache.put("a", features)
    if damage is None:
        (tmp_path / "model/a").unlink()
    else:
        (tmp_path / "model/a").write_bytes(damage)
    assert cache.get("a") is None
    assert "a" not in cache
    cache.put("a", features)
    assert cache.get("a") is not None


def test_a_full_cache_takes_no_more(tmp_path, features, monkeypatch):
    monkeypatch.setattr("likewise.app.features.MOST_BYTES", 3000)
    cache = FeatureCache(tmp_path / "model")
    for name in "abcd":
        cache.put(name, features)
    assert "a" in cache
    assert "d" not in cache
    assert sum(path.stat().st_size for path in (tmp_path / "model").iterdir()) <= 3000


def test_features_of_other_images_and_models_are_dropped(tmp_path, features):
    FeatureCache(tmp_path / "old model").put("a", features)
    cache = FeatureCache(tmp_path / "model")
    cache.put("a", features)
    cache.put("b", features)
    cache.keep_only({"b", "c"})
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert "a" not in cache
    assert cache.get("b") is not None
