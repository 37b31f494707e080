"""What the tests of scene networks share: classes, a batch, a backbone with a tap for detail, and MCIBI."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from likewise.backbones.specs import BACKBONES
from likewise.backbones.taps import Backbone
from likewise.io.labels import IGNORE
from likewise.models.mcibi import MCIBI, MCIBIConfig

SEVEN = tuple("abcdefg")


def some_batch(size, classes=7):
    generator = torch.Generator().manual_seed(0)
    blocks = torch.randint(0, classes, (2, 1, 4, 4), generator=generator).float()
    labels = F.interpolate(blocks, size=size, mode="nearest")[:, 0].long()
    labels[:, :3] = IGNORE
    return torch.randn(2, 3, *size, generator=generator), labels


def detailed_backbone():
    return Backbone(BACKBONES["lite0-stride8"].with_taps("blocks.1.1", "blocks.2.1", "blocks.3.0"), frozen=False)


def mcibi_resnet(depth: int, classes: Sequence[str], config: MCIBIConfig | None = None) -> MCIBI:
    """The published variant on ResNet (`depth` 50 or 101) of stride 8."""
    return MCIBI(Backbone(BACKBONES[f"resnet{depth}-stride8"], frozen=False), classes, config)


def mcibi_lite0(classes: Sequence[str], config: MCIBIConfig | None = None) -> MCIBI:
    """Our variant, on the bundled backbone at stride 8, with 128 channels."""
    spec = BACKBONES["lite0-stride8"].with_taps("blocks.4.2", "blocks.6.0")
    return MCIBI(Backbone(spec, frozen=False), classes, config or MCIBIConfig(channels=128, attention_channels=64))
