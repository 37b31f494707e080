"""Single images to train on, with a mask of everything that is labelled in them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from likewise.data.augmentation import Augmentation
from likewise.io.images import read_image
from likewise.io.labels import IGNORE
from likewise.train.recipes.data_sections import ImageData
from likewise.train.recipes.schema import Recipe
from likewise.train.samples.cropping import random_crop
from likewise.train.samples.sources import draw_class, open_training_sources, set_names, sources_record
from likewise.train.samples.training_data import TRAINING, TrainingData, draw_readable


class Batch(NamedTuple):
    """Images, and 1 where something stands out, 0 where nothing does, 255 for ignore."""

    images: UInt8[Tensor, "b h w 3"]
    labels: UInt8[Tensor, "b h w"]


class TrainingImages(TrainingData):
    """Images of the recipe's sets: a set by weight, one of its classes, an image that shows it, a part of that.

    All classes of the set that the image shows are what stands out. Nothing is validated.

    Raises:
        DataSetError: a data set is not there.
    """

    selection = None

    def __init__(self, recipe: Recipe) -> None:
        assert isinstance(recipe.data, ImageData)
        self.data, self.seed = recipe.data, recipe.seed
        self.sources, self.held = open_training_sources(recipe.data)
        self.classes = tuple(name for _, dataset in self.sources for name in dataset.classes)

    def item(self, step: int, place: int) -> Batch:
        """See `LabelledData.on_corrupt` for images that cannot be read."""
        draw = partial(self.draw, step, place)
        return draw_readable(draw, self.data.on_corrupt, step, set_names(self.sources))

    def draw(self, step: int, place: int, attempt: int) -> Batch:
        generator = np.random.default_rng((TRAINING, self.seed, step, place, *([attempt] if attempt else [])))
        dataset, name = draw_class(self.sources, generator)
        image = str(generator.choice(dataset.images_of[name]))
        labels = dataset.read_labels(image, dataset.classes_of[image])
        labels = np.where(labels == IGNORE, IGNORE, labels > 0).astype(np.uint8)
        part = random_crop(self.data.crop, self.data.mirror, generator)
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
        return sources_record(self.sources, self.held)
