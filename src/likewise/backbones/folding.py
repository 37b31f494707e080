"""Batch norm that no longer learns, folded into the convolution before it: the same numbers in fewer passes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from likewise.backbones.taps import Backbone


@torch.no_grad()
def fold_batch_norm(backbone: Backbone) -> int:
    """Fold every batch norm that reads a convolution's output, in place; gives how many.

    Equal to rounding (a few 1e-6 of the largest feature). For inference only: the names of the state change, so take
    a fingerprint before.
    """
    net: Any = backbone.net
    pairs = norms_after_convolutions(backbone)
    for convolution, norm in pairs:
        own = net.get_submodule(norm)
        put(net, convolution, fuse_conv_bn_eval(net.get_submodule(convolution), own))
        # timm's norms hold the activation that follows
        put(net, norm, getattr(own, "act", nn.Identity()))
    return len(pairs)


def norms_after_convolutions(backbone: Backbone) -> list[tuple[str, str]]:
    """Names of the convolutions and of the batch norms that read them, as one pass finds them."""
    outputs: dict[int, tuple[str, Tensor]] = {}  # the tensors too, so that no identity is given twice
    pairs = []
    hooks = []

    def keep(name: str) -> Any:
        return lambda module, inputs, output: outputs.update({id(output): (name, output)})

    def look(name: str) -> Any:
        def pair(module: nn.Module, inputs: tuple[Tensor]) -> None:
            if id(inputs[0]) in outputs:
                pairs.append((outputs[id(inputs[0])][0], name))

        return pair

    for name, module in backbone.net.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(keep(name)))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(look(name)))
    like = next(backbone.parameters())
    try:
        backbone(torch.zeros(1, 3, 64, 64, dtype=like.dtype, device=like.device))
    finally:
        for hook in hooks:
            hook.remove()
    return pairs


def put(net: nn.Module, name: str, module: nn.Module) -> None:
    """Put the module in the place of that name."""
    parent, _, last = name.rpartition(".")
    setattr(net.get_submodule(parent), last, module)
