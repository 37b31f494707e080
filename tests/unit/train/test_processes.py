"""Two processes that share each batch train like one process."""

import csv
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from likewise.train import loop
from likewise.train.loop import train
from likewise.train.recipes.schema import Recipe
from likewise.train.run import claim_folder
from support import fakes, scene_folders, small_voc
from support.processes import train_each

pytestmark = pytest.mark.slow

SCENES = (
    "data.balance=0.5",
    "batch=4",
    "steps=3",
    "model.dropout=0",
    "model.overlap=0",  # the overlap loss of half a batch is not half of the batch's
    "validation.every=100",
    "optimiser.learning_rate=0.01",
)


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recipe]:
    voc = fakes.make_voc(tmp_path_factory.mktemp("voc"), per_class=6)
    folder = scene_folders.make_folder(tmp_path_factory.mktemp("scenes"))
    return {
        "panet": small_voc.small(voc, "steps=4"),
        "mcibi": scene_folders.small(folder, *SCENES, "model.norms=learning"),
        "fcn": scene_folders.small(folder, *SCENES, "model.norms=frozen", name="fcn"),
    }


@pytest.fixture(scope="module")
def calls() -> list[tuple[str, int, int]]:
    """The calls of `progress` in the runs of two processes."""
    return []


@pytest.fixture(scope="module")
def two(
    recipes: dict[str, Recipe], calls: list[tuple[str, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The runs of two processes, by name."""
    runs = tmp_path_factory.mktemp("two")
    for name, recipe in recipes.items():
        claim_folder(runs / name, recipe.model_copy(update={"processes": 2}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_train", train_each)
        recipe = recipes["panet"].model_copy(update={"processes": 2})
        train(recipe, runs / "panet", progress=lambda *call: calls.append(call))
    return runs


def rows(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_episodes_give_equal_losses_and_weights(recipes: dict[str, Recipe], two: Path, tmp_path: Path) -> None:
    one = train(recipes["panet"], tmp_path)
    assert [row["loss"] for row in rows(two / "panet")] == pytest.approx([row["loss"] for row in rows(one)], rel=1e-4)
    alone, shared = (load_file(run / "weights.safetensors") for run in (one, two / "panet"))
    for name in alone:
        torch.testing.assert_close(shared[name], alone[name], rtol=1e-3, atol=1e-4)
    assert not torch.distributed.is_initialized()


def test_progress_of_one_process_arrives_in_the_first(
    recipes: dict[str, Recipe], two: Path, calls: list[tuple[str, int, int]]
) -> None:
    name = recipes["panet"].name
    losses = [f"{name}  loss {row['loss']:.4f}" for row in rows(two / "panet")]
    found = [call for call in calls if call[0].partition("  ")[0] == name]
    assert found == [(stage, step, 4) for step, stage in enumerate([name, *losses])]


@pytest.mark.parametrize("name", ["mcibi", "fcn"])
def test_scenes_give_equal_losses_weights_and_memory(
    name: str, recipes: dict[str, Recipe], two: Path, tmp_path: Path
) -> None:
    one = train(recipes[name], tmp_path)
    for alone_row, shared_row in zip(rows(one), rows(two / name), strict=True):
        assert alone_row["loss"] == pytest.approx(shared_row["loss"], rel=2e-4)
    alone, shared = (
        torch.load(run / "checkpoints/step-0000003.pt", weights_only=True)["model"] for run in (one, two / name)
    )
    for entry, value in alone.items():
        if value.is_floating_point():
            torch.testing.assert_close(
                shared[entry], value, rtol=2e-2, atol=2e-4, msg=lambda message, e=entry: f"{e}: {message}"
            )
    if name == "mcibi":
        torch.testing.assert_close(shared["memory.vectors"], alone["memory.vectors"], rtol=1e-3, atol=1e-5)
        assert torch.equal(shared["memory.seen"], alone["memory.seen"])
