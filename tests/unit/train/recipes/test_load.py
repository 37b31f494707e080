from pathlib import Path

import pytest
import yaml

from likewise.backbones.specs import BACKBONES
from likewise.errors import RecipeError
from likewise.train.recipes.load import key_paths, load_recipe, recipe_names
from likewise.train.recipes.schema import Recipe


@pytest.mark.parametrize("name", recipe_names())
def test_a_shipped_recipe_is_valid_and_states_what_it_is_after(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.model.backbone in BACKBONES
    assert f"likewise train {name}" in recipe.source.command
    assert all(len(line) > 3 for line in (recipe.source.paper, recipe.source.expected, recipe.source.time))
    assert recipe.licences
    assert not recipe.validation.classes, "classes to validate on depend on the fold, so they are given with it"


def test_overrides_reach_every_depth_and_are_yaml() -> None:
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
    ("override", "told"),
    [
        ("data.foldd=1", "a recipe has no key 'data.foldd'; did you mean 'data.fold'?"),
        ("optimizer.lr=1", "did you mean 'optimiser.learning_rate'?"),
        ("step=1", "did you mean 'steps'?"),
        ("data=1", "'data' is a section; set its keys, as in data.set=..."),
        ("steps", "write key.path=value, as in data.fold=1"),
        ("=1", "write key.path=value"),
        ("steps=many", "steps is 'many'"),
        ("steps=[", "the value of steps is no YAML"),
        ("optimiser.learning_rate=-1", "optimiser.learning_rate is -1: Input should be greater than 0"),
        ("model.learn=blocks.5", "model.learn is 'blocks.5'; it is a list: write model.learn=[blocks.5]"),
        ("optimiser.momentum=0.9", "a recipe has no key 'optimiser.momentum' here"),
        ("optimiser.name=sgd", "optimiser.momentum is missing"),
        ("schedule.every=10", "`every` goes with the schedule 'step'"),
        ("processes=3", "a batch of 4 cannot be shared by 3 processes"),
        ("data.set=class_folders", "class_folders has no folds: set data.fold=null"),
        ("name.x=1", "a recipe has no key 'name.x'"),
    ],
)
def test_a_wrong_override_names_the_key_and_the_nearest_right_one(override: str, told: str) -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe("panet-voc-small", [override])
    assert told in str(error.value)


def test_coco_without_a_fold_asks_for_one() -> None:
    with pytest.raises(RecipeError, match=r"coco20i needs a fold: set data\.fold=0, 1, 2 or 3"):
        load_recipe("panet-lite0", ["data.set=coco20i"])


def test_a_wrong_key_in_a_file_names_the_nearest_right_one(tmp_path: Path) -> None:
    settings = load_recipe("panet-voc-small").model_dump(mode="json")
    settings["data"]["flip"] = settings["data"].pop("mirror")
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(settings))
    with pytest.raises(RecipeError, match=r"mine\.yaml: data\.mirror is missing; a recipe has no key 'data\.flip'"):
        load_recipe(path)


def test_a_recipe_survives_its_own_json() -> None:
    recipe = load_recipe("panet-voc-small")
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_key_paths_are_those_of_all_variants() -> None:
    assert {"steps", "model.alignment", "optimiser.momentum", "schedule.every"} <= set(key_paths())


def test_an_unknown_recipe_names_the_nearest_and_lists_all(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no recipe is called 'panet-small'; did you mean 'panet-voc-small'"):
        load_recipe("panet-small")
    with pytest.raises(RecipeError, match="there is no such recipe file"):
        load_recipe(tmp_path / "none.yaml")


@pytest.mark.parametrize(("text", "told"), [("a: [", "is no YAML"), ("- a", "holds list, a recipe is a mapping")])
def test_a_file_that_is_no_recipe_says_so(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=told):
        load_recipe(path)
