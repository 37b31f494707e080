"""Training PANet: episodes, the segmentation loss of the query and the alignment loss."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from likewise.models.panet import PANet
from likewise.train.recipes.model_sections import PANetModel
from likewise.train.samples.episodes import Batch
from likewise.train.samples.training_data import Progress


def inputs(model: PANet, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the arguments of `PANet.forward`: supports, foreground masks, background masks, queries."""
    supports = model.backbone.normalise(batch.supports.flatten(0, 2)).unflatten(0, batch.supports.shape[:3])
    ways = torch.arange(1, batch.supports.shape[1] + 1, device=supports.device)[:, None, None, None]
    foreground = (batch.support_labels == ways).to(supports.dtype)
    background = (batch.support_labels == 0).to(supports.dtype)
    return supports, foreground, background, model.backbone.normalise(batch.queries)[:, None]


def losses(model: PANet, section: PANetModel, batch: Batch, progress: Progress) -> dict[str, Float[Tensor, ""]]:
    """Return the mean over episodes of the query loss and of the weighted alignment loss.

    Each episode has its own loss, as in the published program. Episodes differ in their number of valid pixels, so a
    mean over the pixels of a batch would depend on how processes share it.
    """
    episodes = zip(*inputs(model, batch), batch.targets[:, None].long(), strict=True)
    found = [model.loss(*(part[None] for part in episode)) for episode in episodes]
    parts = {"query": torch.stack([loss.query for loss in found]).mean()}
    if section.alignment:
        parts["alignment"] = section.alignment * torch.stack([loss.align for loss in found]).mean()
    return parts


def predict(model: PANet, batch: Batch) -> UInt8[Tensor, "b h w"]:
    """Return the predicted labels of the queries."""
    return model(*inputs(model, batch))[:, 0].argmax(dim=1).to(torch.uint8)
