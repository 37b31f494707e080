"""The interface of training data, and the loader that turns it into batches.

Each item is a function of the recipe's seed, the step and its place in the batch, so neither resuming a run nor the
number of workers or processes changes what is drawn.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from likewise.errors import ImageError, TrainingError

# First number of each random seed: training items, validation episodes, initial weights.
TRAINING, VALIDATING, STARTING = 0, 1, 2

MAX_DRAWS = 10
"""Draws for one item before a data set with unreadable images stops the run."""

Batch = Any
"""A NamedTuple of tensors whose first axis is the batch."""


class Progress(NamedTuple):
    """Updates done, updates in total, and the learning rate divided by the recipe's."""

    step: int
    steps: int
    rate: float = 1.0


def torch_seed(*parts: int) -> int:
    """Return a seed for torch derived from several numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


class TrainingData(ABC):
    """What a run trains and validates on.

    Attributes:
        classes: names of the classes trained on, stored with the weights.
        selection: name of the score that selects the weights, such as "validation mIoU"; None without validation data.
            Test data never select.
        stored: label of each class in the label files, stored with the weights; empty if it is the class's index.
    """

    classes: tuple[str, ...]
    stored: tuple[int, ...] = ()
    selection: str | None = None

    @abstractmethod
    def item(self, step: int, place: int) -> Batch:
        """Return a batch of one: the item at `place` in the batch of `step`."""

    @abstractmethod
    def record(self) -> dict[str, Any]:
        """Return the contents of the training and validation sets, for `record.json`."""

    def score(self, model: Any, move: Callable[[Batch], Batch]) -> float:
        """Return the validation score, in [0, 1], of a model in evaluation mode; `move` moves a batch to its device."""
        raise NotImplementedError

    def validation_protocol(self) -> str:
        """Return a description of `score`: the metric, the images and the protocol."""
        raise NotImplementedError


def draw_readable(draw: Callable[[int], Batch], on_corrupt: str, step: int, source: str) -> Batch:
    """Return `draw(0)`; if an image is unreadable and `on_corrupt` is "skip", warn and return the next draw."""
    for attempt in range(MAX_DRAWS):
        try:
            return draw(attempt)
        except ImageError as error:
            if on_corrupt == "stop":
                raise
            warnings.warn(f"step {step} draws another image: {error}", stacklevel=2)
    raise TrainingError(f"{MAX_DRAWS} draws in a row contain unreadable images: repair {source}")


class _Items(Dataset[Batch]):
    """Item `n` is at place `n % batch` of step `n // batch`."""

    def __init__(self, data: TrainingData, batch: int) -> None:
        self.data, self.batch = data, batch

    def __getitem__(self, index: int) -> Batch:
        return self.data.item(*divmod(index, self.batch))


def loader(data: TrainingData, batch: int, steps: range, share: slice, workers: int) -> DataLoader[Batch]:
    """Return the batches of `steps`; `share` selects the places of one process within each batch."""
    places = range(batch)[share]
    indices = [[step * batch + place for place in places] for step in steps]
    return DataLoader(_Items(data, batch), batch_sampler=indices, num_workers=workers, collate_fn=collate)


def collate(items: Sequence[Batch]) -> Batch:
    """Concatenate batches along their first axis."""
    parts: list[Tensor] = [torch.cat(parts) for parts in zip(*items, strict=True)]
    return type(items[0])(*parts)
