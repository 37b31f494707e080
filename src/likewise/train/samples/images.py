"""Training data of the saliency network: single images with a mask of every labelled object."""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from likewise.data.augmentation import Augmentation, random_crop
from likewise.io.images import read_image
from likewise.train.recipes.data_sections import ImageData
from likewise.train.recipes.schema import Recipe
from likewise.train.samples.sources import TrainingSources, read_merged
from likewise.train.samples.training_data import TRAINING, TrainingData, draw_readable


class Batch(NamedTuple):
    """Images, and labels: 1 salient, 0 background, 255 ignore."""

    images: UInt8[Tensor, "b h w 3"]
    labels: UInt8[Tensor, "b h w"]


class TrainingImages(TrainingData):
    """Random crops of single images, drawn by source, class and image; no validation.

    Pixels of any class of the image's data set are salient.
    """

    def __init__(self, recipe: Recipe) -> None:
        assert isinstance(recipe.data, ImageData)
        self.data, self.seed = recipe.data, recipe.seed
        self.sources = TrainingSources.open(recipe.data)
        self.classes = self.sources.classes

    def item(self, step: int, place: int) -> Batch:
        return draw_readable(partial(self._draw, step, place), self.data.on_corrupt, step, self.sources.name)

    def _draw(self, step: int, place: int, attempt: int) -> Batch:
        generator = np.random.default_rng((TRAINING, self.seed, step, place, *([attempt] if attempt else [])))
        dataset, name = self.sources.draw_class(generator)
        image = str(generator.choice(dataset.images_of[name]))
        labels = read_merged(dataset, image, name)
        crop = random_crop(self.data.crop, self.data.mirror, generator)
        pixels = crop.apply(read_image(dataset.image_path(image)), self.data.size)
        labels = crop.apply(labels, self.data.size, labels=True)
        colours = Augmentation(jitter=self.data.jitter, mirror=0)
        pixels, labels = colours(pixels, labels, int(generator.integers(2**32)))
        return Batch(torch.tensor(pixels)[None], torch.tensor(labels)[None])

    def record(self) -> dict[str, Any]:
        return self.sources.record()
