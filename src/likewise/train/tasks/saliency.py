"""Training the saliency network."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from likewise.models.saliency import SaliencyNet
from likewise.train.recipes.model_sections import SaliencyModel
from likewise.train.samples.images import Batch
from likewise.train.samples.training_data import Progress


def losses(
    model: SaliencyNet, section: SaliencyModel, batch: Batch, progress: Progress
) -> dict[str, Float[Tensor, ""]]:
    """Return the saliency loss, a mean over the pixels of the batch."""
    return {"saliency": model.loss(model.backbone.normalise(batch.images), batch.labels)}
