"""The episodes of training and of base-class validation, each a function of its place in the run.

What is drawn at a step follows from the recipe's seed and the step alone: neither a resumed run, nor more workers, nor
more processes change it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from likewise.data.class_folders import class_folders
from likewise.data.coco import coco20i
from likewise.data.episodes import Episode, EpisodeSet, draw_episode, load_episode
from likewise.data.layout import DataSetError, known
from likewise.data.pascal import pascal5i
from likewise.data.transforms import Augmentation
from likewise.images import PictureError
from likewise.train.recipes import Data, Recipe

FOLDED: dict[str, Callable[..., EpisodeSet]] = {"pascal5i": pascal5i, "coco20i": coco20i}

# Streams of random numbers: of training, of the validation's episodes, of weights that start at random.
TRAINING, VALIDATING, STARTING = 0, 1, 2
TRIES = 10


class TrainingError(RuntimeError):
    """A run that cannot start or go on; the message says what to do."""


def torch_seed(*parts: int) -> int:
    """A seed for torch made of several numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


class Batch(NamedTuple):
    """Pictures and labels of `b` episodes. Labels are 0 for background, way + 1, and 255 for ignore."""

    supports: UInt8[Tensor, "b k s h w 3"]
    support_labels: UInt8[Tensor, "b k s h w"]
    queries: UInt8[Tensor, "b h w 3"]
    targets: UInt8[Tensor, "b h w"]


def data_sets(recipe: Recipe) -> tuple[EpisodeSet, EpisodeSet | None]:
    """The training set, and the base classes kept for validation or None.

    Raises:
        DataSetError: the data set is not there; a validation class is no base class of the fold.
    """
    data = recipe.data
    if data.set == "class_folders":
        base = class_folders(data.root)
    else:
        base = FOLDED[data.set](data.root, data.fold, split="trn", drop_leaking=data.drop_leaking)
    if not recipe.validation.classes:
        return base, None
    for name in recipe.validation.classes:
        known(name, base.classes, f"class of {base.name} to validate on")
    held = base.only(recipe.validation.classes)
    rest = base.only(name for name in base.classes if name not in held.classes)
    if not rest.classes:
        raise DataSetError(f"all classes of {base.name} are kept for validation; leave some to train on")
    shown = {entry.picture for entry in held.entries}
    return replace(rest, entries=tuple(entry for entry in rest.entries if entry.picture not in shown)), held


class TrainingEpisodes(Dataset[Batch]):
    """Item `n` is episode `n % batch` of step `n // batch`, always the same."""

    def __init__(self, dataset: EpisodeSet, data: Data, seed: int, batch: int) -> None:
        self.dataset, self.data, self.seed, self.batch = dataset, data, seed, batch

    def __getitem__(self, index: int) -> Batch:
        """The episode's pixels; see `Data.on_corrupt` for pictures that cannot be read."""
        place = divmod(index, self.batch)
        for attempt in range(TRIES):
            generator = np.random.default_rng((TRAINING, self.seed, *place, attempt))
            episode = draw_episode(self.dataset, self.data.shots, self.data.ways, generator)
            try:
                return read_episode(self.dataset, episode, self.data.size, self.data.mirror, generator)
            except PictureError as error:
                if self.data.on_corrupt == "stop":
                    raise
                warnings.warn(f"an episode of step {place[0]} is drawn anew: {error}", stacklevel=2)
        raise TrainingError(f"{TRIES} episodes in a row hold pictures that cannot be read; repair {self.dataset.name}")


class ValidationEpisodes(Dataset[Batch]):
    """Episode `i`, of class `i` modulo their number: the same in every run, whatever its seed."""

    def __init__(self, held: EpisodeSet, data: Data, count: int) -> None:
        self.by_class = [held.only([name]) for name in held.classes]
        self.data, self.count = data, count

    def __len__(self) -> int:
        return self.count

    def episode(self, index: int) -> Episode:
        generator = np.random.default_rng((VALIDATING, index))
        return draw_episode(self.by_class[index % len(self.by_class)], self.data.shots, 1, generator)

    def __getitem__(self, index: int) -> Batch:
        return read_episode(self.by_class[index % len(self.by_class)], self.episode(index), self.data.size)


def read_episode(
    dataset: EpisodeSet, episode: Episode, size: int, mirror: float = 0.0, generator: np.random.Generator | None = None
) -> Batch:
    """One episode at `size` x `size` pixels, each picture mirrored by chance; as a batch of one."""
    augment = Augmentation(mirror=mirror)
    loaded = load_episode(dataset, episode, size)

    def augmented(picture: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return augment(picture, labels, int(generator.integers(2**32))) if generator is not None else (picture, labels)

    supports = [
        [augmented(picture, labels) for picture, labels in zip(*way, strict=True)]
        for way in zip(loaded.supports, loaded.support_labels, strict=True)
    ]
    query, target = augmented(loaded.query, loaded.target)
    return Batch(
        torch.from_numpy(np.array([[[picture for picture, _ in way] for way in supports]])),
        torch.from_numpy(np.array([[[labels for _, labels in way] for way in supports]])),
        torch.from_numpy(query[None].copy()),
        torch.from_numpy(target[None].copy()),
    )


def collate(episodes: Sequence[Batch]) -> Batch:
    return Batch(*(torch.cat(parts) for parts in zip(*episodes, strict=True)))


def loader(episodes: TrainingEpisodes, steps: range, share: slice, workers: int) -> DataLoader[Batch]:
    """Batches of those steps, each the `share` of its episodes that one process has."""
    places = range(episodes.batch)[share]
    indices = [[step * episodes.batch + place for place in places] for step in steps]
    return DataLoader(episodes, batch_sampler=indices, num_workers=workers, collate_fn=collate)
