from dataclasses import dataclass, replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from likewise.engine.protocol import Features
from likewise.errors import WeightsError
from likewise.ops.presence import World
from likewise.predict.worlds import load_world, save_world
from likewise.weights.names import MODELS


@dataclass
class Extractor:
    name: str = "lite0@x"
    fingerprint: str = "abc"
    multiple: int = 32
    channels: int = 5
    semantic_channels: int = 3
    engine: str = "onnx"

    def levels(self, images: np.ndarray) -> list[np.ndarray]:
        raise AssertionError

    def features(self, images: np.ndarray) -> Features:
        raise AssertionError("no features are needed")


EXTRACTOR = Extractor()
WORLD = World(np.arange(3, dtype=np.float32), np.eye(3, dtype=np.float32))


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "a.world"
    save_world(path, WORLD, EXTRACTOR, images=7, about="drawn")
    return path


def test_a_saved_world_loads_equal(saved):
    world, digest = load_world(saved, EXTRACTOR)
    np.testing.assert_array_equal(world.mean, WORLD.mean)
    np.testing.assert_array_equal(world.covariance, WORLD.covariance)
    assert len(digest) == 16


def test_the_digest_changes_with_the_world(saved, tmp_path):
    other = tmp_path / "b.world"
    save_world(other, World(WORLD.mean + 1, WORLD.covariance), EXTRACTOR, images=7, about="drawn")
    assert load_world(saved, EXTRACTOR)[1] != load_world(other, EXTRACTOR)[1]


@pytest.mark.parametrize("changed", [{"name": "resnet50"}, {"fingerprint": "xyz"}])
def test_a_world_of_another_backbone_is_refused(saved, changed):
    with pytest.raises(WeightsError, match=next(iter(changed.values()))):
        load_world(saved, replace(EXTRACTOR, **changed))


def test_a_missing_world_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.world"):
        load_world(tmp_path / "none.world", EXTRACTOR)


@pytest.mark.parametrize("content", [b"", b"text", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_damaged_world_is_refused(tmp_path, content):
    path = tmp_path / "a.world"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"a\.world"):
        load_world(path, EXTRACTOR)


@pytest.mark.parametrize(
    "arrays",
    [
        {"mean": np.zeros(3, np.float16)},
        {"mean": np.zeros(3, np.float16), "covariance": np.zeros((3, 2), np.float16)},
        {"mean": np.full(3, np.nan, np.float16), "covariance": np.zeros((3, 3), np.float16)},
    ],
)
def test_a_world_of_wrong_arrays_is_refused(tmp_path, arrays):
    path = tmp_path / "a.world"
    save_file(arrays, path, {"likewise": "world", "backbone": EXTRACTOR.name, "fingerprint": EXTRACTOR.fingerprint})
    with pytest.raises(WeightsError, match="damaged"):
        load_world(path, EXTRACTOR)


def test_each_named_world_is_a_file():
    paths = {entry.world for entry in MODELS.values() if entry.world}
    assert paths
    assert all(path.is_file() for path in paths)
