"""Feature maps from timm's image models.

A `Backbone` maps normalised images to one feature map for each tap, shallow to deep. Taps are forward hooks on modules
of timm's network; modules after the last tap are removed.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import partial
from math import ceil
from typing import Any

import timm
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from timm.layers import Format
from torch import Tensor, nn

from likewise.backbones.specs import BackboneSpec, Tap
from likewise.ops.features import concat_levels

_tapped: ContextVar[dict[int, Tensor]] = ContextVar("tapped")


def _read_output(index: int, module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
    _tapped.get()[index] = output


def _read_input(index: int, module: nn.Module, inputs: tuple[Tensor]) -> None:
    _tapped.get()[index] = inputs[0]


class Backbone(nn.Module):
    """images -> timm's network -> one feature map for each tap.

    Weights are random until a state is loaded. Parameters of a `frozen` backbone need no gradient, and its batch norm
    uses its stored statistics in `train()` too.
    """

    def __init__(self, spec: BackboneSpec, *, frozen: bool = True) -> None:
        super().__init__()
        self.spec = spec
        self.frozen = frozen
        self.net: Any = timm.create_model(spec.timm, pretrained=False, **spec.options)
        if spec.alter is not None:
            spec.alter(self.net)
        self.by_hooks = not spec.options.get("features_only", False)
        self.left_out: tuple[str, ...] = ()
        if self.by_hooks:
            self.left_out = _drop_modules_after(self.net, spec.taps[-1].module)
            for index, tap in enumerate(spec.taps):
                module: Any = self.net.get_submodule(tap.module)
                if tap.before:
                    module.inplace = False  # the tapped input must not be overwritten
                    module.register_forward_pre_hook(partial(_read_input, index))
                else:
                    module.register_forward_hook(partial(_read_output, index))
        if frozen:
            self.requires_grad_(False)
        self.train()

    @property
    def taps(self) -> tuple[Tap, ...]:
        return self.spec.taps

    def train(self, mode: bool = True) -> Backbone:
        return super().train(mode and not self.frozen)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """Feature maps, shallow to deep, of images normalised with the spec's mean and std."""
        height, width = images.shape[-2:]
        below, right = -height % self.spec.multiple, -width % self.spec.multiple
        if not (below or right):
            return self.levels(images)
        levels = self.levels(F.pad(images, (0, right, 0, below)))
        return [
            level[..., : ceil(height / tap.stride), : ceil(width / tap.stride)]
            for level, tap in zip(levels, self.taps, strict=True)
        ]

    def levels(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """Feature maps of images whose sides are multiples of `spec.multiple`."""
        if not self.by_hooks:
            features = self.net(images)
            if self.spec.joined:
                return [concat_levels(features, align_corners=False)]
            # Swin outputs channels last; EfficientNet and HRNet have no `output_fmt` and output channels first
            last = getattr(self.net, "output_fmt", Format.NCHW) == Format.NHWC
            return [f.permute(0, 3, 1, 2) for f in features] if last else features
        found: dict[int, Tensor] = {}
        token = _tapped.set(found)
        try:
            self.net.forward_features(images)
        finally:
            _tapped.reset(token)
        return [found[index] for index in range(len(self.taps))]

    def normalise(self, images: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b 3 h w"]:
        """Images (8-bit RGB, channels last) normalised for this backbone, in channels-last memory."""
        mean = torch.tensor(self.spec.mean, device=images.device) * 255
        std = torch.tensor(self.spec.std, device=images.device) * 255
        return ((images.float() - mean) / std).permute(0, 3, 1, 2)


def _drop_modules_after(net: nn.Module, last: str) -> tuple[str, ...]:
    """Replace the modules after `last` by identities, at the top level and in sequences; return their names."""
    parent, path, dropped = net, last.split("."), []
    for depth, part in enumerate(path):
        if not (parent is net or isinstance(parent, nn.Sequential)):
            break
        names = [name for name, _ in parent.named_children()]
        for name in names[names.index(part) + 1 :]:
            setattr(parent, name, nn.Identity())
            dropped.append(".".join([*path[:depth], name]))
        parent = parent.get_submodule(part)
    return tuple(dropped)
