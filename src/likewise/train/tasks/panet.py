"""PANet in training: episodes, the loss of the query and that of alignment."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from likewise.backbones.specs import backbone_spec
from likewise.models.panet import PANet
from likewise.train.recipes.model_sections import PANetModel
from likewise.train.recipes.schema import Recipe
from likewise.train.samples.episodes import Batch, TrainingEpisodes
from likewise.train.samples.training_data import Progress
from likewise.train.tasks.frozen import learn_only
from likewise.weights.imagenet import load_backbone


def build(section: PANetModel, classes: tuple[str, ...]) -> PANet:
    """PANet with ImageNet weights, of which those of `learn` (or all) take gradients."""
    spec = backbone_spec(section.backbone).with_taps(*section.taps)
    backbone = load_backbone(spec, weights=section.weights, frozen=False)
    learn_only(backbone, section.learn)
    return PANet(backbone)


def inputs(model: PANet, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `PANet.forward` takes: the supports, where they show their way, where none of the ways, the queries."""
    supports = model.backbone.normalise(batch.supports.flatten(0, 2)).unflatten(0, batch.supports.shape[:3])
    ways = torch.arange(1, batch.supports.shape[1] + 1, device=supports.device)[:, None, None, None]
    foreground = (batch.support_labels == ways).to(supports.dtype)
    background = (batch.support_labels == 0).to(supports.dtype)
    return supports, foreground, background, model.backbone.normalise(batch.queries)[:, None]


def losses(model: PANet, section: PANetModel, batch: Batch, progress: Progress) -> dict[str, Float[Tensor, ""]]:
    """The loss of the query and that of alignment, each episode on its own, as the published program does.

    Episodes differ in how many pixels count, so a mean over a batch's pixels would depend on who shares the batch.
    """
    episodes = zip(*inputs(model, batch), batch.targets[:, None].long(), strict=True)
    found = [model.loss(*(part[None] for part in episode)) for episode in episodes]
    parts = {"query": torch.stack([loss.query for loss in found]).mean()}
    if section.alignment:
        parts["alignment"] = section.alignment * torch.stack([loss.align for loss in found]).mean()
    return parts


def predict(model: PANet, batch: Batch) -> UInt8[Tensor, "b h w"]:
    return model(*inputs(model, batch))[:, 0].argmax(dim=1).to(torch.uint8)


def material(recipe: Recipe) -> TrainingEpisodes:
    return TrainingEpisodes(recipe, predict)
