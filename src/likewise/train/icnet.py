"""ICNet in training: groups with their saliency maps, the soft IoU of each group's pictures."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from likewise.models.icnet import SIZE, VARIANTS, ICNet
from likewise.train.frozen import learn_only
from likewise.train.groups import Batch, GroupMaterial, open_saliency
from likewise.train.material import Progress, TrainingError
from likewise.train.recipes import ICNetModel, Recipe
from likewise.weights import load_backbone


def build(section: ICNetModel, classes: tuple[str, ...]) -> ICNet:
    """ICNet with ImageNet weights or those of a saliency model in its backbone; of it `learn` (or all) takes gradients.

    Raises:
        TrainingError: that model has another backbone.
    """
    model = VARIANTS[section.backbone]()
    if section.start is None:
        model.backbone = load_backbone(model.backbone.spec, weights=section.weights, frozen=False)
    else:
        start = open_saliency(section.start).backbone
        if start.spec.name != section.backbone:
            raise TrainingError(
                f"{section.start} has the backbone {start.spec.name}, model.backbone is {section.backbone}: leave out "
                "model.start"
            )
        model.backbone.load_state_dict(start.state_dict())
    learn_only(model.backbone, section.learn)
    return model


def inputs(model: ICNet, batch: Batch) -> list[tuple[Tensor, Tensor, Tensor]]:
    """What `ICNet.loss` takes, for each group."""
    images = model.backbone.normalise(batch.pictures.flatten(0, 1)).unflatten(0, batch.pictures.shape[:2])
    return list(zip(images, batch.maps.to(images.dtype) / 255, batch.masks.to(images.dtype), strict=True))


def losses(model: ICNet, section: ICNetModel, batch: Batch, progress: Progress) -> dict[str, Float[Tensor, ""]]:
    """The mean over the groups, each of which is looked at on its own."""
    return {"soft IoU": torch.stack([model.loss(*group) for group in inputs(model, batch)]).mean()}


def material(recipe: Recipe) -> GroupMaterial:
    return GroupMaterial(recipe, SIZE)
