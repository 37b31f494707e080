"""Networks made ready to answer."""

import pytest
import torch

from likewise.backbones import BACKBONES, Backbone
from likewise.hypercorrelation import fast
from likewise.models.panet import PANet
from likewise.predict import ready
from likewise.predict.ready import made_ready


def network() -> PANet:
    torch.manual_seed(0)
    return PANet(Backbone(BACKBONES["lite0"]))


def test_a_network_made_ready_answers_and_learns_no_longer():
    found = made_ready(network().train(), torch.device("cpu"), torch.bfloat16)
    assert not any(module.training for module in found.modules())
    assert not any(parameter.requires_grad for parameter in found.parameters())
    assert {parameter.dtype for parameter in found.parameters()} == {torch.bfloat16}
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in found.modules())


def test_its_batch_norm_is_folded_where_that_is_asked_for():
    found = made_ready(network(), torch.device("cpu"), fold=True)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in found.modules())


@pytest.mark.parametrize("switched_on", [True, False])
def test_freed_memory_is_kept_only_with_the_tricks_switched_on(switched_on, monkeypatch):
    calls = []
    monkeypatch.setattr(ready, "keep_freed_memory", lambda: calls.append("kept"))
    monkeypatch.setattr(fast, "FAST", switched_on)
    made_ready(network(), torch.device("cpu"))
    assert calls == ["kept"] * switched_on
