"""HSNet's checkpoints load by their authors' names."""

import pytest
import torch

from likewise.checkpoints.hsnet import from_checkpoint
from likewise.models import hsnet


def test_a_checkpoint_of_several_processes_loads_under_its_own_names(rule, golden):
    meta, _ = golden("hsnet_resnet50")
    state = {f"module.{name}": torch.zeros(shape) for name, shape in meta["entries"].items()}
    state["module.backbone.fc.weight"] = torch.zeros(1000, 2048)
    state["module.backbone.fc.bias"] = torch.zeros(1000)
    with torch.device("meta"):
        model = hsnet.resnet(50)
    model.load_state_dict(from_checkpoint(state), strict=True, assign=True)


def test_a_foreign_checkpoint_names_the_entry_that_does_not_belong():
    with pytest.raises(ValueError, match=r"'encoder\.weight' is no entry of HSNet's checkpoint"):
        from_checkpoint({"encoder.weight": torch.zeros(1)})
