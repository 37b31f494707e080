"""Our saliency network in training."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from likewise.models.saliency import LITE0_BACKBONE, SaliencyNet
from likewise.train.recipes.model_sections import SaliencyModel
from likewise.train.samples.images import Batch
from likewise.train.samples.training_data import Progress
from likewise.train.tasks.frozen import learn_only
from likewise.weights.imagenet import load_backbone


def build(section: SaliencyModel, classes: tuple[str, ...]) -> SaliencyNet:
    """The network with ImageNet weights in its backbone, of which those of `learn` (or all) take gradients."""
    model = SaliencyNet(load_backbone(LITE0_BACKBONE, frozen=False), section.width)
    learn_only(model.backbone, section.learn)
    return model


def losses(
    model: SaliencyNet, section: SaliencyModel, batch: Batch, progress: Progress
) -> dict[str, Float[Tensor, ""]]:
    return {"saliency": model.loss(model.backbone.normalise(batch.images), batch.labels)}
