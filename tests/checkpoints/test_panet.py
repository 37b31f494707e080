"""PANet's checkpoints load by their authors' names."""

import pytest
import torch

from likewise.checkpoints.panet import from_resnet_checkpoint, from_vgg16_checkpoint


def test_a_foreign_checkpoint_names_the_entry_that_does_not_belong():
    with pytest.raises(ValueError, match=r"'fc\.weight' is no entry of PANet's VGG-16 checkpoint"):
        from_vgg16_checkpoint({"fc.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"'fc\.weight' is no entry of PANet's ResNet checkpoint"):
        from_resnet_checkpoint({"fc.weight": torch.zeros(1)})
