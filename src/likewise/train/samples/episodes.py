"""Training data of the few-shot models: episodes, and validation episodes of held-out base classes."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from likewise.data.augmentation import Augmentation
from likewise.data.episodes import Episode, EpisodeSet, draw_episode, read_pair
from likewise.errors import DataSetError, check_known
from likewise.metrics.few_shot import FoldIoU
from likewise.train.recipes.data_sections import EpisodeData
from likewise.train.recipes.schema import Recipe
from likewise.train.samples.sources import TrainingSources, WeightedSet, without_images_of
from likewise.train.samples.training_data import TRAINING, VALIDATING, TrainingData, collate, draw_readable

Predict = Callable[[Any, "Batch"], UInt8[Tensor, "b h w"]]
"""Predicts the query labels of a batch of episodes with a model."""


class Batch(NamedTuple):
    """`b` episodes. Labels are 0 for background, way + 1, and 255 for ignore."""

    supports: UInt8[Tensor, "b k s h w 3"]
    support_labels: UInt8[Tensor, "b k s h w"]
    queries: UInt8[Tensor, "b h w 3"]
    targets: UInt8[Tensor, "b h w"]


class TrainingEpisodes(TrainingData):
    """Episodes drawn from the recipe's sets: a set by its weight, then each of its classes equally often.

    With `validation.classes`, these base classes and every image that shows one are removed from training, and the
    model is validated on a fixed list of their episodes, by `predict`.
    """

    def __init__(self, recipe: Recipe, predict: Predict) -> None:
        assert isinstance(recipe.data, EpisodeData)
        self.data, self.seed, self.workers, self.predict = recipe.data, recipe.seed, recipe.workers, predict
        self.count = recipe.validation.episodes
        self.sources = TrainingSources.open(recipe.data)
        self.held: EpisodeSet | None = None
        if recipe.validation.classes:
            self.selection = "base-class validation mIoU"
            self.sources, self.held = split_off(self.sources, recipe.validation.classes)
        self.classes = self.sources.classes
        self.shares = self.sources.shares

    def item(self, step: int, place: int) -> Batch:
        return draw_readable(partial(self._draw, step, place), self.data.on_corrupt, step, self.sources.name)

    def _draw(self, step: int, place: int, attempt: int) -> Batch:
        generator = np.random.default_rng((TRAINING, self.seed, step, place, attempt))
        sets = self.sources.sets
        dataset = sets[generator.choice(len(sets), p=self.shares) if len(sets) > 1 else 0].dataset
        shots = self.data.shots[step % len(self.data.shots)]
        episode = draw_episode(dataset, shots, self.data.ways, generator)
        return read_episode(dataset, episode, self.data, generator)

    def score(self, model: Any, move: Callable[[Batch], Batch]) -> float:
        assert self.held is not None
        assert self.selection is not None
        episodes = ValidationEpisodes(self.held, self.data, self.count)
        metric = FoldIoU(self.selection, self.held.classes)
        for index, batch in enumerate(DataLoader(episodes, 1, num_workers=self.workers, collate_fn=collate)):
            labels = self.predict(model, move(batch))
            metric.update(labels[0].cpu().numpy(), batch.targets[0].numpy(), episodes.episode(index))
        return metric.compute().values["mIoU"]

    def validation_protocol(self) -> str:
        assert self.held is not None
        return (
            f"mIoU on base classes excluded from training ({', '.join(self.held.classes)}): {self.count} "
            f"1-way {self.data.shots[0]}-shot episodes at {self.data.size}x{self.data.size}, pixels summed per class, "
            "object boundaries ignored. No test class is used"
        )

    def record(self) -> dict[str, Any]:
        return self.sources.record(self.held)


def split_off(sources: TrainingSources, classes: tuple[str, ...]) -> tuple[TrainingSources, EpisodeSet]:
    """Return the sources without `classes` and the images that show them, and the set of `classes` alone."""
    if len(sources.sets) > 1:
        raise DataSetError("validation.classes needs a single data set: other sets can show the same classes")
    weight, base = sources.sets[0]
    for name in classes:
        check_known(name, base.classes, f"class of {base.name} to validate on", DataSetError)
    held = base.only(classes)
    rest = base.only(name for name in base.classes if name not in held.classes)
    if not rest.classes:
        raise DataSetError(f"validation.classes lists all classes of {base.name}: leave some to train on")
    rest = without_images_of(rest, held, held.classes)
    return replace(sources, sets=[WeightedSet(weight, rest)]), held


class ValidationEpisodes(Dataset[Batch]):
    """`count` fixed episodes. The classes take turns; neither the run nor its seed changes an episode."""

    def __init__(self, held: EpisodeSet, data: EpisodeData, count: int) -> None:
        self.by_class = [held.only([name]) for name in held.classes]
        self.data, self.count = data, count

    def __len__(self) -> int:
        return self.count

    def episode(self, index: int) -> Episode:
        generator = np.random.default_rng((VALIDATING, index))
        return draw_episode(self.by_class[index % len(self.by_class)], self.data.shots[0], 1, generator)

    def __getitem__(self, index: int) -> Batch:
        return read_episode(self.by_class[index % len(self.by_class)], self.episode(index), self.data)


def read_episode(
    dataset: EpisodeSet, episode: Episode, data: EpisodeData, generator: np.random.Generator | None = None
) -> Batch:
    """Return an episode at the recipe's size as a batch of one, augmented if a generator is given.

    A support image whose object the augmentation would remove is not augmented.
    """
    crop = None if data.scale == (1.0, 1.0) else data.size
    augment = Augmentation(scale=data.scale, crop=crop, jitter=data.jitter, mirror=data.mirror)

    def read(name: str, way: int | None) -> tuple[np.ndarray, np.ndarray]:
        image, labels = read_pair(dataset, name, episode.classes, data.size)
        if generator is None:
            return image, labels
        new_image, new_labels = augment(image, labels, int(generator.integers(2**32)))
        lost = way is not None and (labels == way).any() and not (new_labels == way).any()
        return (image, labels) if lost else (new_image, new_labels)

    supports = [[read(name, way) for name in shots] for way, shots in enumerate(episode.supports, start=1)]
    query, target = read(episode.query, None)
    return Batch(
        torch.from_numpy(np.array([[[image for image, _ in shots] for shots in supports]])),
        torch.from_numpy(np.array([[[labels for _, labels in shots] for shots in supports]])),
        torch.from_numpy(query[None].copy()),
        torch.from_numpy(target[None].copy()),
    )
