"""Backbones run by torch, on any of its devices."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, UInt8


class TorchBackbone:
    """A backbone of `likewise.backbones`, ready for inference.

    Args:
        backbone: a `Backbone`, or one with a cache around it; frozen, in evaluation mode, on its device and in its
            precision.
        fingerprint: of the weights, taken before batch norm was folded.
    """

    engine = "torch"

    def __init__(self, backbone: Any, fingerprint: str) -> None:
        self.backbone, self.fingerprint = backbone, fingerprint
        self.name = f"{backbone.spec.name}@{'+'.join(tap.module for tap in backbone.taps)}"
        self.multiple = max(tap.stride for tap in backbone.taps)
        self.channels = sum(tap.channels for tap in backbone.taps)

    @torch.inference_mode()
    def features(self, images: UInt8[np.ndarray, "b h w 3"]) -> list[Float32[np.ndarray, "b _c _h _w"]]:
        """Return each tap's feature map, shallow to deep, of RGB images whose sides are multiples of `multiple`."""
        weight = next(self.backbone.parameters())
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(weight.device)
        normalised = self.backbone.normalise(pixels).to(weight.dtype)
        return [level.float().cpu().numpy() for level in self.backbone(normalised)]

    def __repr__(self) -> str:
        return f"TorchBackbone({self.name!r}, {next(self.backbone.parameters()).device})"
