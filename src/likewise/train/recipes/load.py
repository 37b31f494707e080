"""Reading recipes: from the YAML files in this package or of the user, with `key.path=value` overrides."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from likewise.errors import RecipeError
from likewise.train.recipes.schema import Recipe


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
