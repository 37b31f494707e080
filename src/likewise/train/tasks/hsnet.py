"""Training HSNet: 1-way episodes, frozen backbones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from likewise.backbones.specs import BackboneSpec
from likewise.backbones.taps import Backbone
from likewise.errors import TrainingError
from likewise.models.hsnet import HSNet
from likewise.ops.shots import mean_probability
from likewise.train.recipes.model_sections import HSNetModel
from likewise.train.recipes.schema import Recipe
from likewise.train.samples.episodes import Batch, TrainingEpisodes
from likewise.train.samples.training_data import Progress
from likewise.weights.build import build_model, hsnet_backbone
from likewise.weights.imagenet import load_backbone
from likewise.weights.load import open_model
from likewise.weights.names import FEW_SHOT


@dataclass
class ClassBackbones:
    """The backbone that each class's training episodes use (`HSNetModel.start`). Not part of the model's state.

    Attributes:
        backbones: of the runs to start from, in order; the last is the model's own.
        of_class: for each class of the training data, the index of its backbone.
    """

    backbones: list[Backbone]
    of_class: Int[Tensor, " classes"]

    @contextmanager
    def use(self, model: Any, index: int) -> Iterator[None]:
        """Replace the model's backbone within the block."""
        own = model.backbone
        if index < len(self.backbones) - 1:
            model.backbone = self.backbones[index].to(next(model.parameters()).device)
        try:
            yield
        finally:
            model.backbone = own


def build(section: HSNetModel, classes: tuple[str, ...]) -> HSNet:
    """Return HSNet with its `class_backbones`.

    The backbone is frozen; all other weights are random.

    Raises:
        TrainingError: a run in `section.start` has another backbone.
        ModelError: a run in `section.start` is of another method.
    """
    spec = hsnet_backbone(section.model_dump())
    runs = [load_start(spec, section, run) for run in section.start]
    backbones = [backbone for backbone, _ in runs] or [load_backbone(spec, weights=section.weights)]
    last = len(backbones) - 1
    of_class = [max((i for i, (_, seen) in enumerate(runs) if name not in seen), default=last) for name in classes]
    model: Any = build_model(section.model_dump())
    model.backbone = backbones[-1]
    model.class_backbones = ClassBackbones(backbones, torch.tensor(of_class, dtype=torch.long))
    return model


def load_start(spec: BackboneSpec, section: HSNetModel, run: Path) -> tuple[Backbone, tuple[str, ...]]:
    """Return the backbone of a run of PANet or HSNet, and the classes it was trained on."""
    backbone = load_backbone(spec, weights=section.weights)
    trained = open_model(run, FEW_SHOT)
    own, found = backbone.state_dict(), trained.network.backbone
    shared = {name: value for name, value in found.state_dict().items() if name in own}
    if found.spec.name != section.backbone or not shared:
        raise TrainingError(
            f"model.start={run} is a run of {trained.method} on {found.spec.name}: use a run of panet or hsnet on "
            f"{section.backbone}"
        )
    backbone.load_state_dict(own | shared)
    backbone.net = backbone.net.to(memory_format=torch.channels_last)
    return backbone, trained.trained_classes


def inputs(model: HSNet, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Return the arguments of the model's `forward`: supports, their masks, queries."""
    supports = batch.supports[:, 0]
    images = model.backbone.normalise(supports.flatten(0, 1)).unflatten(0, supports.shape[:2])
    return images, (batch.support_labels[:, 0] == 1).to(images.dtype), model.backbone.normalise(batch.queries)


def losses(model: Any, section: HSNetModel, batch: Batch, progress: Progress) -> dict[str, Float[Tensor, ""]]:
    """Return the mean loss over the episodes, which are computed together for each backbone."""
    choice: ClassBackbones = model.class_backbones
    indices = choice.of_class.to(batch.classes.device)[batch.classes[:, 0]]
    found = []
    for index in indices.unique().tolist():
        chosen = (indices == index).nonzero()[:, 0]
        part = Batch(*(plane[chosen] for plane in batch))
        with choice.use(model, index):
            loss = model.loss(*inputs(model, part), part.targets.long())
        found.append((loss.query if section.loss == "cross-entropy" else loss.overlap) * len(chosen) / len(indices))
    return {section.loss: torch.stack(found).sum()}


def predict(model: HSNet, batch: Batch) -> UInt8[Tensor, "b h w"]:
    """Return the predicted masks of the queries."""
    return (mean_probability(model(*inputs(model, batch))) > 0.5).to(torch.uint8)


def training_data(recipe: Recipe) -> TrainingEpisodes:
    """Return the recipe's episodes."""
    return TrainingEpisodes(recipe, predict)
