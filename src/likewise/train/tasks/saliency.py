"""Training the saliency network."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from likewise.models.saliency import SaliencyNet
from likewise.train.recipes.model_sections import SaliencyModel
from likewise.train.samples.images import Batch
from likewise.train.samples.training_data import Progress
from likewise.train.tasks.backbone import trainable_backbone
from likewise.weights.build import build_model


def build(section: SaliencyModel, classes: tuple[str, ...]) -> SaliencyNet:
    """Return the network with a backbone of ImageNet weights and a random decoder."""
    model: Any = build_model(section.model_dump())
    model.backbone = trainable_backbone(model.backbone.spec, None, section.learn)
    return model


def losses(
    model: SaliencyNet, section: SaliencyModel, batch: Batch, progress: Progress
) -> dict[str, Float[Tensor, ""]]:
    """Return the saliency loss, a mean over the pixels of the batch."""
    return {"saliency": model.loss(model.backbone.normalise(batch.images), batch.labels)}
