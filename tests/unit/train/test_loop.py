import csv
import json
import math
import os
import pickle
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file, save_file

from likewise.backbones.specs import BackboneSpec, backbone_spec
from likewise.backbones.taps import Backbone
from likewise.errors import DataSetError, ModelError, TrainingError
from likewise.models.panet import PANet
from likewise.train.loop import completes_tenth, learning_rate, train
from likewise.train.recipes.load import load_recipe, recipe_names
from likewise.train.recipes.schema import Recipe
from likewise.train.run import load_checkpoint
from likewise.train.samples.training_data import Progress
from likewise.train.tasks.task import TASKS, TrainingModule
from likewise.weights.checkpoint import load_state
from likewise.weights.load import load_trained
from support import fakes
from support.processes import train_and_kill
from support.scene_folders import make_folder
from support.small_voc import paint_objects, small


@pytest.fixture(scope="module")
def voc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.make_voc(tmp_path_factory.mktemp("voc"), per_class=6)


HARMED = Path(tempfile.gettempdir()) / f"likewise-harmed-{os.getpid()}"


class Hostile:
    """A pickle that runs code."""

    def __reduce__(self):
        return HARMED.touch, ()


def rows(run: Path, name: str = "metrics.csv") -> list[dict[str, str]]:
    with (run / name).open(newline="") as file:
        return list(csv.DictReader(file))


def losses(run: Path) -> list[float]:
    return [float(row["loss"]) for row in rows(run)]


def last_checkpoint(run: Path) -> Path:
    return max((run / "checkpoints").glob("step-*.pt"))


def same_weights(one: Path, other: Path) -> bool:
    first, second = (load_file(run / "weights.safetensors") for run in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def unbroken(voc: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(small(voc), tmp_path_factory.mktemp("runs") / "unbroken")


def unfinished(unbroken: Path, run: Path) -> Path:
    """Copy a run as if it had been stopped before its weights and its record were written."""
    shutil.copytree(unbroken, run)
    for name in ("record.json", "weights.safetensors"):
        (run / name).unlink()
    return run


@pytest.mark.slow
def test_a_run_leaves_weights_that_load_and_their_record(unbroken: Path, voc: Path) -> None:
    model = TASKS["panet"].build(small(voc).model, ())
    assert isinstance(model, PANet)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    load_state(model, load_file(unbroken / "weights.safetensors"), source=unbroken)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, start[name])}
    assert changed
    assert all("net.blocks.5." in name and "running" not in name for name in changed)
    record = json.loads((unbroken / "record.json").read_text())
    assert record["recipe"]["optimiser"]["name"] == "adam"
    assert record["selection"].startswith("none: the weights of the last of 6 steps")
    assert sum(record["data"]["training"][0]["entries"].values()) > 0
    assert "entries of PASCAL-5i fold 0 trn are present" in record["data"]["training"][0]["presence"]
    assert record["licences"] == list(small(voc).licences)
    assert record["commit"] is None or len(record["commit"].removesuffix("-dirty")) == 40
    assert record["numbers"]["loss, mean of the last 6 steps"] == pytest.approx(np.mean(losses(unbroken)))
    assert any((unbroken / "tensorboard").iterdir())
    assert [int(row["step"]) for row in rows(unbroken)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_the_loss_falls_on_learnable_data(tmp_path: Path) -> None:
    # without lists, since those of the fakes name classes that are not in the mask
    voc = paint_objects(fakes.make_voc(tmp_path / "voc", per_class=6, lists=False))
    recipe = small(voc, "steps=16", "optimiser.learning_rate=1e-3", "schedule.warm_up=0")
    found = losses(train(recipe, tmp_path / "run"))
    assert np.mean(found[-4:]) < 0.9 * np.mean(found[:4])


@pytest.mark.slow
def test_progress_has_the_loss_of_each_step(voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[tuple[str, int, int]] = []
    recipe = small(voc, "steps=2")
    run = train(recipe, tmp_path, progress=lambda *call: calls.append(call))
    stages = [f"{recipe.name}  loss {loss:.4f}" for loss in losses(run)]
    assert calls == [(stage, step, 2) for step, stage in enumerate([recipe.name, *stages])]
    assert "entries of PASCAL-5i fold 0 trn are present" in capsys.readouterr().err


@pytest.mark.slow
def test_alignment_0_leaves_the_query_loss_only(voc: Path, tmp_path: Path) -> None:
    run = train(small(voc, "steps=1", "model.alignment=0"), tmp_path)
    assert "alignment" not in rows(run)[0]
    assert rows(run)[0]["loss"] == rows(run)[0]["query"]


@pytest.mark.slow
def test_half_precision_weights_have_half_the_size_and_load(unbroken: Path, voc: Path, tmp_path: Path) -> None:
    run = train(small(voc, "result=float16"), tmp_path)
    half, full = (folder / "weights.safetensors" for folder in (run, unbroken))
    assert half.stat().st_size < 0.55 * full.stat().st_size
    load_state(TASKS["panet"].build(small(voc).model, ()), load_file(half), source=half)
    for name, value in load_file(full).items():
        torch.testing.assert_close(load_file(half)[name].to(value.dtype), value, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_bfloat16_trains_like_float32_to_its_precision(unbroken: Path, voc: Path, tmp_path: Path) -> None:
    run = train(small(voc, "precision=bfloat16"), tmp_path)
    assert losses(run) != losses(unbroken)
    assert losses(run) == pytest.approx(losses(unbroken), rel=0.05)


@pytest.mark.slow
def test_hsnet_does_not_change_its_backbone(voc: Path, tmp_path: Path) -> None:
    settings = small(voc, "steps=2", "batch=1", "schedule.warm_up=0").model_dump()
    settings["model"] = {"name": "hsnet", "backbone": "lite0", "first_tap": "blocks.2.0"}
    recipe = Recipe.model_validate(settings)
    run = train(recipe, tmp_path / "run")
    start = TASKS["hsnet"].build(recipe.model, ()).state_dict()
    end = load_file(run / "weights.safetensors")
    assert start.keys() == end.keys()
    same = {name: torch.equal(start[name], end[name]) for name in start if name.startswith("backbone.")}
    assert same
    assert all(same.values())
    assert all(math.isfinite(loss) for loss in losses(run))


def make_coco(root: Path) -> Path:
    """Four images of each of two base classes of COCO-20i's fold 0."""
    for number in range(8):
        name = f"COCO_train2014_{number:012d}"
        fakes.write_image(root / "train2014" / f"{name}.jpg", fakes.noise(number))
        fakes.write_image(root / "annotations/train2014" / f"{name}.png", fakes.block(2 + number % 2, number))
    return root


def small_data(recipe: Recipe, voc: Path, folder: Path) -> dict[str, Any]:
    """Return settings of the data section for small fake data, in the recipe's layout or a simpler one."""
    if recipe.data.kind == "scenes":
        return {
            "set": "folder",
            "root": make_folder(folder),
            "side": None,
            "crop": 48,
            "keep_every": None,
        }
    if recipe.data.kind == "episodes":
        own = "pascal5i" if recipe.data.set == "mixture" else recipe.data.set
        root = make_coco(folder) if own == "coco20i" else voc
        return {"set": own, "root": root, "sources": (), "held_out": None, "size": 64}
    for number in range(3):
        fakes.write_image(folder / "image/cups" / f"{number}.jpg", fakes.noise(number))
        for kind in ("gt", "sism"):
            fakes.write_image(folder / kind / "cups" / f"{number}.png", fakes.block(255, number, border=0))
    small = {"images": 2, "maps": None} if recipe.data.kind == "groups" else {"size": 64}
    return {"set": "cosaliency", "root": folder, "sources": (), "held_out": None, **small}


RANDOM_WEIGHTS: dict[str, Path] = {}


def random_weights(spec: BackboneSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of random weights of the backbone, in place of its ImageNet weights from the hub."""
    if spec.name not in RANDOM_WEIGHTS:
        RANDOM_WEIGHTS[spec.name] = tmp_path_factory.mktemp("imagenet") / "imagenet.safetensors"
        state = {entry: value.half() for entry, value in Backbone(spec).net.state_dict().items()}
        save_file(state, RANDOM_WEIGHTS[spec.name])
    return RANDOM_WEIGHTS[spec.name]


@pytest.mark.slow
@pytest.mark.parametrize("name", recipe_names())
def test_a_bundled_recipe_trains(
    name: str,
    voc: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    shipped = load_recipe(name)
    settings = shipped.model_dump() | {"steps": 1, "batch": 2 if shipped.data.kind == "scenes" else 1, "workers": 0}
    settings["data"] |= small_data(shipped, voc, tmp_path / "data")
    if shipped.data.kind == "scenes":
        settings["model"]["channels"] = 32
    spec = backbone_spec(shipped.model.backbone)
    if spec.weights == "hub" and "weights" in settings["model"]:
        settings["model"]["weights"] = random_weights(spec, tmp_path_factory)
    if "start" in settings["model"]:
        settings["model"]["start"] = () if settings["model"]["name"] == "hsnet" else None
    recipe = Recipe.model_validate(settings)
    run = train(recipe, tmp_path / "run")
    load_trained(run)
    assert math.isfinite(losses(run)[0])


@pytest.mark.slow
def test_a_folder_of_classes_of_ones_own_trains(tmp_path: Path) -> None:
    for number in range(6):
        place = tmp_path / "mine" / ("cups", "keys")[number % 2]
        fakes.write_image(place / f"{number}.jpg", fakes.noise(number))
        fakes.write_image(place / f"{number}_mask.png", fakes.block(255, number, border=0))
    own = ("data.set=class_folders", "data.fold=null", "steps=1")
    run = train(small(tmp_path / "mine", *own), tmp_path / "run")
    assert json.loads((run / "record.json").read_text())["data"]["training"][0]["entries"] == {"cups": 3, "keys": 3}


@pytest.mark.slow
def test_a_killed_and_resumed_run_has_the_bits_of_an_uninterrupted_one(
    unbroken: Path, voc: Path, tmp_path: Path
) -> None:
    run = tmp_path / "killed"
    for step in (1, 3):
        train_and_kill(small(voc), run, step)
        assert not (run / "record.json").exists()
    train(small(voc), run)
    assert same_weights(run, unbroken)
    assert losses(run) == losses(unbroken)


@pytest.mark.slow
def test_an_incomplete_log_line_is_rewritten(unbroken: Path, voc: Path, tmp_path: Path) -> None:
    run = unfinished(unbroken, tmp_path / "run")
    last_checkpoint(run).unlink()
    log = run / "metrics.csv"
    log.write_text(log.read_text()[:-9])
    train(small(voc), run)
    assert losses(run) == losses(unbroken)
    assert same_weights(run, unbroken)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "pickle", "step"])
def test_a_damaged_checkpoint_is_replaced_by_the_one_before_it(
    damage: str, unbroken: Path, voc: Path, tmp_path: Path
) -> None:
    run = unfinished(unbroken, tmp_path / "run")
    checkpoint = last_checkpoint(run)
    whole = checkpoint.read_bytes()
    if damage == "cut":
        checkpoint.write_bytes(whole[: len(whole) // 2])
    elif damage == "pickle":
        checkpoint.write_bytes(pickle.dumps(Hostile()))
    else:
        checkpoint.rename(checkpoint.with_name("step-0000099.pt"))
    with pytest.warns(UserWarning, match="step-00000.*the checkpoint before it"):
        train(small(voc), run)
    assert same_weights(run, unbroken)
    assert not HARMED.exists()


def test_a_run_whose_checkpoints_are_all_damaged_says_so(voc: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-0000003.pt").write_bytes(b"cut")
    with (
        pytest.warns(UserWarning, match="step-0000003"),
        pytest.raises(TrainingError, match="none of its checkpoints"),
    ):
        load_checkpoint(tmp_path, TrainingModule.__new__(TrainingModule), None, None, torch.device("cpu"))


@pytest.mark.slow
def test_a_run_resumes_from_another_folder_by_another_relative_root(
    unbroken: Path, voc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(voc.parent)
    assert train(small(Path(voc.name)), unbroken) == unbroken


@pytest.mark.parametrize("content", [b"", b"{", b'{"steps": -1}', b"[" * 20_000, b"\xff"])
def test_a_damaged_recipe_of_a_run_is_named(content: bytes, voc: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_bytes(content)
    (tmp_path / "metrics.csv").touch()
    with pytest.raises(TrainingError, match=r"recipe\.json"):
        train(small(voc), tmp_path)


@pytest.mark.slow
def test_a_finished_run_is_not_changed(unbroken: Path, voc: Path) -> None:
    before = (unbroken / "record.json").stat().st_mtime_ns
    assert train(small(voc), unbroken) == unbroken
    assert (unbroken / "record.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_folder_with_a_run_of_other_settings_is_refused(unbroken: Path, voc: Path) -> None:
    with pytest.raises(TrainingError, match=r"data\.shots was .*seed was|seed was .*data\.shots was"):
        train(small(voc, "seed=1", "data.shots=2"), unbroken)
    train(small(voc, "workers=3", "checkpoint_every=1"), unbroken)


@pytest.mark.slow
def test_a_refused_recipe_can_be_corrected_in_the_same_folder(voc: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"blocks\.9"):
        train(small(voc, "model.taps=[blocks.9]"), tmp_path)
    assert (train(small(voc, "steps=1"), tmp_path) / "weights.safetensors").is_file()


@pytest.mark.slow
def test_a_loss_that_is_not_a_number_stops_the_run_with_its_state_saved(
    voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = TrainingModule.forward
    calls = []

    def broken(self: TrainingModule, batch: object, progress: Progress) -> dict[str, torch.Tensor]:
        calls.append(1)
        parts = forward(self, batch, progress)
        return {name: part * math.nan for name, part in parts.items()} if len(calls) == 4 else parts

    monkeypatch.setattr(TrainingModule, "forward", broken)
    with pytest.raises(TrainingError, match=r"nan at step 3"):
        train(small(voc), tmp_path)
    saved = torch.load(tmp_path / "checkpoints" / "not-finite.pt", weights_only=True)
    assert saved["state"]["step"] == 3
    assert all(value.isfinite().all() for value in saved["model"].values())
    assert not (tmp_path / "weights.safetensors").exists()


@pytest.mark.slow
def test_a_failure_in_one_of_several_processes_is_reported(
    voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise torch.multiprocessing.ProcessRaisedException("Traceback ...\nKeyError: 'blocks'\n", 1, 77)

    monkeypatch.setattr(Fabric, "launch", fail)
    with pytest.raises(TrainingError, match="KeyError: 'blocks'"):
        train(small(voc, "processes=2"), tmp_path)


@pytest.mark.slow
def test_the_state_of_torchs_global_generator_does_not_change(voc: Path, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    train(small(voc, "steps=1"), tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_weights_are_selected_on_base_classes_excluded_from_training(voc: Path, tmp_path: Path) -> None:
    settings = ("validation.classes=[bus, car]", "validation.every=2", "validation.episodes=4", "average=null")
    run = train(small(voc, *settings), tmp_path)
    scores = {int(row["step"]): float(row["base-class validation mIoU"]) for row in rows(run, "validation.csv")}
    assert list(scores) == [0, 2, 4, 6]
    record = json.loads((run / "record.json").read_text())
    best = max(scores, key=lambda step: scores[step])
    assert record["selection"].startswith(f"step {best}, the best ({scores[best]:.4f}) of 4 by mIoU on base classes")
    assert record["data"]["training"][0]["entries"].keys().isdisjoint({"bus", "car", "aeroplane"})
    assert set(record["data"]["validation"]["entries"]) == {"bus", "car"}


@pytest.mark.slow
def test_a_novel_class_cannot_select_weights(voc: Path, tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="'bird'"):
        train(small(voc, "validation.classes=[bird]"), tmp_path)


@pytest.mark.parametrize(
    ("steps", "expected"), [(20, [*range(2, 21, 2)]), (25, [3, 5, 8, 10, 13, 15, 18, 20, 23, 25]), (3, [1, 2, 3])]
)
def test_a_long_run_has_ten_tenths_and_a_short_run_one_per_step(steps: int, expected: list[int]) -> None:
    assert [step for step in range(1, steps + 1) if completes_tenth(step, steps)] == expected


def test_the_learning_rate_follows_the_schedule(voc: Path) -> None:
    flat = [f"schedule.{name}" for name in ("name=constant", "warm_up=0")]
    assert learning_rate(small(voc, *flat), 5) == 3e-4
    steps = small(voc, "schedule.name=step", "schedule.every=10", "schedule.warm_up=0", "steps=30")
    assert [learning_rate(steps, step) for step in (0, 9, 10, 20)] == pytest.approx([3e-4, 3e-4, 3e-5, 3e-6])
    cosine = small(voc, "schedule.warm_up=0", "steps=100")
    assert [learning_rate(cosine, step) for step in (0, 50, 100)] == pytest.approx([3e-4, 1.5e-4, 0])
    assert learning_rate(small(voc, *flat[:1], "schedule.warm_up=2"), 0) == pytest.approx(1e-4)


@pytest.mark.slow
def test_an_unknown_module_to_train_names_similar_ones(voc: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"block\.5.*blocks\.5"):
        train(small(voc, "model.learn=[block.5]"), tmp_path)


@pytest.mark.slow
def test_a_module_after_the_last_tap_cannot_be_trained(voc: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"blocks\.6"):
        train(small(voc, "model.learn=[blocks.6]"), tmp_path)


@pytest.mark.slow
def test_cuda_without_a_device_is_refused(voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainingError, match="accelerator=cpu"):
        train(small(voc, "accelerator=cuda"), tmp_path)
