"""Training of HSNet and PrototypeHSNet: episodes of one class, frozen backbones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from likewise.backbones.specs import BackboneSpec, backbone_spec
from likewise.backbones.taps import Backbone
from likewise.errors import ModelError, TrainingError, check_known
from likewise.models.blocks.hypercorrelation import HypercorrelationEncoder
from likewise.models.hsnet import HSNet, HSNetConfig
from likewise.models.panet import PANet
from likewise.models.prototype_hsnet import PrototypeHSNet, PrototypeHSNetConfig
from likewise.ops.shots import mean_probability
from likewise.train.recipes.model_sections import HSNetModel
from likewise.train.recipes.schema import Recipe
from likewise.train.samples.episodes import Batch, TrainingEpisodes
from likewise.train.samples.training_data import Progress
from likewise.weights.imagenet import load_backbone
from likewise.weights.load import load_trained


class Crossed(HypercorrelationEncoder):
    """Mixin: a model that can be trained on the features of other backbones, which are not part of its state.

    Args:
        backbones: the last one is the model's own.
        of_class: for each class of the data, the index of its backbone.
        config: of the model.
    """

    def __init__(self, backbones: list[Backbone], of_class: list[int], config: Any) -> None:
        super().__init__(backbones[-1], config)  # type: ignore[call-arg]
        self.others = backbones[:-1]  # a list, so that they are not registered as submodules
        self.of_class = torch.tensor(of_class)

    @contextmanager
    def through(self, place: int) -> Iterator[None]:
        """Use the backbone of this index inside the `with` block."""
        own: Any = self.backbone
        if place < len(self.others):
            self.backbone = self.others[place].to(next(self.parameters()).device)
        try:
            yield
        finally:
            self.backbone = own


class CrossedHSNet(Crossed, HSNet):
    """HSNet on several backbones."""


class CrossedPrototypeHSNet(Crossed, PrototypeHSNet):
    """PrototypeHSNet on several backbones."""


Model = CrossedHSNet | CrossedPrototypeHSNet


def build(section: HSNetModel, classes: tuple[str, ...]) -> Model:
    """Return an untrained HSNet, or PrototypeHSNet if there are prototype taps, on one or more frozen backbones.

    The backbones have ImageNet weights or those of training runs.

    Raises:
        TrainingError: such a run is of another kind, or on another backbone.
    """
    spec = backbone_spec(section.backbone)
    modules = [tap.module for tap in spec.taps]
    check_known(section.first_tap, modules, f"tap of {section.backbone}", ModelError)
    spec = spec.with_taps(*modules[modules.index(section.first_tap) :])
    runs = [start(spec, section, run) for run in section.start]
    backbones = [backbone for backbone, _ in runs] or [load_backbone(spec, weights=section.weights)]
    unseen = [[place for place, (_, trained) in enumerate(runs) if name not in trained] for name in classes]
    of_class = [places[-1] if places else len(backbones) - 1 for places in unseen]
    if not section.prototype_taps:
        return CrossedHSNet(backbones, of_class, HSNetConfig(channels=section.channels))
    config = PrototypeHSNetConfig(
        channels=section.channels, prototype_taps=section.prototype_taps, self_support=section.self_support
    )
    return CrossedPrototypeHSNet(backbones, of_class, config)


def start(spec: BackboneSpec, section: HSNetModel, run: Path) -> tuple[Backbone, tuple[str, ...]]:
    """The backbone of a run of PANet, or of HSNet, and the classes that it was trained on."""
    backbone = load_backbone(spec, weights=section.weights)
    trained: Any
    trained, classes = load_trained(run)
    own = backbone.state_dict()
    shared = {name: value for name, value in trained.backbone.state_dict().items() if name in own}
    if (
        not isinstance(trained, PANet | HSNet | PrototypeHSNet)
        or trained.backbone.spec.name != section.backbone
        or not shared
    ):
        raise TrainingError(
            f"{run} holds {type(trained).__name__} on {trained.backbone.spec.name}; to start from is needed a run of "
            f"panet or hsnet on {section.backbone}"
        )
    backbone.load_state_dict(own | shared)
    backbone.net = backbone.net.to(memory_format=torch.channels_last)
    return backbone, classes


def inputs(model: Model, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Return the arguments of the model's `forward`."""
    supports = batch.supports[:, 0]
    images = model.backbone.normalise(supports.flatten(0, 1)).unflatten(0, supports.shape[:2])
    return images, (batch.support_labels[:, 0] == 1).to(images.dtype), model.backbone.normalise(batch.queries)


def losses(model: Model, section: HSNetModel, batch: Batch, progress: Progress) -> dict[str, Float[Tensor, ""]]:
    """The mean over the episodes, those of one backbone after those of another."""
    places = model.of_class.to(batch.ways.device)[batch.ways[:, 0]]
    found = []
    for place in places.unique().tolist():
        chosen = (places == place).nonzero()[:, 0]
        with model.through(place):
            loss = chosen_loss(model, section, Batch(*(part[chosen] for part in batch)))
        found.append(loss * len(chosen) / len(places))
    return {section.loss: torch.stack(found).sum()}


def chosen_loss(model: Model, section: HSNetModel, batch: Batch) -> Float[Tensor, ""]:
    found = model.loss(*inputs(model, batch), batch.targets.long())
    return found.query if section.loss == "cross-entropy" else found.overlap


def predict(model: Model, batch: Batch) -> UInt8[Tensor, "b h w"]:
    return (mean_probability(model(*inputs(model, batch))) > 0.5).to(torch.uint8)


def material(recipe: Recipe) -> TrainingEpisodes:
    return TrainingEpisodes(recipe, predict)
