"""The sections of a recipe that do not depend on the model: its source, optimiser, schedule and validation."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """An immutable part of a recipe; unknown keys are an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Reference(Section):
    """What a recipe is after.

    Attributes:
        paper: the paper, its table and row; or what else the recipe is measured by.
        expected: the number, with its protocol, and whether it is the paper's or measured with this recipe.
        hardware: what that number was had on.
        time: how long it took there.
        command: what to type.
    """

    paper: str
    expected: str
    hardware: str
    time: str
    command: str


class SGD(Section):
    name: Literal["sgd"]
    learning_rate: float = Field(gt=0)
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)


class Adam(Section):
    name: Literal["adam"]
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)


class Schedule(Section):
    """The learning rate over the steps.

    Attributes:
        name: "constant"; "step", multiplied by 0.1 after each `every` steps; "cosine", down to zero; or "poly", with
            the power 0.9 of what is left of the steps, down to a hundredth.
        every: of "step" alone.
        warm_up: steps over which it first rises linearly.
    """

    name: Literal["constant", "step", "cosine", "poly"]
    every: int | None = Field(default=None, ge=1)
    warm_up: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _every_goes_with_step(self) -> Schedule:
        if (self.every is not None) != (self.name == "step"):
            raise ValueError("`every` goes with the schedule 'step', and only with it")
        return self


class Validation(Section):
    """Selection of the weights, on base classes that are then not trained on; never on the fold's test classes.

    Attributes:
        classes: base classes kept from training, with every image that shows one. Without any, nothing is
            selected and the last weights are the result.
        every: steps from one measurement to the next.
        episodes: of one measurement, the same each time, every class equally often.
    """

    classes: tuple[str, ...] = ()
    every: int = Field(default=100, ge=1)
    episodes: int = Field(default=400, ge=1)
