"""ICNet's checkpoints load by their authors' names."""

import pytest
import torch

from likewise.checkpoints.icnet import from_checkpoint


def test_a_checkpoint_with_a_foreign_entry_names_it_and_parallel_training_is_known():
    with pytest.raises(ValueError, match=r"'fc\.weight' is no entry of ICNet's checkpoint"):
        from_checkpoint({"fc.weight": torch.zeros(1)})
    assert [*from_checkpoint({"module.Co6.conv.0.bias": torch.zeros(1)})] == ["attend32.merge.0.bias"]
