"""Training HSNet: 1-way episodes, a frozen backbone."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float, UInt8
from torch import Tensor

from likewise.models.hsnet import HSNet
from likewise.ops.shots import mean_probability
from likewise.train.recipes.model_sections import HSNetModel
from likewise.train.recipes.schema import Recipe
from likewise.train.samples.episodes import Batch, TrainingEpisodes
from likewise.train.samples.training_data import Progress
from likewise.weights.build import build_model
from likewise.weights.imagenet import load_backbone


def build(section: HSNetModel, classes: tuple[str, ...]) -> HSNet:
    """Return HSNet with ImageNet weights in its frozen backbone and random weights elsewhere."""
    model: Any = build_model(section.model_dump())
    model.backbone = load_backbone(model.backbone.spec, weights=section.weights)
    return model


def inputs(model: HSNet, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Return the arguments of the model's `forward`: supports, their masks, queries."""
    supports = batch.supports[:, 0]
    images = model.backbone.normalise(supports.flatten(0, 1)).unflatten(0, supports.shape[:2])
    return images, (batch.support_labels[:, 0] == 1).to(images.dtype), model.backbone.normalise(batch.queries)


def losses(model: HSNet, section: HSNetModel, batch: Batch, progress: Progress) -> dict[str, Float[Tensor, ""]]:
    """Return the mean cross-entropy of the queries."""
    return {"cross-entropy": model.loss(*inputs(model, batch), batch.targets.long())}


def predict(model: HSNet, batch: Batch) -> UInt8[Tensor, "b h w"]:
    """Return the predicted masks of the queries."""
    return (mean_probability(model(*inputs(model, batch))) > 0.5).to(batch.targets.dtype)


def training_data(recipe: Recipe) -> TrainingEpisodes:
    """Return the recipe's episodes."""
    return TrainingEpisodes(recipe, predict)
