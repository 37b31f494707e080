"""The sections of a recipe that do not depend on the model: reference, optimiser, schedule and validation."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

LARGEST_COUNT = 65536
"""The largest number of images, channels, layers or processes; a typing error is refused before memory is full."""


class Section(BaseModel):
    """An immutable part of a recipe; unknown keys are an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Reference(Section):
    """The published or measured result that a recipe reproduces.

    Attributes:
        paper: the paper, with table and row; or the purpose of a recipe without a published counterpart.
        expected: the number, its protocol, and whether the paper reports it or this recipe was measured.
        hardware: the machine on which the recipe was measured, or the machine it needs.
    """

    paper: str
    expected: str
    hardware: str
    time: str
    command: str


class SGD(Section):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"]
    learning_rate: float = Field(gt=0)
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)


class Adam(Section):
    """Adam with torch's default betas."""

    name: Literal["adam"]
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)


class Schedule(Section):
    """The learning rate as a function of the step.

    Attributes:
        name: "constant"; "step", divided by 10 after each `every` steps; "cosine", down to 0; or "poly", with power
            0.9 of the remaining fraction of the steps, down to a hundredth.
        every: steps between two reductions, for "step" only.
        warm_up: steps of linear increase at the start.
    """

    name: Literal["constant", "step", "cosine", "poly"]
    every: int | None = Field(default=None, ge=1)
    warm_up: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _every_needs_step(self) -> Schedule:
        if (self.every is not None) != (self.name == "step"):
            raise ValueError("`every` is required by the schedule 'step' and not allowed with any other")
        return self


class Validation(Section):
    """Selection of the best weights on held-out training data; test classes and test images never select.

    Attributes:
        classes: base classes excluded from training, with every image that shows one. If empty, episodic models are
            not validated and the last weights are the result.
        every: steps between two validations.
        episodes: number of validation episodes; the same for every validation, all classes equally often.
    """

    classes: tuple[str, ...] = ()
    every: int = Field(default=100, ge=1)
    episodes: int = Field(default=400, ge=1)
