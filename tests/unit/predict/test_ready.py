"""Networks prepared for inference."""

import subprocess
import sys

import pytest
import torch

from likewise.backbones.specs import BACKBONES
from likewise.backbones.taps import Backbone
from likewise.models.panet import PANet
from likewise.predict.ready import prepare_network


def network() -> PANet:
    torch.manual_seed(0)
    return PANet(Backbone(BACKBONES["lite0"]))


def test_a_prepared_network_is_in_evaluation_mode_without_gradients():
    ready = prepare_network(network().train(), torch.device("cpu"), torch.bfloat16)
    assert not any(module.training for module in ready.modules())
    assert not any(parameter.requires_grad for parameter in ready.parameters())
    assert {parameter.dtype for parameter in ready.parameters()} == {torch.bfloat16}
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in ready.modules())


def test_batch_norm_is_folded_on_request():
    ready = prepare_network(network(), torch.device("cpu"), fold=True)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in ready.modules())


BLOCKS = """
import resource, torch
from likewise.predict.ready import keep_freed_memory
{first}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for turn in range(6):
    if turn == 3:
        before = faults()
    blocks = [torch.ones(2_400_000) for _ in range(4)]
    del blocks
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="speaks of glibc")
def test_freed_memory_is_reused_without_page_faults():
    run = [sys.executable, "-c", BLOCKS.format(first="keep_freed_memory()")]
    assert int(subprocess.run(run, capture_output=True, text=True, check=True).stdout) < 100
