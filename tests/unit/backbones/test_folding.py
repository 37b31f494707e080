"""Folding batch norm into convolutions keeps the features."""

import copy

import pytest
import torch
from torch import nn

from likewise import FewShot
from likewise.backbones.folding import fold_batch_norm
from likewise.backbones.specs import BACKBONES, backbone_spec
from likewise.backbones.taps import Backbone
from likewise.weights import PRETRAINED
from likewise.weights.checkpoint import fingerprint
from likewise.weights.load import load_trained


@pytest.mark.parametrize("name", ["lite0", "resnet50", "resnet50-deep", "vgg16"])
def test_folded_features_are_equal_and_no_batch_norm_remains(name):
    torch.manual_seed(0)
    backbone = Backbone(BACKBONES[name])
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 1.5)
        norm.weight.data.uniform_(0.5, 1.5)
        norm.bias.data.normal_(0, 0.1)
    folded = copy.deepcopy(backbone)
    assert fold_batch_norm(folded) == len(norms)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    images = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        for ours, theirs in zip(folded(images), backbone(images), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * theirs.abs().max().item())


def test_folding_keeps_the_fingerprint_that_concepts_are_checked_by():
    few_shot = FewShot("panet-lite0", engine="torch", device="cpu")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in few_shot.head.extractor.backbone.modules())
    network, _ = load_trained(PRETRAINED / "panet-lite0.safetensors")
    assert few_shot.fingerprint == fingerprint(network)


def test_timm_networks_are_not_folded(tmp_path):
    torch.save(Backbone(backbone_spec("resnet10t")).net.state_dict(), tmp_path / "weights.pt")
    few_shot = FewShot("panet", backbone="resnet10t", weights=tmp_path / "weights.pt", device="cpu")
    assert any(isinstance(module, nn.BatchNorm2d) for module in few_shot.head.extractor.backbone.modules())
