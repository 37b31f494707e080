"""PANet's published names under ours: those of its program, and of a later one on ResNet."""

from __future__ import annotations

import re

from torch import Tensor


def from_vgg16_checkpoint(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published program's entries under our names: `encoder.backbone.features.<block>.<layer>`."""
    starts = {"0": 0, "2": 5, "4": 10, "6": 17, "8": 24}
    renamed = {}
    for name, value in state.items():
        match = re.fullmatch(r"encoder\.backbone\.features\.([02468])\.([024])\.(weight|bias)", name)
        if match is None:
            raise ValueError(f"{name!r} is no entry of PANet's VGG-16 checkpoint")
        block, layer, kind = match.groups()
        renamed[f"backbone.net.features.{starts[block] + int(layer)}.{kind}"] = value
    return renamed


def from_resnet_checkpoint(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published ResNet variant's entries under our names: `layer0.0` is the stem, `layer0.1` its last norm."""
    renamed = {}
    for name, value in state.items():
        for theirs, ours in (("layer0.0.", "conv1."), ("layer0.1.", "bn1."), ("layer", "layer")):
            if name.startswith(theirs):
                renamed["backbone.net." + ours + name.removeprefix(theirs)] = value
                break
        else:
            raise ValueError(f"{name!r} is no entry of PANet's ResNet checkpoint")
    return renamed
