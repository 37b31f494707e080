"""Networks made ready to answer."""

import subprocess
import sys

import pytest
import torch

from likewise.backbones.specs import BACKBONES
from likewise.backbones.taps import Backbone
from likewise.models.panet import PANet
from likewise.predict.ready import made_ready


def network() -> PANet:
    torch.manual_seed(0)
    return PANet(Backbone(BACKBONES["lite0"]))


def test_a_network_made_ready_answers_and_learns_no_longer():
    ready = made_ready(network().train(), torch.device("cpu"), torch.bfloat16)
    assert not any(module.training for module in ready.modules())
    assert not any(parameter.requires_grad for parameter in ready.parameters())
    assert {parameter.dtype for parameter in ready.parameters()} == {torch.bfloat16}
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in ready.modules())


def test_its_batch_norm_is_folded_where_that_is_asked_for():
    ready = made_ready(network(), torch.device("cpu"), fold=True)
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
def test_memory_that_was_freed_is_used_again_and_not_cleared_by_the_system():
    run = [sys.executable, "-c", BLOCKS.format(first="keep_freed_memory()")]
    assert int(subprocess.run(run, capture_output=True, text=True, check=True).stdout) < 100
