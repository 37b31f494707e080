"""Training ICNet: groups of images with saliency maps, the soft IoU of each group."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from likewise.errors import TrainingError
from likewise.models.icnet import ICNet
from likewise.train.recipes.sections import ICNetModel
from likewise.train.samples.groups import Batch
from likewise.train.samples.training_data import Progress
from likewise.train.tasks.build import learn_only
from likewise.weights.build import build_model
from likewise.weights.imagenet import load_backbone
from likewise.weights.load import open_model


def build(section: ICNetModel, classes: tuple[str, ...]) -> ICNet:
    """Return ICNet with ImageNet weights in its backbone, or continuing from the model `section.start`."""
    model: Any = build_model(section.model_dump())
    if section.start is None:
        model.backbone = load_backbone(model.backbone.spec, weights=section.weights, frozen=False)
    else:
        start = open_model(section.start, ("icnet", "panet", "saliency"))
        network = start.network
        if network.backbone.spec.name != section.backbone:
            raise TrainingError(
                f"model.start={section.start} has backbone {network.backbone.spec.name}: use a run on "
                f"{section.backbone}"
            )
        if start.method == "icnet" and network.config != model.config:
            raise TrainingError(
                f"model.start={section.start} compares {'un' if section.compress else ''}compressed features: set "
                f"model.compress={str(not section.compress).lower()} to continue from it"
            )
        target, source = (model, network) if start.method == "icnet" else (model.backbone, network.backbone)
        target.load_state_dict(source.state_dict())
    learn_only(model.backbone, section.learn)
    return model


def inputs(model: ICNet, batch: Batch) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return the arguments of `ICNet.loss` for each group."""
    images = model.backbone.normalise(batch.images.flatten(0, 1)).unflatten(0, batch.images.shape[:2])
    return list(zip(images, batch.maps.to(images.dtype) / 255, batch.masks.to(images.dtype), strict=True))


def losses(model: ICNet, section: ICNetModel, batch: Batch, progress: Progress) -> dict[str, Float[Tensor, ""]]:
    """Return the mean over the groups of their soft IoU loss."""
    return {"soft IoU": torch.stack([model.loss(*group) for group in inputs(model, batch)]).mean()}
