"""The recipe: every setting that determines a training run, validated by pydantic."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from likewise.train.recipes.data_sections import Data
from likewise.train.recipes.sections import LARGEST_COUNT, Model, Optimiser, Reference, Schedule, Section, Validation

DATA_KINDS = {
    "panet": "episodes",
    "hsnet": "episodes",
    "saliency": "images",
    "icnet": "groups",
    "mcibi": "scenes",
    "fcn": "scenes",
}
"""The kind of training data of each model."""


class Recipe(Section):
    """A training run.

    Attributes:
        name: of the recipe; also the default name of the run's folder.
        source: the result that the recipe reproduces.
        licences: of the data and the initial weights; copied into the run's record.
        steps: number of weight updates.
        batch: episodes, groups or images per step, over all processes.
        average: decay of the exponential moving average of the weights, which is then the result; None for no average.
        seed: of the data order, the augmentation and the randomly initialised weights.
        precision: "float32", or "bfloat16" for autocast.
        result: precision of the saved weights.
        accelerator: "auto", "cpu" or "cuda".
        processes: number of processes that share each batch.
        workers: data loading processes for each of these.
        checkpoint_every: steps between two checkpoints.
    """

    name: str
    source: Reference
    licences: tuple[str, ...]
    model: Model
    data: Data
    optimiser: Optimiser
    schedule: Schedule
    validation: Validation = Validation()
    steps: int = Field(ge=1)
    batch: int = Field(ge=1, le=LARGEST_COUNT)
    average: float | None = Field(default=None, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)
    precision: Literal["float32", "bfloat16"] = "float32"
    result: Literal["float32", "float16"] = "float32"
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    processes: int = Field(default=1, ge=1, le=LARGEST_COUNT)
    workers: int = Field(default=1, ge=0, le=LARGEST_COUNT)
    checkpoint_every: int = Field(default=100, ge=1)

    @model_validator(mode="after")
    def _sections_agree(self) -> Recipe:
        if self.batch % self.processes:
            raise ValueError(f"{self.processes} processes cannot share a batch of {self.batch}: set a multiple")
        kind = DATA_KINDS[self.model.name]
        if self.data.kind != kind:
            raise ValueError(f"{self.model.name} trains on {kind}, not on {self.data.kind}: set data.kind={kind}")
        if self.validation.classes and self.data.kind != "episodes":
            raise ValueError(f"validation.classes needs episodes, not {self.data.kind}: set validation.classes=[]")
        if self.model.name == "hsnet" and self.data.kind == "episodes" and self.data.ways != 1:
            raise ValueError(f"HSNet trains on 1-way episodes, not {self.data.ways}-way: set data.ways=1")
        return self
