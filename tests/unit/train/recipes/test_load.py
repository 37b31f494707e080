from pathlib import Path

import pytest
import yaml

from likewise.backbones.specs import BACKBONES
from likewise.errors import RecipeError
from likewise.train.recipes.load import key_paths, load_recipe, recipe_names
from likewise.train.recipes.schema import Recipe


@pytest.mark.parametrize("name", recipe_names())
def test_a_bundled_recipe_is_valid_and_states_its_reference(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.model.backbone in BACKBONES
    assert f"likewise train {name}" in recipe.source.command
    assert all(len(line) > 3 for line in (recipe.source.paper, recipe.source.expected, recipe.source.time))
    assert recipe.licences
    assert not recipe.validation.classes, "validation classes depend on the fold, so they are given with it"


def test_overrides_set_nested_keys_and_are_yaml() -> None:
    recipe = load_recipe(
        "panet-voc-small",
        [
            "steps=7",
            "data.root=/elsewhere",
            "optimiser.learning_rate=1e-2",
            "validation.classes=[bus, car]",
            "average=null",
        ],
    )
    assert (recipe.steps, recipe.data.root, recipe.average) == (7, Path("/elsewhere"), None)
    assert recipe.optimiser.learning_rate == 0.01
    assert recipe.validation.classes == ("bus", "car")


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("data.foldd=1", ["'data.foldd'", "data.fold,"]),
        ("optimizer.lr=1", ["optimiser.learning_rate"]),
        ("step=1", ["'step'", "steps"]),
        ("data=1", ["'data'", "data.set=..."]),
        ("steps", ["key.path=value"]),
        ("=1", ["key.path=value"]),
        ("steps=many", ["steps", "'many'"]),
        ("steps=[", ["steps", "'['"]),
        ("optimiser.learning_rate=-1", ["optimiser.learning_rate", "-1"]),
        ("model.learn=blocks.5", ["model.learn=[...]", "blocks.5"]),
        ("optimiser.momentum=0.9", ["'optimiser.momentum'"]),
        ("optimiser.name=sgd", ["optimiser.momentum"]),
        ("schedule.every=10", ["every", "'step'"]),
        ("processes=3", ["3 processes", "batch of 4"]),
        ("data.set=class_folders", ["data.fold=null"]),
        ("name.x=1", ["'name.x'"]),
        ("data.set=coco20i data.fold=null", ["data.fold=0"]),
        ("data.size=100000", ["data.size", "100000", "4096"]),
        ("batch=1000000000", ["batch", "1000000000"]),
        ("optimiser.learning_rate=.inf", ["optimiser.learning_rate", "inf"]),
        ("optimiser.learning_rate=.nan", ["optimiser.learning_rate", "nan"]),
        ("optimiser.weight_decay=.inf", ["optimiser.weight_decay", "inf"]),
        ("steps=" + "[" * 20_000, ["steps"]),
        ("name=2001-13-45", ["name"]),
    ],
)
def test_a_wrong_override_names_the_key_and_similar_ones(override: str, named: list[str]) -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe("panet-voc-small", override.split())
    assert all(name in str(error.value) for name in named)


def test_a_wrong_key_in_a_file_is_named(tmp_path: Path) -> None:
    settings = load_recipe("panet-voc-small").model_dump(mode="json")
    settings["data"]["flip"] = settings["data"].pop("mirror")
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(settings))
    with pytest.raises(RecipeError, match=r"mine\.yaml: data\.mirror .*'data\.flip'"):
        load_recipe(path)


def test_a_recipe_equals_itself_after_a_json_round_trip() -> None:
    recipe = load_recipe("panet-voc-small")
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_key_paths_cover_all_variants_of_a_section() -> None:
    assert {"steps", "model.alignment", "optimiser.momentum", "schedule.every"} <= set(key_paths())


def test_an_unknown_recipe_names_similar_ones(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"'panet-small'.*panet-voc-small"):
        load_recipe("panet-small")
    with pytest.raises(RecipeError, match=r"none\.yaml"):
        load_recipe(tmp_path / "none.yaml")


@pytest.mark.parametrize("text", ["a: [", "- a"])
def test_a_file_that_is_not_a_recipe_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=r"odd\.yaml"):
        load_recipe(path)


LAUGHS = "a: &a [x]\n" + "".join(f"b{n}: &b{n} [*{'b' + str(n - 1) if n else 'a'}, *a, *a]\n" for n in range(30))
DOUBLING = "v0: &v0 [x, x]\n" + "".join(f"v{n}: &v{n} [*v{n - 1}, *v{n - 1}]\n" for n in range(1, 40)) + "steps: *v39\n"


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 20_000,
        b"{" * 20_000,
        b"steps: \xff\xfe",
        b"",
        b"steps: !!python/object/apply:os.system [true]",
        b"date: 2001-13-45",
        LAUGHS.encode(),
        DOUBLING.encode(),
    ],
    ids=["brackets", "braces", "latin", "empty", "tag", "date", "laughs", "doubling"],
)
def test_a_hostile_recipe_file_is_refused_by_its_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"evil\.yaml") as caught:
        load_recipe(path)
    assert len(str(caught.value)) < 10_000
