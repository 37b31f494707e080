"""Our saliency network in training: pictures, in each of which all that is labelled stands out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from likewise.data.episodes import EpisodeSet
from likewise.data.transforms import Augmentation
from likewise.images import read_picture
from likewise.labels import IGNORE
from likewise.models.saliency import LITE0_BACKBONE, SaliencyNet
from likewise.train.cropping import random_part
from likewise.train.data_sections import PictureData
from likewise.train.episodes import counts
from likewise.train.frozen import learn_only
from likewise.train.material import TRAINING, Material, Progress, readable
from likewise.train.model_sections import SaliencyModel
from likewise.train.recipes import Recipe
from likewise.train.sources import Weighted, names_of, sources_without_held_out
from likewise.weights import load_backbone


class Batch(NamedTuple):
    """Pictures, and 1 where something stands out, 0 where nothing does, 255 for ignore."""

    pictures: UInt8[Tensor, "b h w 3"]
    labels: UInt8[Tensor, "b h w"]


class SaliencyMaterial(Material):
    """Pictures of the recipe's sets: a set by weight, one of its classes, a picture that shows it, a part of that.

    All classes of the set that the picture shows are what stands out. Nothing is validated.

    Raises:
        DataSetError: a data set is not there.
    """

    selection = None

    def __init__(self, recipe: Recipe) -> None:
        assert isinstance(recipe.data, PictureData)
        self.data, self.seed = recipe.data, recipe.seed
        self.sources, self.held = sources_without_held_out(recipe.data)
        self.classes = tuple(name for _, dataset in self.sources for name in dataset.classes)

    def item(self, step: int, place: int) -> Batch:
        """See `LabelledData.on_corrupt` for pictures that cannot be read."""
        draw = partial(self.draw, step, place)
        return readable(draw, self.data.on_corrupt, step, names_of(self.sources))

    def draw(self, step: int, place: int, attempt: int) -> Batch:
        generator = np.random.default_rng((TRAINING, self.seed, step, place, *([attempt] if attempt else [])))
        dataset, name = draw_class(self.sources, generator)
        picture = str(generator.choice(dataset.pictures_of[name]))
        labels = dataset.read_labels(picture, dataset.classes_of[picture])
        labels = np.where(labels == IGNORE, IGNORE, labels > 0).astype(np.uint8)
        part = random_part(self.data.crop, self.data.mirror, generator)
        pixels = part.of(read_picture(dataset.picture_path(picture)), self.data.size)
        labels = part.of(labels, self.data.size, labels=True)
        colours = Augmentation(jitter=self.data.jitter, mirror=0)
        pixels, labels = colours(pixels, labels, int(generator.integers(2**32)))
        return Batch(torch.tensor(pixels)[None], torch.tensor(labels)[None])

    def score(self, model: Any, move: Callable[[Any], Any]) -> float:
        raise NotImplementedError("nothing is validated")

    def described(self) -> str:
        raise NotImplementedError("nothing is validated")

    def record(self) -> dict[str, Any]:
        return recorded(self.sources, self.held)


def draw_class(sources: list[Weighted], generator: np.random.Generator, least: int = 1) -> tuple[EpisodeSet, str]:
    """A set by weight, and one of those of its classes that have at least so many pictures, each as often."""
    weights = np.array([weight for weight, _ in sources])
    dataset = sources[generator.choice(len(sources), p=weights / weights.sum())].dataset
    names = [name for name, pictures in dataset.pictures_of.items() if len(pictures) >= least]
    return dataset, str(generator.choice(names))


def recorded(sources: list[Weighted], held: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """What there was to train on, and what was kept from it, for a record."""
    training = [{**counts(dataset), "weight": weight} for weight, dataset in sources]
    return {"training": training, "held out": held, "validation": None}


def build(section: SaliencyModel, classes: tuple[str, ...]) -> SaliencyNet:
    """The network with ImageNet weights in its backbone, of which those of `learn` (or all) take gradients."""
    model = SaliencyNet(load_backbone(LITE0_BACKBONE, frozen=False), section.width)
    learn_only(model.backbone, section.learn)
    return model


def losses(
    model: SaliencyNet, section: SaliencyModel, batch: Batch, progress: Progress
) -> dict[str, Float[Tensor, ""]]:
    return {"saliency": model.loss(model.backbone.normalise(batch.pictures), batch.labels)}
