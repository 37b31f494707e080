"""Episodes to train on, of one set or several, and those of base classes to validate on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from likewise.data.augmentation import Augmentation
from likewise.data.episodes import Episode, EpisodeSet, draw_episode, load_episode
from likewise.errors import DataSetError, check_known
from likewise.metrics.few_shot import FoldIoU
from likewise.train.recipes.data_sections import EpisodeData
from likewise.train.recipes.schema import Recipe
from likewise.train.samples.sources import WeightedSet, counts, open_training_sources, set_names
from likewise.train.samples.training_data import (
    TRAINING,
    VALIDATING,
    TrainingData,
    collate,
    draw_readable,
)

Predict = Callable[[Any, "Batch"], UInt8[Tensor, "b h w"]]
"""From a model and episodes to the labels of the queries."""


class Batch(NamedTuple):
    """Images and labels of `b` episodes. Labels are 0 for background, way + 1, and 255 for ignore.

    `ways` are the places of each episode's classes among those of the material.
    """

    supports: UInt8[Tensor, "b k s h w 3"]
    support_labels: UInt8[Tensor, "b k s h w"]
    queries: UInt8[Tensor, "b h w 3"]
    targets: UInt8[Tensor, "b h w"]
    ways: Int64[Tensor, "b k"]


class TrainingEpisodes(TrainingData):
    """Episodes of the recipe's sets, each set drawn from as often as its weight says, and each of its classes equally.

    Validation is on base classes that are kept from training, with every image that shows one; on episodes that are
    the same in every run, every class equally often; pixels summed per class, boundary left out.

    Args:
        predict: the model's way from episodes to labels.

    Raises:
        DataSetError: a data set is not there; a validation class is no class of the training set, or of a mixture.
    """

    selection = None

    def __init__(self, recipe: Recipe, predict: Predict) -> None:
        assert isinstance(recipe.data, EpisodeData)
        self.data, self.seed, self.workers, self.predict = recipe.data, recipe.seed, recipe.workers, predict
        self.count = recipe.validation.episodes
        self.sources, self.left_out = open_training_sources(recipe.data)
        self.held: EpisodeSet | None = None
        if recipe.validation.classes:
            self.selection = "base-class validation mIoU"
            self.sources, self.held = split_off(self.sources, recipe.validation.classes)
        self.classes = tuple(name for _, dataset in self.sources for name in dataset.classes)
        weights = np.array([weight for weight, _ in self.sources])
        self.shares = weights / weights.sum()

    def item(self, step: int, place: int) -> Batch:
        """See `LabelledData.on_corrupt` for images that cannot be read."""

        def draw(attempt: int) -> Batch:
            generator = np.random.default_rng((TRAINING, self.seed, step, place, attempt))
            source = generator.choice(len(self.sources), p=self.shares) if len(self.sources) > 1 else 0
            dataset = self.sources[source].dataset
            shots = self.data.shots[step % len(self.data.shots)]
            episode = draw_episode(dataset, shots, self.data.ways, generator)
            batch = read_episode(dataset, episode, self.data, generator)
            before = sum(len(other.classes) for _, other in self.sources[:source])
            return batch._replace(ways=batch.ways + before)

        return draw_readable(draw, self.data.on_corrupt, step, set_names(self.sources))

    def score(self, model: Any, move: Callable[[Batch], Batch]) -> float:
        assert self.held is not None
        assert self.selection is not None
        episodes = ValidationEpisodes(self.held, self.data, self.count)
        metric = FoldIoU(self.selection, self.held.classes)
        for index, batch in enumerate(DataLoader(episodes, 1, num_workers=self.workers, collate_fn=collate)):
            labels = self.predict(model, move(batch))
            metric.update(labels[0].cpu().numpy(), batch.targets[0].numpy(), episodes.episode(index))
        return metric.compute().values["mIoU"]

    def described(self) -> str:
        assert self.held is not None
        return (
            f"mIoU on base classes that were not trained on ({', '.join(self.held.classes)}): {self.count} "
            f"1-way {self.data.shots[0]}-shot episodes at {self.data.size}x{self.data.size}, pixels summed per class, "
            "boundary left out. No test class was used"
        )

    def record(self) -> dict[str, Any]:
        training = [{**counts(dataset), "weight": weight} for weight, dataset in self.sources]
        return {"training": training, "held out": self.left_out, "validation": self.held and counts(self.held)}


def split_off(sources: list[WeightedSet], classes: tuple[str, ...]) -> tuple[list[WeightedSet], EpisodeSet]:
    """The one set without some of its classes and the images that show them, and these classes alone."""
    if len(sources) > 1:
        raise DataSetError("classes to validate on need a single data set: in a mixture they hide in other sets too")
    weight, base = sources[0]
    for name in classes:
        check_known(name, base.classes, f"class of {base.name} to validate on", DataSetError)
    held = base.only(classes)
    rest = base.only(name for name in base.classes if name not in held.classes)
    if not rest.classes:
        raise DataSetError(f"all classes of {base.name} are kept for validation; leave some to train on")
    shown = {entry.image for entry in held.entries}
    rest = replace(rest, entries=tuple(entry for entry in rest.entries if entry.image not in shown))
    return [WeightedSet(weight, rest)], held


class ValidationEpisodes(Dataset[Batch]):
    """Episode `i`, of class `i` modulo their number: the same in every run, whatever its seed."""

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
    """One episode at the size of the recipe, as a batch of one; augmented as the recipe says if there is a generator.

    A support is left as it is where the cut would lose all of its object.
    """
    crop = None if data.scale == (1.0, 1.0) else data.size
    augment = Augmentation(scale=data.scale, crop=crop, jitter=data.jitter, mirror=data.mirror)
    loaded = load_episode(dataset, episode, data.size)

    def augmented(image: np.ndarray, labels: np.ndarray, shown: int | None) -> tuple[np.ndarray, np.ndarray]:
        if generator is None:
            return image, labels
        pixels, mask = augment(image, labels, int(generator.integers(2**32)))
        lost = shown is not None and (labels == shown).any() and not (mask == shown).any()
        return (image, labels) if lost else (pixels, mask)

    supports = [
        [augmented(image, labels, way) for image, labels in zip(*shots, strict=True)]
        for way, shots in enumerate(zip(loaded.supports, loaded.support_labels, strict=True), start=1)
    ]
    query, target = augmented(loaded.query, loaded.target, None)
    return Batch(
        torch.from_numpy(np.array([[[image for image, _ in way] for way in supports]])),
        torch.from_numpy(np.array([[[labels for _, labels in way] for way in supports]])),
        torch.from_numpy(query[None].copy()),
        torch.from_numpy(target[None].copy()),
        torch.tensor([[dataset.classes.index(name) for name in episode.classes]]),
    )
