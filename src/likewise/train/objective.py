"""What each model learns from: its build at the start of training, its losses, its predictions.

A model joins the training loop with one entry in `TASKS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from likewise.backbones import backbone_spec
from likewise.data.layout import known
from likewise.models.hsnet import HSNet, mean_probability
from likewise.models.panet import PANet
from likewise.train.episodes import STARTING, Batch, torch_seed
from likewise.train.feature_cache import cache_frozen
from likewise.train.recipes import HSNetModel, PANetModel, Recipe
from likewise.weights import load_backbone


@dataclass(frozen=True)
class Task:
    """How a model joins the loop.

    Attributes:
        build: the model at the start of training, from the recipe's section.
        losses: the parts of the loss, by name, whose sum is minimised; each a mean over the episodes.
        predict: the labels of the queries.
    """

    build: Callable[[Any], Any]
    losses: Callable[[Any, Any, Batch], dict[str, Float[Tensor, ""]]]
    predict: Callable[[Any, Batch], UInt8[Tensor, "b h w"]]


def build_panet(section: PANetModel) -> PANet:
    """PANet with ImageNet weights, of which those of `learn` (or all) take gradients."""
    spec = backbone_spec(section.backbone).with_taps(*section.taps)
    backbone = load_backbone(spec, weights=section.weights, frozen=False)
    if section.learn:
        names = [
            name for name, module in backbone.net.named_modules() if name and any(True for _ in module.parameters())
        ]
        backbone.requires_grad_(False)
        for module in section.learn:
            known(module, names, f"module of {section.backbone} that can learn")
            backbone.net.get_submodule(module).requires_grad_(True)
    return PANet(backbone)


def panet_inputs(model: PANet, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `PANet.forward` takes: the supports, where they show their way, where none of the ways, the queries."""
    supports = model.backbone.normalise(batch.supports.flatten(0, 2)).unflatten(0, batch.supports.shape[:3])
    ways = torch.arange(1, batch.supports.shape[1] + 1, device=supports.device)[:, None, None, None]
    foreground = (batch.support_labels == ways).to(supports.dtype)
    background = (batch.support_labels == 0).to(supports.dtype)
    return supports, foreground, background, model.backbone.normalise(batch.queries)[:, None]


def panet_losses(model: PANet, section: PANetModel, batch: Batch) -> dict[str, Float[Tensor, ""]]:
    """The loss of the query and that of alignment, each episode on its own, as the published program does.

    Episodes differ in how many pixels count, so a mean over a batch's pixels would depend on who shares the batch.
    """
    inputs = zip(*panet_inputs(model, batch), batch.targets[:, None].long(), strict=True)
    losses = [model.loss(*(part[None] for part in episode)) for episode in inputs]
    parts = {"query": torch.stack([loss.query for loss in losses]).mean()}
    if section.alignment:
        parts["alignment"] = section.alignment * torch.stack([loss.align for loss in losses]).mean()
    return parts


def panet_predict(model: PANet, batch: Batch) -> UInt8[Tensor, "b h w"]:
    return model(*panet_inputs(model, batch))[:, 0].argmax(dim=1).to(torch.uint8)


def build_hsnet(section: HSNetModel) -> HSNet:
    """HSNet at random, on a frozen backbone with ImageNet weights."""
    spec = backbone_spec(section.backbone)
    modules = [tap.module for tap in spec.taps]
    known(section.first_tap, modules, f"tap of {section.backbone}")
    spec = spec.with_taps(*modules[modules.index(section.first_tap) :])
    return HSNet(load_backbone(spec, weights=section.weights))


def hsnet_inputs(model: HSNet, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """What `HSNet.forward` takes."""
    supports = batch.supports[:, 0]
    images = model.backbone.normalise(supports.flatten(0, 1)).unflatten(0, supports.shape[:2])
    return images, (batch.support_labels[:, 0] == 1).to(images.dtype), model.backbone.normalise(batch.queries)


def hsnet_losses(model: HSNet, section: HSNetModel, batch: Batch) -> dict[str, Float[Tensor, ""]]:
    return {"query": model.loss(*hsnet_inputs(model, batch), batch.targets.long())}


def hsnet_predict(model: HSNet, batch: Batch) -> UInt8[Tensor, "b h w"]:
    return (mean_probability(model(*hsnet_inputs(model, batch))) > 0.5).to(torch.uint8)


TASKS: dict[str, Task] = {
    "panet": Task(build_panet, panet_losses, panet_predict),
    "hsnet": Task(build_hsnet, hsnet_losses, hsnet_predict),
}


class Objective(nn.Module):
    """A model with what it minimises, as one module: processes that share a batch meet in its `forward`."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.section, self.task = recipe.model, TASKS[recipe.model.name]
        with torch.random.fork_rng():
            torch.manual_seed(torch_seed(STARTING, recipe.seed))
            self.model = self.task.build(recipe.model)
        self.state_at_start = self.model.state_dict()
        # the 1x1 convolutions of small backbones are a good third quicker so on CPU
        self.model.backbone = self.model.backbone.to(memory_format=torch.channels_last)
        if recipe.cache is not None:
            self.model.backbone = cache_frozen(self.model.backbone, recipe.cache)

    def train(self, mode: bool = True) -> Objective:
        """Batch norm of the backbone keeps its statistics: a few episodes make none better."""
        super().train(mode)
        self.model.backbone.eval()
        return self

    def forward(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        return self.task.losses(self.model, self.section, batch)

    def state_of_model(self) -> dict[str, Tensor]:
        """The whole model's state, what stands behind a cache included."""
        now = self.model.state_dict()
        return {name: now.get(name, value) for name, value in self.state_at_start.items()}
