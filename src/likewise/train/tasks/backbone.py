"""Backbones at the start of training."""

from collections.abc import Sequence
from pathlib import Path

from likewise.backbones.specs import BackboneSpec
from likewise.backbones.taps import Backbone
from likewise.errors import ModelError, check_known
from likewise.weights.imagenet import load_backbone


def trainable_backbone(spec: BackboneSpec, weights: Path | None, learn: Sequence[str] | None) -> Backbone:
    """Return the backbone with ImageNet weights; the modules in `learn` require gradients (`learn_only`)."""
    backbone = load_backbone(spec, weights=weights, frozen=False)
    learn_only(backbone, learn)
    return backbone


def learn_only(backbone: Backbone, modules: Sequence[str] | None) -> None:
    """Let only these modules of timm's network require gradients; all if empty, none if None.

    Raises:
        ModelError: the backbone has no such module with parameters.
    """
    net = backbone.net
    backbone.requires_grad_(modules is not None and not modules)
    names = [name for name, module in net.named_modules() if name and any(True for _ in module.parameters())]
    for module in modules or ():
        check_known(module, names, f"trainable module of {backbone.spec.name}", ModelError)
        net.get_submodule(module).requires_grad_(True)
