"""Training the saliency network."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from likewise.models.saliency import LITE0_BACKBONE, SaliencyNet
from likewise.train.recipes.model_sections import SaliencyModel
from likewise.train.samples.images import Batch
from likewise.train.samples.training_data import Progress
from likewise.train.tasks.backbone import trainable_backbone


def build(section: SaliencyModel, classes: tuple[str, ...]) -> SaliencyNet:
    """Return the network with a backbone of ImageNet weights and a random decoder."""
    return SaliencyNet(trainable_backbone(LITE0_BACKBONE, None, section.learn), section.width)


def losses(
    model: SaliencyNet, section: SaliencyModel, batch: Batch, progress: Progress
) -> dict[str, Float[Tensor, ""]]:
    """Return the saliency loss, a mean over the pixels of the batch."""
    return {"saliency": model.loss(model.backbone.normalise(batch.images), batch.labels)}
