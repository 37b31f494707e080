"""Our saliency network in training: images, in each of which all that is labelled stands out."""

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
from likewise.io.images import read_image
from likewise.io.labels import IGNORE
from likewise.models.saliency import LITE0_BACKBONE, SaliencyNet
from likewise.train.recipes.data_sections import ImageData
from likewise.train.recipes.model_sections import SaliencyModel
from likewise.train.recipes.schema import Recipe
from likewise.train.samples.cropping import random_part
from likewise.train.samples.episodes import counts
from likewise.train.samples.material import TRAINING, Material, Progress, readable
from likewise.train.samples.sources import Weighted, names_of, sources_without_held_out
from likewise.train.tasks.frozen import learn_only
from likewise.weights.imagenet import load_backbone


class Batch(NamedTuple):
    """Images, and 1 where something stands out, 0 where nothing does, 255 for ignore."""

    images: UInt8[Tensor, "b h w 3"]
    labels: UInt8[Tensor, "b h w"]


class SaliencyMaterial(Material):
    """Images of the recipe's sets: a set by weight, one of its classes, an image that shows it, a part of that.

    All classes of the set that the image shows are what stands out. Nothing is validated.

    Raises:
        DataSetError: a data set is not there.
    """

    selection = None

    def __init__(self, recipe: Recipe) -> None:
        assert isinstance(recipe.data, ImageData)
        self.data, self.seed = recipe.data, recipe.seed
        self.sources, self.held = sources_without_held_out(recipe.data)
        self.classes = tuple(name for _, dataset in self.sources for name in dataset.classes)

    def item(self, step: int, place: int) -> Batch:
        """See `LabelledData.on_corrupt` for images that cannot be read."""
        draw = partial(self.draw, step, place)
        return readable(draw, self.data.on_corrupt, step, names_of(self.sources))

    def draw(self, step: int, place: int, attempt: int) -> Batch:
        generator = np.random.default_rng((TRAINING, self.seed, step, place, *([attempt] if attempt else [])))
        dataset, name = draw_class(self.sources, generator)
        image = str(generator.choice(dataset.images_of[name]))
        labels = dataset.read_labels(image, dataset.classes_of[image])
        labels = np.where(labels == IGNORE, IGNORE, labels > 0).astype(np.uint8)
        part = random_part(self.data.crop, self.data.mirror, generator)
        pixels = part.of(read_image(dataset.image_path(image)), self.data.size)
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
    """A set by weight, and one of those of its classes that have at least so many images, each as often."""
    weights = np.array([weight for weight, _ in sources])
    dataset = sources[generator.choice(len(sources), p=weights / weights.sum())].dataset
    names = [name for name, images in dataset.images_of.items() if len(images) >= least]
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
    return {"saliency": model.loss(model.backbone.normalise(batch.images), batch.labels)}
