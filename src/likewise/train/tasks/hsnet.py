"""Training HSNet: 1-way episodes, a frozen backbone."""

from jaxtyping import Float, UInt8
from torch import Tensor

from likewise.models.hsnet import HSNet
from likewise.ops.shots import mean_probability
from likewise.train.recipes.model_sections import HSNetModel
from likewise.train.samples.episodes import Batch
from likewise.train.samples.training_data import Progress


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
