"""The recipe: every setting that determines a training run, validated by pydantic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from likewise.train.recipes.data_sections import EpisodeData, GroupData, ImageData, SceneData
from likewise.train.recipes.model_sections import (
    FCNModel,
    HSNetModel,
    ICNetModel,
    MCIBIModel,
    PANetModel,
    SaliencyModel,
)
from likewise.train.recipes.sections import SGD, Adam, Reference, Schedule, Section, Validation

KINDS = {
    "panet": "episodes",
    "hsnet": "episodes",
    "saliency": "images",
    "icnet": "groups",
    "mcibi": "scenes",
    "fcn": "scenes",
}
"""The kind of data that each model learns from."""


class Recipe(Section):
    """A training run.

    Attributes:
        name: of the recipe.
        source: what it is after.
        licences: of the data and starting weights, to stand beside the result.
        steps: updates of the weights.
        batch: episodes, groups or images of one step, over all processes.
        average: the decay of the running mean of the weights that is then the result; None takes the weights.
        seed: of what is drawn, augmentation and the weights that start at random.
        precision: "float32", or "bfloat16" where autocast knows how.
        result: precision of the saved weights.
        accelerator: "auto", "cpu" or "cuda".
        processes: that share each batch.
        workers: processes that read images, for each of the former.
        checkpoint_every: steps from one checkpoint to the next.
        cache: folder in which the features of frozen layers are kept; None computes them each time.
    """

    name: str
    source: Reference
    licences: tuple[str, ...]
    model: Annotated[
        PANetModel | HSNetModel | SaliencyModel | ICNetModel | MCIBIModel | FCNModel, Field(discriminator="name")
    ]
    data: Annotated[EpisodeData | GroupData | ImageData | SceneData, Field(discriminator="kind")]
    optimiser: Annotated[SGD | Adam, Field(discriminator="name")]
    schedule: Schedule
    validation: Validation = Validation()
    steps: int = Field(ge=1)
    batch: int = Field(ge=1)
    average: float | None = Field(default=None, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)
    precision: Literal["float32", "bfloat16"] = "float32"
    result: Literal["float32", "float16"] = "float32"
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    processes: int = Field(default=1, ge=1)
    workers: int = Field(default=1, ge=0)
    checkpoint_every: int = Field(default=100, ge=1)
    cache: Path | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        if self.batch % self.processes:
            raise ValueError(
                f"a batch of {self.batch} cannot be shared by {self.processes} processes: make `batch` a "
                "multiple of `processes`"
            )
        wanted = KINDS[self.model.name]
        if self.data.kind != wanted:
            raise ValueError(
                f"{self.model.name} learns from {wanted}, not from {self.data.kind}: set data.kind={wanted}"
            )
        if self.validation.classes and self.data.kind != "episodes":
            raise ValueError(
                f"classes to validate on go with episodes, not with {self.data.kind}: set validation.classes=[]"
            )
        if self.model.name == "hsnet" and self.data.kind == "episodes" and self.data.ways != 1:
            raise ValueError(f"HSNet learns from one class at a time, not from {self.data.ways}: set data.ways=1")
        return self
