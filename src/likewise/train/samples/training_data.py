"""What a run learns from: batches, each a function of its place in the run, and what it is measured on on the way.

What is drawn at a step follows from the recipe's seed and the step alone: neither a resumed run, nor more workers, nor
more processes change it.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from likewise.errors import ImageError, TrainingError

# Streams of random numbers: of training, of the validation's episodes, of weights that start at random.
TRAINING, VALIDATING, STARTING = 0, 1, 2

TRIES = 10

Batch = Any
"""A NamedTuple of tensors, each with the batch as its first axis."""


class Progress(NamedTuple):
    """Where a run stands: updates done, of how many, and the learning rate as a part of the recipe's."""

    step: int
    steps: int
    rate: float = 1.0


def torch_seed(*parts: int) -> int:
    """A seed for torch made of several numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


class TrainingData(ABC):
    """The training data of a run, and its validation data.

    Attributes:
        classes: that it trains on, as they are to stand beside the weights.
        selection: what `score` measures, such as "mIoU on base classes"; None if there is nothing to measure on. Never
            anything of a test set.
    """

    classes: tuple[str, ...]
    selection: str | None

    @abstractmethod
    def item(self, step: int, place: int) -> Batch:
        """A batch of one: what stands at that place in the batch of that step, always the same.

        Raises:
            ImageError: it cannot be read, and the recipe says to stop there.
        """

    @abstractmethod
    def score(self, model: Any, move: Callable[[Batch], Batch]) -> float:
        """How good the model is on the validation data, in [0, 1], higher is better.

        Args:
            model: in evaluation mode.
            move: brings a batch to the model's device.
        """

    @abstractmethod
    def described(self) -> str:
        """The validation in words, as they follow "the best of n by": what was measured on what."""

    @abstractmethod
    def record(self) -> dict[str, Any]:
        """What there was to train and to validate on, for `record.json`."""


def draw_readable(draw: Callable[[int], Batch], on_corrupt: str, step: int, source: str) -> Batch:
    """What is drawn for a place; drawn anew, with a warning, where an image cannot be read and `on_corrupt` is "skip".

    Args:
        draw: given the number of the attempt, from 0.
        source: what to repair, for the error.

    Raises:
        ImageError: an image cannot be read, and `on_corrupt` is "stop".
        TrainingError: too many in a row cannot be read.
    """
    for attempt in range(TRIES):
        try:
            return draw(attempt)
        except ImageError as error:
            if on_corrupt == "stop":
                raise
            warnings.warn(f"what step {step} learns from is drawn anew: {error}", stacklevel=2)
    raise TrainingError(f"{TRIES} draws in a row hold images that cannot be read; repair {source}")


class Items(Dataset[Batch]):
    """Item `n` is what stands at place `n % batch` of step `n // batch`."""

    def __init__(self, material: TrainingData, batch: int) -> None:
        self.material, self.batch = material, batch

    def __getitem__(self, index: int) -> Batch:
        return self.material.item(*divmod(index, self.batch))


def loader(material: TrainingData, batch: int, steps: range, share: slice, workers: int) -> DataLoader[Batch]:
    """Batches of those steps, each the `share` of its items that one process has."""
    places = range(batch)[share]
    indices = [[step * batch + place for place in places] for step in steps]
    return DataLoader(Items(material, batch), batch_sampler=indices, num_workers=workers, collate_fn=collate)


def collate(items: Sequence[Batch]) -> Batch:
    parts: list[Tensor] = [torch.cat(parts) for parts in zip(*items, strict=True)]
    return type(items[0])(*parts)
