"""Models at the start of training."""

from collections.abc import Sequence
from typing import Any

from likewise.backbones.taps import Backbone
from likewise.errors import ModelError, check_known
from likewise.train.recipes.sections import HSNetModel, PANetModel, SaliencyModel, SceneModel
from likewise.weights.build import build_model
from likewise.weights.imagenet import load_backbone


def build_trainable(section: PANetModel | HSNetModel | SaliencyModel | SceneModel, classes: tuple[str, ...]) -> Any:
    """Return the section's model, with ImageNet weights in its backbone and random weights elsewhere.

    HSNet's section lists no modules to learn: its backbone is frozen.
    """
    model: Any = build_model(section.model_dump(), classes)
    model.backbone = load_backbone(model.backbone.spec, weights=getattr(section, "weights", None), frozen=False)
    learn_only(model.backbone, getattr(section, "learn", None))
    return model


def learn_only(backbone: Backbone, modules: Sequence[str] | None) -> None:
    """Let only these modules of timm's network require gradients; all if empty, none if None."""
    net = backbone.net
    backbone.requires_grad_(modules is not None and not modules)
    names = [name for name, module in net.named_modules() if name and any(True for _ in module.parameters())]
    for module in modules or ():
        check_known(module, names, f"trainable module of {backbone.spec.name}", ModelError)
        net.get_submodule(module).requires_grad_(True)
