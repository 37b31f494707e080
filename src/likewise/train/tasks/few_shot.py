"""Training the few-shot models on episodes: PANet, and HSNet on 1-way episodes with a frozen backbone."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from likewise.models.hsnet import HSNet
from likewise.models.panet import PANet
from likewise.ops.shots import mean_probability
from likewise.train.recipes.sections import HSNetModel, PANetModel
from likewise.train.samples.episodes import Batch
from likewise.train.samples.training_data import Progress


def panet_inputs(model: PANet, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the arguments of `PANet.forward`: supports, foreground masks, background masks, queries."""
    supports = model.backbone.normalise(batch.supports.flatten(0, 2)).unflatten(0, batch.supports.shape[:3])
    ways = torch.arange(1, batch.supports.shape[1] + 1, device=supports.device)[:, None, None, None]
    foreground = (batch.support_labels == ways).to(supports.dtype)
    background = (batch.support_labels == 0).to(supports.dtype)
    return supports, foreground, background, model.backbone.normalise(batch.queries)[:, None]


def panet_losses(model: PANet, section: PANetModel, batch: Batch, progress: Progress) -> dict[str, Float[Tensor, ""]]:
    """Return the mean over episodes of the query loss and of the weighted alignment loss.

    Each episode has its own loss, as in the published program. Episodes differ in their number of valid pixels, so a
    mean over the pixels of a batch would depend on how processes share it.
    """
    episodes = zip(*panet_inputs(model, batch), batch.targets[:, None].long(), strict=True)
    found = [model.loss(*(part[None] for part in episode)) for episode in episodes]
    parts = {"query": torch.stack([loss.query for loss in found]).mean()}
    if section.alignment:
        parts["alignment"] = section.alignment * torch.stack([loss.align for loss in found]).mean()
    return parts


def panet_predict(model: PANet, batch: Batch) -> UInt8[Tensor, "b h w"]:
    """Return the predicted labels of the queries."""
    return model(*panet_inputs(model, batch))[:, 0].argmax(dim=1).to(torch.uint8)


def hsnet_inputs(model: HSNet, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Return the arguments of `HSNet.forward`: supports, their masks, queries."""
    supports = batch.supports[:, 0]
    images = model.backbone.normalise(supports.flatten(0, 1)).unflatten(0, supports.shape[:2])
    return images, (batch.support_labels[:, 0] == 1).to(images.dtype), model.backbone.normalise(batch.queries)


def hsnet_losses(model: HSNet, section: HSNetModel, batch: Batch, progress: Progress) -> dict[str, Float[Tensor, ""]]:
    """Return the mean cross-entropy of the queries."""
    return {"cross-entropy": model.loss(*hsnet_inputs(model, batch), batch.targets.long())}


def hsnet_predict(model: HSNet, batch: Batch) -> UInt8[Tensor, "b h w"]:
    """Return the predicted masks of the queries."""
    logits = model(*hsnet_inputs(model, batch)).float().cpu().numpy()
    found = np.stack([mean_probability(list(shots), shots.shape[-2:]) > 0.5 for shots in logits])
    return torch.from_numpy(found).to(batch.targets)
