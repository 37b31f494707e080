"""Fold batch norm into the convolutions before it, for faster inference."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from likewise.backbones.taps import Backbone


@torch.no_grad()
def fold_batch_norm(backbone: Backbone) -> int:
    """Fold every batch norm that reads the output of a convolution, in place; return their number.

    Features are equal up to rounding, a few 1e-6 of the largest. For inference only. Entries of the state dict are
    renamed, so take the fingerprint before.
    """
    net: Any = backbone.net
    pairs = norms_after_convolutions(backbone)
    for convolution, norm in pairs:
        own = net.get_submodule(norm)
        replace_module(net, convolution, fuse_conv_bn_eval(net.get_submodule(convolution), own))
        # timm's norms include the activation
        replace_module(net, norm, getattr(own, "act", nn.Identity()))
    return len(pairs)


def norms_after_convolutions(backbone: Backbone) -> list[tuple[str, str]]:
    """Name pairs of a convolution and the batch norm that reads its output, found by a forward pass."""
    outputs: dict[int, tuple[str, Tensor]] = {}  # tensors are kept alive so that ids stay unique
    pairs = []
    hooks = []

    def keep(name: str) -> Any:
        return lambda module, inputs, output: outputs.update({id(output): (name, output)})

    def match(name: str) -> Any:
        def pair(module: nn.Module, inputs: tuple[Tensor]) -> None:
            if id(inputs[0]) in outputs:
                pairs.append((outputs[id(inputs[0])][0], name))

        return pair

    for name, module in backbone.net.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(keep(name)))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(match(name)))
    like = next(backbone.parameters())
    try:
        backbone(torch.zeros(1, 3, 64, 64, dtype=like.dtype, device=like.device))
    finally:
        for hook in hooks:
            hook.remove()
    return pairs


def replace_module(net: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(net.get_submodule(parent), last, module)
