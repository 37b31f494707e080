"""Training MCIBI and its baseline: memory, losses and resuming."""

import csv
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from likewise.errors import MemoryMismatchError, ModelError, TrainingError
from likewise.models.blocks.dataset_memory import DatasetMemory, polynomial_momentum
from likewise.predict.scene_parser import SceneParser
from likewise.train import loop
from likewise.train.loop import train
from likewise.train.recipes.load import load_recipe
from likewise.train.recipes.schema import Recipe
from likewise.train.samples.scenes import TrainingScenes
from likewise.train.samples.training_data import Progress, collate
from likewise.train.tasks.mcibi import momentum
from likewise.train.tasks.task import TrainingModule
from likewise.weights.memories import read_memories
from support.scene_folders import make_folder, small


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_folder(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="module")
def unbroken(folder, tmp_path_factory) -> Path:
    return train(small(folder), tmp_path_factory.mktemp("runs") / "unbroken")


def rows(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def module_of(recipe: Recipe) -> tuple[TrainingModule, TrainingScenes]:
    data = TrainingScenes(recipe)
    return TrainingModule(recipe, data.classes).train(), data


@pytest.mark.slow
def test_a_run_loads_as_a_parser_with_its_classes_and_a_filled_memory(unbroken, folder):
    parser = SceneParser(unbroken, device="cpu")
    assert parser.classes == ("red", "green", "blue")
    assert parser.parse(folder / "images/0.png").labels.shape == (50, 70)
    assert parser.network.network.memory.seen.all()
    record = json.loads((unbroken / "record.json").read_text())
    assert "2 images excluded from training" in record["selection"]
    assert record["data"]["validation"]["images"] == 2
    names = set(rows(unbroken)[0])
    assert {"stage 1", "stage 2", "auxiliary", "consistency"} <= names


@pytest.mark.slow
def test_the_memory_is_saved_after_each_tenth_of_the_steps(unbroken):
    snapshots = read_memories(unbroken)
    assert len(snapshots) == 6
    assert not torch.equal(snapshots[2].vectors, snapshots[5].vectors)


@pytest.mark.slow
def test_the_loss_falls_on_learnable_data(folder, tmp_path):
    settings = (
        "steps=24",
        "optimiser.learning_rate=0.05",
        "data.jitter=0",
        "validation.every=100",
        "checkpoint_every=100",
    )
    losses = [row["stage 2"] for row in rows(train(small(folder, *settings), tmp_path / "run"))]
    assert sum(losses[-6:]) < 0.8 * sum(losses[:6])


@pytest.mark.slow
def test_a_run_killed_after_a_checkpoint_ends_with_the_same_weights_and_memory(unbroken, folder, tmp_path, monkeypatch):
    class Killed(Exception):
        pass

    whole = loop.learning_rate

    def killing(recipe: Recipe, step: int) -> float:
        if step == 4:
            raise Killed
        return whole(recipe, step)

    monkeypatch.setattr(loop, "learning_rate", killing)
    with pytest.raises(Killed):
        train(small(folder), tmp_path / "run")
    monkeypatch.setattr(loop, "learning_rate", whole)
    resumed = train(small(folder), tmp_path / "run")
    one, other = (
        torch.load(run / "checkpoints/step-0000006.pt", weights_only=True)["model"] for run in (unbroken, resumed)
    )
    assert one.keys() == other.keys()
    assert "memory.vectors" in one
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert len(read_memories(resumed)) == 6


@pytest.mark.slow
def test_a_class_that_never_occurs_stays_unseen_and_does_not_affect_reading(tmp_path):
    make_folder(tmp_path)
    recipe = small(tmp_path, "data.classes=[red, green, blue, unicorn]", "data.keep_every=null", "steps=2")
    with pytest.warns(UserWarning, match="unicorn"):
        run = train(recipe, tmp_path / "run")
    memory = SceneParser(run, device="cpu").network.network.memory
    assert memory.seen[:, 0].tolist() == [True, True, True, False]
    assert not memory.vectors[3].any()
    only_unicorn = torch.tensor([0, 0, 0, 1.0]).reshape(1, 4, 1, 1)
    mixed = torch.tensor([0.5, 0, 0, 0.5]).reshape(1, 4, 1, 1)
    assert not memory.read(only_unicorn).any()
    torch.testing.assert_close(memory.read(mixed)[0, 0, :, 0, 0], memory.vectors[0, 0])


@pytest.mark.slow
def test_crops_need_not_be_a_multiple_of_the_stride(folder, tmp_path):
    run = train(small(folder, "data.crop=45", "steps=1"), tmp_path / "run")
    assert rows(run)[0]["loss"] > 0


@pytest.mark.slow
def test_the_consistency_loss_starts_at_the_recipes_fraction(folder, tmp_path):
    run = train(small(folder, "model.consistency_from=0.5"), tmp_path / "run")
    assert [row["consistency"] > 0 for row in rows(run)] == [False] * 3 + [True] * 3
    never = train(small(folder, "model.consistency=false", "steps=1"), tmp_path / "never")
    assert rows(never)[0]["consistency"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mcibi", "fcn"])
def test_the_overlap_loss_has_the_recipes_weight(folder, tmp_path, name):
    losses = {}
    for weight in (0, 1, 2):
        run = train(small(folder, f"model.overlap={weight}", "steps=1", name=name), tmp_path / str(weight))
        losses[weight] = rows(run)[0]["loss"]
    once = losses[1] - losses[0]
    assert 0 < once < 1
    assert losses[2] - losses[1] == pytest.approx(once, rel=1e-3)


def test_momentum_is_polynomial_or_coupled_to_the_learning_rate(folder):
    recipe = small(folder)
    for step, rate in ((0, 1.0), (3, 0.2), (5, 0.7)):
        assert momentum(recipe.model, Progress(step, 6, rate)) == pytest.approx(polynomial_momentum(step / 6))
    coupled = small(folder, "model.momentum=coupled", "model.momentum_start=1.0").model
    assert momentum(coupled, Progress(3, 6, 0.2)) == pytest.approx(0.2)
    # with the schedule "poly" both are equal
    rate = loop.learning_rate(recipe, 3) / recipe.optimiser.learning_rate
    assert momentum(small(folder, "model.momentum=coupled").model, Progress(3, 6, rate)) == pytest.approx(
        polynomial_momentum(0.5)
    )


def test_norms_sets_whether_the_backbones_batch_norm_learns_and_that_of_the_heads_always_does(folder):
    for norms, moves in (("frozen", False), ("learning", True)):
        module, data = module_of(small(folder, f"model.norms={norms}"))
        before = {name: value.clone() for name, value in module.model.state_dict().items()}
        parts = module(collate([data.item(0, place) for place in range(2)]), Progress(0, 6))
        assert sum(parts.values()).isfinite()
        after = module.model.state_dict()
        changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
        assert any(name.startswith("backbone.") and "running_mean" in name for name in changed) == moves
        assert any(name.startswith("bottleneck.") and "running_mean" in name for name in changed)


def test_only_the_named_modules_of_the_backbone_require_gradients(folder):
    module, _ = module_of(small(folder, "model.learn=[blocks.2]"))
    asking = {name for name, value in module.model.backbone.named_parameters() if value.requires_grad}
    assert asking
    assert all(name.startswith("net.blocks.2.") for name in asking)
    with pytest.raises(ModelError, match=r"blocks\.9"):
        module_of(small(folder, "model.learn=[blocks.9]"))


def test_a_memory_to_start_from_needs_the_same_classes_and_shape(folder, tmp_path):
    other = DatasetMemory(("red", "green", "violet"), 8)
    other.save(tmp_path / "other.safetensors")
    with pytest.raises(MemoryMismatchError, match=r"violet.*blue"):
        module_of(small(folder, f"model.memory={tmp_path}/other.safetensors"))
    same = DatasetMemory(("red", "green", "blue"), 8)
    same.fill(torch.arange(24.0).reshape(3, 1, 8))
    same.save(tmp_path / "same.safetensors")
    module, _ = module_of(small(folder, f"model.memory={tmp_path}/same.safetensors"))
    torch.testing.assert_close(module.model.memory.vectors, same.vectors)
    wide = DatasetMemory(("red", "green", "blue"), 16)
    wide.save(tmp_path / "wide.safetensors")
    with pytest.raises(TrainingError, match=r"16.*8"):
        module_of(small(folder, f"model.memory={tmp_path}/wide.safetensors"))


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_the_memory_finite(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "learning_rate", lambda recipe, step: 1e30)
    with pytest.raises(TrainingError, match=r"nan|inf"):
        train(small(folder), tmp_path / "run")
    state = torch.load(tmp_path / "run/checkpoints/not-finite.pt", weights_only=True)["model"]
    assert state["memory.vectors"].isfinite().all()


@pytest.mark.parametrize("name", ["mcibi", "mcibi-camvid", "fcn-camvid", "mcibi-ade"])
def test_the_learning_rate_of_a_scene_recipe_decreases_to_a_hundredth(name):
    recipe = load_recipe(name)
    assert recipe.schedule.name == "poly"
    rates = [loop.learning_rate(recipe, step) for step in range(0, recipe.steps, max(1, recipe.steps // 10))]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == recipe.optimiser.learning_rate
    assert loop.learning_rate(recipe, recipe.steps) == pytest.approx(0.01 * rates[0])


def test_the_recipes_with_and_without_memory_differ_in_the_model_only():
    with_memory, without = load_recipe("mcibi-camvid"), load_recipe("fcn-camvid")
    different = {"name", "source", "model"}
    assert with_memory.model_dump(exclude=different) == without.model_dump(exclude=different)
    shared = set(type(without.model).model_fields) - {"name", "convolutions"}
    assert with_memory.model.model_dump(include=shared) == without.model.model_dump(include=shared)


def test_a_single_process_uses_torchs_batch_norm(folder):
    module, _ = module_of(small(folder))
    assert all(type(layer) is not nn.SyncBatchNorm for layer in module.modules())
    assert any(type(layer) is nn.BatchNorm2d for layer in module.model.stage2.modules())
