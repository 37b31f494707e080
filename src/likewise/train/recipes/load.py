"""Reading recipes: by name, or from a YAML file, with `key.path=value` overrides."""

import types
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from reprlib import repr as shorten  # aliases of YAML can make the whole text of a value endless
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from likewise.errors import RecipeError, did_you_mean
from likewise.train.recipes.schema import Recipe


def recipe_names() -> list[str]:
    """Return the names of the bundled recipes."""
    folder = resources.files("likewise.train.recipes")
    return sorted(Path(file.name).stem for file in folder.iterdir() if file.name.endswith(".yaml"))


def load_recipe(recipe: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Return the bundled recipe of that name, or that of a YAML file, with settings overridden.

    Args:
        overrides: `key.path=value`, with values in YAML: `steps=10`, `validation.classes=[bus, car]`, `average=null`.

    Raises:
        RecipeError: there is no such recipe, or a key or value is invalid.
    """
    source, text = _read(recipe)
    try:
        settings: Any = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: an impossible date
        raise RecipeError(f"{source} is not valid YAML: {error}") from error
    if not isinstance(settings, dict):
        raise RecipeError(f"{source} contains {type(settings).__name__}; a recipe is a mapping of settings")
    for override in overrides:
        _override(settings, override)
    try:
        return Recipe.model_validate(settings)
    except ValidationError as error:
        raise RecipeError(f"{source}: " + "; ".join(_message(problem) for problem in error.errors())) from error


def key_paths() -> list[str]:
    """Return every `key.path` of a recipe, over all variants of its sections."""
    return list(dict.fromkeys(_key_paths(Recipe)))


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


def _read(recipe: str | Path) -> tuple[str, str]:
    path = Path(recipe)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise RecipeError(f"there is no recipe file {path}")
        try:
            return str(path), path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"{path} cannot be read ({error}); a recipe is a text file in UTF-8") from error
    names = recipe_names()
    if str(recipe) not in names:
        hint = did_you_mean(str(recipe), names) or "."
        raise RecipeError(f"there is no recipe {str(recipe)!r}{hint} Use a .yaml file or one of {', '.join(names)}")
    file = resources.files("likewise.train.recipes") / f"{recipe}.yaml"
    return str(recipe), file.read_text(encoding="utf-8")


def _override(settings: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise RecipeError(f"{override!r} is not a setting: write key.path=value, as in data.fold=1")
    paths = key_paths()
    if path not in paths:
        raise RecipeError(f"a recipe has no key {path!r}{did_you_mean(path, paths)}")
    keys = [other for other in paths if other.startswith(f"{path}.")]
    if keys:
        raise RecipeError(f"{path!r} is a section: set one of its keys, as in {keys[0]}=...")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise RecipeError(f"the value of {path} is not valid YAML: {shorten(text)}") from error
    *sections, key = path.split(".")
    for section in sections:
        settings = settings.setdefault(section, {})
        if not isinstance(settings, dict):
            raise RecipeError(f"{path} cannot be set, since {section} is not a section of this recipe")
    settings[key] = value


def _message(problem: Any) -> str:
    # the location of a section with variants has the variant's name in second place
    place = [str(part) for part in problem["loc"]]
    if len(place) > 2 and place[0] in ("model", "data", "optimiser"):
        del place[1]
    path, given = ".".join(place), shorten(problem["input"])
    if problem["type"] == "extra_forbidden":
        hint = did_you_mean(path, [other for other in key_paths() if other != path])
        return f"this recipe has no key {path!r}{hint}"
    if problem["type"] == "missing":
        return f"{path} is missing"
    if problem["type"] == "tuple_type":
        return f"{path} is {given}, not a list: write {path}=[...]"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{path} is {given}: {message}" if path else message
