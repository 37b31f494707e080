"""Networks prepared for inference."""

import pytest
import torch

from likewise.backbones.specs import BACKBONES
from likewise.backbones.taps import Backbone
from likewise.models.panet import PANet
from likewise.ops.hypercorrelation.fast import operators
from likewise.predict import network_setup
from likewise.predict.network_setup import prepare_network


def network() -> PANet:
    torch.manual_seed(0)
    return PANet(Backbone(BACKBONES["lite0"]))


def test_a_prepared_network_is_in_evaluation_mode_without_gradients():
    prepared = prepare_network(network().train(), torch.device("cpu"), torch.bfloat16)
    assert not any(module.training for module in prepared.modules())
    assert not any(parameter.requires_grad for parameter in prepared.parameters())
    assert {parameter.dtype for parameter in prepared.parameters()} == {torch.bfloat16}
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in prepared.modules())


def test_batch_norm_is_folded_on_request():
    prepared = prepare_network(network(), torch.device("cpu"), fold=True)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in prepared.modules())


@pytest.mark.parametrize("fast", [True, False])
def test_freed_memory_is_kept_only_with_fast_on(fast, monkeypatch):
    calls = []
    monkeypatch.setattr(network_setup, "keep_freed_memory", lambda: calls.append("kept"))
    monkeypatch.setattr(operators, "FAST", fast)
    prepare_network(network(), torch.device("cpu"))
    assert calls == ["kept"] * fast
