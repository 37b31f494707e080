"""MCIBI's checkpoints load by their authors' names."""

import pytest
import torch

from likewise.checkpoints.mcibi import from_checkpoint
from likewise.models import mcibi


def test_a_checkpoint_of_several_processes_loads_under_its_own_names(golden):
    entries = golden("mcibi_nocontext")[0]["entries"]
    state = {f"module.{name}": torch.zeros(shape) for name, shape in entries.items()}
    state["module.memory_module.memory"][2, 0, 5] = 1
    model = mcibi.resnet(50, tuple("abcdefg"))
    model.load_state_dict(from_checkpoint(state), strict=True)
    assert model.memory.seen[:, 0].tolist() == [k == 2 for k in range(7)]


def test_a_foreign_checkpoint_names_the_entry_that_does_not_belong():
    with pytest.raises(ValueError, match=r"'encoder\.weight' is no entry of MCIBI's checkpoint"):
        from_checkpoint({"encoder.weight": torch.zeros(1)})
