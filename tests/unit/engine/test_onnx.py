"""Exported backbones against torch's, and files that are none."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from likewise.backbones.specs import BACKBONES
from likewise.backbones.taps import Backbone
from likewise.engine.onnx import OnnxBackbone
from likewise.engine.protocol import FeatureExtractor
from likewise.engine.torch import TorchBackbone
from likewise.errors import ModelError, WeightsError
from likewise.export.networks import export_backbone
from likewise.weights.checkpoint import fingerprint


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = Backbone(BACKBONES["lite0"].with_taps("blocks.2.1", "blocks.5.3"))
        for module in backbone.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 1.5)
    return backbone.half().float()


@pytest.fixture(scope="module")
def exported(backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "backbone.onnx"
    export_backbone(backbone, path, card={"licence": "none"})
    return path


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 32, 32), (1, 64, 160), (2, 192, 96), (1, 160, 96)])
def test_features_equal_torch_at_every_size(
    backbone: Backbone, exported: Path, batch: int, height: int, width: int
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (batch, height, width, 3), dtype=np.uint8)
    expected = TorchBackbone(backbone, "").features(images)
    found = OnnxBackbone(exported).features(images)
    for own, reference in zip([*found.levels, found.semantic], [*expected.levels, expected.semantic], strict=True):
        assert own.shape == reference.shape
        assert abs(own - reference).max() < 1e-5 * abs(reference).max()


def test_both_engines_state_the_same_backbone(backbone: Backbone, exported: Path) -> None:
    by_torch, by_onnx = TorchBackbone(backbone, fingerprint(backbone)), OnnxBackbone(exported)
    assert isinstance(by_torch, FeatureExtractor)
    assert isinstance(by_onnx, FeatureExtractor)
    assert by_onnx.name == by_torch.name == "lite0@blocks.2.1+blocks.5.3"
    assert by_onnx.fingerprint == by_torch.fingerprint
    assert by_onnx.multiple == by_torch.multiple == 32
    assert by_onnx.card["licence"] == "none"


def test_weights_that_are_exact_in_half_precision_are_stored_so(backbone: Backbone, exported: Path) -> None:
    parameters = sum(value.numel() for value in backbone.state_dict().values())
    assert exported.stat().st_size < 2.3 * parameters


def test_weights_that_are_not_exact_in_half_precision_stay_in_single(tmp_path: Path) -> None:
    backbone = Backbone(BACKBONES["lite0"].with_taps("blocks.1.0"))
    with torch.no_grad():
        backbone.net.conv_stem.weight.fill_(1 / 3)
    export_backbone(backbone, tmp_path / "a.onnx")
    types = {
        weight.data_type for weight in onnx.load(tmp_path / "a.onnx").graph.initializer if weight.dims[:2] == [32, 3]
    }
    assert types == {onnx.TensorProto.FLOAT}


def test_damaged_and_foreign_files_are_named(exported: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(exported.read_bytes()[:20000])
    foreign = tmp_path / "foreign.onnx"
    model = onnx.load(exported)
    del model.metadata_props[:]
    onnx.save(model, foreign)
    newer = tmp_path / "newer.onnx"
    model = onnx.load(exported)
    next(entry for entry in model.metadata_props if entry.key == "format").value = "99"
    onnx.save(model, newer)
    for path in (tmp_path / "absent.onnx", cut, foreign, newer):
        with pytest.raises(WeightsError, match=path.name):
            OnnxBackbone(path)
    for path in (cut, foreign):
        with pytest.raises(WeightsError, match=hashlib.sha256(path.read_bytes()).hexdigest()[:16]):
            OnnxBackbone(path)


def test_an_unknown_provider_is_refused(exported: Path) -> None:
    with pytest.raises(ModelError, match="NoSuchProvider"):
        OnnxBackbone(exported, device="NoSuchProvider")
