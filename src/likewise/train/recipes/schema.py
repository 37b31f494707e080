"""Recipes: everything that fixes a training run, as a checked object that YAML files and `key.path=value` give.

The files are in this package; each states which row of which paper it is after and what to expect (`Reference`).
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from likewise.errors import RecipeError
from likewise.train.recipes.data_sections import EpisodeData, GroupData, ImageData, SceneData
from likewise.train.recipes.model_sections import (
    FCNModel,
    HSNetModel,
    ICNetModel,
    MCIBIModel,
    PANetModel,
    SaliencyModel,
)
from likewise.train.recipes.strict import Strict


class Reference(Strict):
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


class SGD(Strict):
    name: Literal["sgd"]
    learning_rate: float = Field(gt=0)
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)


class Adam(Strict):
    name: Literal["adam"]
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)


class Schedule(Strict):
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


class Validation(Strict):
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


KINDS = {
    "panet": "episodes",
    "hsnet": "episodes",
    "saliency": "images",
    "icnet": "groups",
    "mcibi": "scenes",
    "fcn": "scenes",
}
"""The kind of data that each model learns from."""


class Recipe(Strict):
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


def recipe_names() -> list[str]:
    """The recipes that come with the installation."""
    folder = resources.files("likewise.train.recipes")
    return sorted(Path(file.name).stem for file in folder.iterdir() if file.name.endswith(".yaml"))


def load_recipe(recipe: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of that name, or of a YAML file, with settings replaced by `key.path=value`.

    Values are YAML: `steps=10`, `validation.classes=[bus, car]`, `cache=null`.

    Raises:
        RecipeError: there is no such recipe; or a key or value is wrong, and the message names the nearest key.
    """
    source, text = _recipe_text(recipe)
    try:
        settings: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{source}: is no YAML ({error})") from error
    if not isinstance(settings, dict):
        raise RecipeError(f"{source}: holds {type(settings).__name__}, a recipe is a mapping of settings")
    for override in overrides:
        _override(settings, override)
    try:
        return Recipe.model_validate(settings)
    except ValidationError as error:
        raise RecipeError(f"{source}: " + "; ".join(_told(problem) for problem in error.errors())) from error


def key_paths(model: type[BaseModel] = Recipe) -> list[str]:
    """Every `key.path` that a recipe may have, all variants of a section together."""
    return list(dict.fromkeys(_key_paths(model)))


def _key_paths(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield name
        for section in _sections(field.annotation):
            for path in _key_paths(section):
                yield f"{name}.{path}"


def _sections(annotation: Any) -> list[type[BaseModel]]:
    if get_origin(annotation) in (Union, types.UnionType):
        return [section for variant in get_args(annotation) for section in _sections(variant)]
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []


def _recipe_text(recipe: str | Path) -> tuple[str, str]:
    path = Path(recipe)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise RecipeError(f"{path}: there is no such recipe file")
        return str(path), path.read_text(encoding="utf-8")
    names = recipe_names()
    if str(recipe) not in names:
        raise RecipeError(
            f"no recipe is called {str(recipe)!r}{_nearest(str(recipe), names)}; there are {', '.join(names)}, "
            "or give the path of a .yaml file"
        )
    file = resources.files("likewise.train.recipes") / f"{recipe}.yaml"
    return str(recipe), file.read_text(encoding="utf-8")


def _override(settings: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise RecipeError(f"{override!r} is no setting; write key.path=value, as in data.fold=1")
    paths = key_paths()
    if path not in paths:
        raise RecipeError(f"a recipe has no key {path!r}{_nearest(path, paths)}")
    if any(other.startswith(f"{path}.") for other in paths):
        raise RecipeError(f"{path!r} is a section; set its keys, as in {path}.{_first_key(path, paths)}=...")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"the value of {path} is no YAML: {text!r}") from error
    *sections, key = path.split(".")
    for section in sections:
        settings = settings.setdefault(section, {})
        if not isinstance(settings, dict):
            raise RecipeError(f"{section} is no section in this recipe, so {path} cannot be set")
    settings[key] = value


def _first_key(path: str, paths: list[str]) -> str:
    return next(other for other in paths if other.startswith(f"{path}.")).removeprefix(f"{path}.")


def _told(problem: Any) -> str:
    # the location of a section with variants holds the variant's name as well, in its second place
    place = [str(part) for part in problem["loc"]]
    if len(place) > 2 and place[0] in ("model", "data", "optimiser"):
        del place[1]
    path = ".".join(place)
    if problem["type"] == "extra_forbidden":
        return f"a recipe has no key {path!r} here{_nearest(path, [other for other in key_paths() if other != path])}"
    if problem["type"] == "missing":
        return f"{path} is missing"
    if problem["type"] == "tuple_type":
        return f"{path} is {problem['input']!r}; it is a list: write {path}=[{problem['input']}]"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{path} is {problem['input']!r}: {message}" if path else message


def _nearest(given: str, known: Sequence[str]) -> str:
    """The nearest of the known names as a hint; parts are compared one by one, from the last."""

    def likeness(name: str) -> float:
        parts = zip(reversed(given.lower().split(".")), reversed(name.lower().split(".")), strict=False)
        return sum(difflib.SequenceMatcher(None, one, other).ratio() for one, other in parts)

    return f"; did you mean {max(known, key=likeness)!r}?"
