"""What the tests of scene networks share: seven classes, a batch of them, and a backbone with a tap for detail."""

import torch
import torch.nn.functional as F

from likewise.backbones.specs import BACKBONES
from likewise.backbones.taps import Backbone
from likewise.io.labels import IGNORE

SEVEN = tuple("abcdefg")


def some_batch(size, classes=7):
    generator = torch.Generator().manual_seed(0)
    blocks = torch.randint(0, classes, (2, 1, 4, 4), generator=generator).float()
    labels = F.interpolate(blocks, size=size, mode="nearest")[:, 0].long()
    labels[:, :3] = IGNORE
    return torch.randn(2, 3, *size, generator=generator), labels


def detailed_backbone():
    return Backbone(BACKBONES["lite0-stride8"].with_taps("blocks.1.1", "blocks.2.1", "blocks.3.0"), frozen=False)
