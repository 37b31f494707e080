"""HSNet in training: episodes of one class, a frozen backbone."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from likewise.backbones import backbone_spec
from likewise.data.layout import known
from likewise.models.hsnet import HSNet, HSNetConfig, mean_probability
from likewise.train.episodes import Batch, EpisodeMaterial
from likewise.train.material import Progress, TrainingError
from likewise.train.model_sections import HSNetModel
from likewise.train.recipes import Recipe
from likewise.weights import load_backbone, load_trained


def build(section: HSNetModel, classes: tuple[str, ...]) -> HSNet:
    """HSNet at random, on a frozen backbone with ImageNet weights or those of a run of PANet.

    Raises:
        TrainingError: that run trained another backbone.
    """
    spec = backbone_spec(section.backbone)
    modules = [tap.module for tap in spec.taps]
    known(section.first_tap, modules, f"tap of {section.backbone}")
    spec = spec.with_taps(*modules[modules.index(section.first_tap) :])
    backbone = load_backbone(spec, weights=section.weights)
    if section.start is not None:
        trained: Any = load_trained(section.start)[0]
        own = backbone.state_dict()
        found = {name: value for name, value in trained.backbone.state_dict().items() if name in own}
        if trained.backbone.spec.name != section.backbone or not found:
            raise TrainingError(
                f"{section.start} is a run on {trained.backbone.spec.name}, model.backbone is {section.backbone}: "
                "take a run on the same"
            )
        backbone.load_state_dict(own | found)
    config = HSNetConfig(
        channels=section.channels,
        prototype_taps=section.prototype_taps,
    )
    return HSNet(backbone, config)


def inputs(model: HSNet, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """What `HSNet.forward` takes."""
    supports = batch.supports[:, 0]
    images = model.backbone.normalise(supports.flatten(0, 1)).unflatten(0, supports.shape[:2])
    return images, (batch.support_labels[:, 0] == 1).to(images.dtype), model.backbone.normalise(batch.queries)


def losses(model: HSNet, section: HSNetModel, batch: Batch, progress: Progress) -> dict[str, Float[Tensor, ""]]:
    return {"query": model.loss(*inputs(model, batch), batch.targets.long())}


def predict(model: HSNet, batch: Batch) -> UInt8[Tensor, "b h w"]:
    return (mean_probability(model(*inputs(model, batch))) > 0.5).to(torch.uint8)


def material(recipe: Recipe) -> EpisodeMaterial:
    return EpisodeMaterial(recipe, predict)
