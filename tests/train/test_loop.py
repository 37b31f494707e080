import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file, save_file

import fakes
from likewise.backbones import Backbone, backbone_spec
from likewise.data.layout import DataSetError
from likewise.models.panet import PANet
from likewise.train.loop import ends_a_tenth, learning_rate, train
from likewise.train.material import Progress, TrainingError
from likewise.train.objective import TASKS, Objective
from likewise.train.recipes import Recipe, load_recipe, recipe_names
from likewise.train.run import last_checkpoint
from likewise.weights import load_state
from train.scene_folders import make_folder
from train.small_voc import paint_objects, small


@pytest.fixture(scope="module")
def voc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.make_voc(tmp_path_factory.mktemp("voc"), per_class=6)


def rows(run: Path, name: str = "metrics.csv") -> list[dict[str, str]]:
    with (run / name).open(newline="") as file:
        return list(csv.DictReader(file))


def losses(run: Path) -> list[float]:
    return [float(row["loss"]) for row in rows(run)]


def same_weights(one: Path, other: Path) -> bool:
    first, second = (load_file(run / "weights.safetensors") for run in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def unbroken(voc: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(small(voc), tmp_path_factory.mktemp("runs") / "unbroken", show=False)


def test_a_run_leaves_weights_that_load_and_a_record_of_where_they_are_from(unbroken: Path, voc: Path) -> None:
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


def test_the_loss_falls_where_there_is_something_to_learn(tmp_path: Path) -> None:
    # by rule: what the fake lists name is not always in the mask
    voc = paint_objects(fakes.make_voc(tmp_path / "voc", per_class=6, lists=False))
    recipe = small(voc, "steps=16", "optimiser.learning_rate=1e-3", "schedule.warm_up=0")
    told = losses(train(recipe, tmp_path / "run", show=False))
    assert np.mean(told[-4:]) < 0.9 * np.mean(told[:4])


def test_without_alignment_only_the_query_is_learned_from(voc: Path, tmp_path: Path) -> None:
    run = train(small(voc, "steps=1", "model.alignment=0"), tmp_path, show=False)
    assert "alignment" not in rows(run)[0]
    assert rows(run)[0]["loss"] == rows(run)[0]["query"]


def test_half_precision_weights_are_half_as_large_and_load(unbroken: Path, voc: Path, tmp_path: Path) -> None:
    run = train(small(voc, "result=float16"), tmp_path, show=False)
    half, full = (folder / "weights.safetensors" for folder in (run, unbroken))
    assert half.stat().st_size < 0.55 * full.stat().st_size
    load_state(TASKS["panet"].build(small(voc).model, ()), load_file(half), source=half)
    for name, value in load_file(full).items():
        torch.testing.assert_close(load_file(half)[name].to(value.dtype), value, rtol=1e-3, atol=1e-6)


def test_bfloat16_trains_like_float32_to_its_precision(unbroken: Path, voc: Path, tmp_path: Path) -> None:
    run = train(small(voc, "precision=bfloat16"), tmp_path, show=False)
    assert losses(run) != losses(unbroken)
    assert losses(run) == pytest.approx(losses(unbroken), rel=0.05)


def test_cached_features_train_like_computed_ones_and_alike_each_time(
    unbroken: Path, voc: Path, tmp_path: Path
) -> None:
    cold = train(small(voc, f"cache={tmp_path / 'cache'}"), tmp_path / "cold", show=False)
    warm = train(small(voc, f"cache={tmp_path / 'cache'}"), tmp_path / "warm", show=False)
    assert same_weights(cold, warm)
    assert losses(cold) == pytest.approx(losses(unbroken), rel=0.02)
    assert load_file(cold / "weights.safetensors").keys() == load_file(unbroken / "weights.safetensors").keys()


def test_hsnet_learns_with_its_backbone_untouched(voc: Path, tmp_path: Path) -> None:
    settings = small(voc, "steps=2", "batch=1", "schedule.warm_up=0", f"cache={tmp_path / 'cache'}").model_dump()
    settings["model"] = {"name": "hsnet", "backbone": "lite0", "first_tap": "blocks.2.0"}
    recipe = Recipe.model_validate(settings)
    run = train(recipe, tmp_path / "run", show=False)
    start = TASKS["hsnet"].build(recipe.model, ()).state_dict()
    end = load_file(run / "weights.safetensors")
    assert start.keys() == end.keys()
    same = {name: torch.equal(start[name], end[name]) for name in start if name.startswith("backbone.")}
    assert same
    assert all(same.values())
    assert all(math.isfinite(loss) for loss in losses(run))


def make_coco(root: Path) -> Path:
    """Four pictures of each of two base classes of COCO-20i's fold 0."""
    for number in range(8):
        name = f"COCO_train2014_{number:012d}"
        fakes.write_picture(root / "train2014" / f"{name}.jpg", fakes.noise(number))
        fakes.write_picture(root / "annotations/train2014" / f"{name}.png", fakes.block(2 + number % 2, number))
    return root


def small_data(recipe: Recipe, voc: Path, folder: Path) -> dict[str, Any]:
    """Settings of the data section that make it small: fakes, of the recipe's own layout or of the simplest."""
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
        fakes.write_picture(folder / "image/cups" / f"{number}.jpg", fakes.noise(number))
        for kind in ("gt", "sism"):
            fakes.write_picture(folder / kind / "cups" / f"{number}.png", fakes.block(255, number, border=0))
    few = {"pictures": 2, "maps": None} if recipe.data.kind == "groups" else {"size": 64}
    return {"set": "cosaliency", "root": folder, "sources": (), "held_out": None, **few}


@pytest.mark.parametrize("name", recipe_names())
def test_a_shipped_recipe_trains(name: str, voc: Path, tmp_path: Path) -> None:
    shipped = load_recipe(name)
    settings = shipped.model_dump() | {"steps": 1, "batch": 2 if shipped.data.kind == "scenes" else 1, "workers": 0}
    settings["data"] |= small_data(shipped, voc, tmp_path / "data")
    spec = backbone_spec(shipped.model.backbone)
    if spec.weights == "hub" and "weights" in settings["model"]:
        settings["model"]["weights"] = tmp_path / "imagenet.safetensors"
        state = {entry: value.half() for entry, value in Backbone(spec).net.state_dict().items()}
        save_file(state, settings["model"]["weights"])
    if "start" in settings["model"]:
        settings["model"]["start"] = () if settings["model"]["name"] == "hsnet" else None
    recipe = Recipe.model_validate(settings)
    run = train(recipe, tmp_path / "run", show=False)
    classes = TASKS[recipe.model.name].material(recipe).classes
    load_state(Objective(recipe, classes).model, load_file(run / "weights.safetensors"), source=run)
    assert math.isfinite(losses(run)[0])


def test_a_folder_of_classes_of_ones_own_trains(tmp_path: Path) -> None:
    for number in range(6):
        place = tmp_path / "mine" / ("cups", "keys")[number % 2]
        fakes.write_picture(place / f"{number}.jpg", fakes.noise(number))
        fakes.write_picture(place / f"{number}_mask.png", fakes.block(255, number, border=0))
    own = ("data.set=class_folders", "data.fold=null", "steps=1")
    run = train(small(tmp_path / "mine", *own), tmp_path / "run", show=False)
    assert json.loads((run / "record.json").read_text())["data"]["training"][0]["entries"] == {"cups": 3, "keys": 3}


def killed_after(step: int, recipe: Recipe, run: Path) -> None:
    """Train in another process, and kill it once it has done that step."""
    path = run.with_suffix(".json")
    path.write_text(recipe.model_dump_json())
    program = (
        "import sys, pathlib\nfrom likewise.train.recipes import Recipe\nfrom likewise.train.loop import train\n"
        "train(Recipe.model_validate_json(pathlib.Path(sys.argv[1]).read_text()), sys.argv[2], show=False)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path), str(run)], stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 900
        while not (run / "metrics.csv").is_file() or len((run / "metrics.csv").read_text().splitlines()) <= step:
            assert process.poll() is None, process.stderr and process.stderr.read().decode()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


def test_a_run_killed_at_any_step_and_resumed_ends_with_the_bits_of_an_unbroken_one(
    unbroken: Path, voc: Path, tmp_path: Path
) -> None:
    run = tmp_path / "killed"
    for step in (1, 3):
        killed_after(step, small(voc), run)
        assert not (run / "record.json").exists()
    train(small(voc), run, show=False)
    assert same_weights(run, unbroken)
    assert losses(run) == losses(unbroken)


def test_a_torn_log_line_is_written_anew(unbroken: Path, voc: Path, tmp_path: Path) -> None:
    run = train(small(voc), tmp_path, show=False)
    (run / "record.json").unlink()
    checkpoint = last_checkpoint(run)
    assert checkpoint is not None
    checkpoint.unlink()
    log = run / "metrics.csv"
    log.write_text(log.read_text()[:-9])
    train(small(voc), run, show=False)
    assert losses(run) == losses(unbroken)
    assert same_weights(run, unbroken)


def test_a_finished_run_is_left_as_it_is(unbroken: Path, voc: Path) -> None:
    before = (unbroken / "record.json").stat().st_mtime_ns
    assert train(small(voc), unbroken, show=False) == unbroken
    assert (unbroken / "record.json").stat().st_mtime_ns == before


def test_a_folder_with_a_run_of_other_settings_is_refused_and_the_settings_are_named(unbroken: Path, voc: Path) -> None:
    with pytest.raises(TrainingError, match=r"other settings \(data\.shots, seed\): choose another folder"):
        train(small(voc, "seed=1", "data.shots=2"), unbroken, show=False)
    train(small(voc, "workers=3", "checkpoint_every=1"), unbroken, show=False)


def test_what_was_refused_can_be_mended_in_the_same_folder(voc: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no tap 'blocks\.9'"):
        train(small(voc, "model.taps=[blocks.9]"), tmp_path, show=False)
    assert (train(small(voc, "steps=1"), tmp_path, show=False) / "weights.safetensors").is_file()


def test_a_loss_that_is_not_a_number_stops_the_run_with_its_state_saved(
    voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Objective.forward
    calls = []

    def broken(self: Objective, batch: object, progress: Progress) -> dict[str, torch.Tensor]:
        calls.append(1)
        parts = forward(self, batch, progress)
        return {name: part * math.nan for name, part in parts.items()} if len(calls) == 4 else parts

    monkeypatch.setattr(Objective, "forward", broken)
    with pytest.raises(TrainingError, match=r"the loss is nan at step 3; .*Try a lower optimiser\.learning_rate"):
        train(small(voc), tmp_path, show=False)
    saved = torch.load(tmp_path / "checkpoints" / "not-finite.pt", weights_only=True)
    assert saved["state"]["step"] == 3
    assert all(value.isfinite().all() for value in saved["model"].values())
    assert not (tmp_path / "weights.safetensors").exists()


def test_two_processes_give_the_losses_of_one_with_the_doubled_batch(unbroken: Path, voc: Path, tmp_path: Path) -> None:
    run = train(small(voc, "processes=2"), tmp_path, show=False)
    assert losses(run) == pytest.approx(losses(unbroken), rel=1e-4)
    one, two = (load_file(folder / "weights.safetensors") for folder in (unbroken, run))
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=1e-4)
    assert not torch.distributed.is_initialized()


def test_a_failure_in_one_of_several_processes_is_told(
    voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise torch.multiprocessing.ProcessRaisedException("Traceback ...\nKeyError: 'blocks'\n", 1, 77)

    monkeypatch.setattr(Fabric, "launch", fail)
    with pytest.raises(TrainingError, match=r"a process of the run in .* failed: KeyError: 'blocks'"):
        train(small(voc, "processes=2"), tmp_path, show=False)


def test_the_global_generator_of_torch_does_not_move(voc: Path, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    train(small(voc, "steps=1"), tmp_path, show=False)
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_are_selected_on_base_classes_that_are_not_trained_on(voc: Path, tmp_path: Path) -> None:
    wanted = ("validation.classes=[bus, car]", "validation.every=2", "validation.episodes=4", "average=null")
    run = train(small(voc, *wanted), tmp_path, show=False)
    scores = {int(row["step"]): float(row["base-class validation mIoU"]) for row in rows(run, "validation.csv")}
    assert list(scores) == [0, 2, 4, 6]
    record = json.loads((run / "record.json").read_text())
    best = max(scores, key=lambda step: scores[step])
    assert record["selection"].startswith(f"step {best}, the best ({scores[best]:.4f}) of 4 by mIoU on base classes")
    assert record["data"]["training"][0]["entries"].keys().isdisjoint({"bus", "car", "aeroplane"})
    assert set(record["data"]["validation"]["entries"]) == {"bus", "car"}


def test_a_test_class_cannot_select(voc: Path, tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="there is no class of PASCAL-5i fold 0 trn to validate on 'bird'"):
        train(small(voc, "validation.classes=[bird]"), tmp_path, show=False)


@pytest.mark.parametrize(
    ("steps", "expected"), [(20, [*range(2, 21, 2)]), (25, [3, 5, 8, 10, 13, 15, 18, 20, 23, 25]), (3, [1, 2, 3])]
)
def test_a_long_run_has_ten_tenths_and_a_short_one_a_step_for_each(steps: int, expected: list[int]) -> None:
    assert [step for step in range(1, steps + 1) if ends_a_tenth(step, steps)] == expected


def test_the_learning_rate_follows_the_schedule(voc: Path) -> None:
    flat = [f"schedule.{name}" for name in ("name=constant", "warm_up=0")]
    assert learning_rate(small(voc, *flat), 5) == 3e-4
    steps = small(voc, "schedule.name=step", "schedule.every=10", "schedule.warm_up=0", "steps=30")
    assert [learning_rate(steps, step) for step in (0, 9, 10, 20)] == pytest.approx([3e-4, 3e-4, 3e-5, 3e-6])
    cosine = small(voc, "schedule.warm_up=0", "steps=100")
    assert [learning_rate(cosine, step) for step in (0, 50, 100)] == pytest.approx([3e-4, 1.5e-4, 0])
    assert learning_rate(small(voc, *flat[:1], "schedule.warm_up=2"), 0) == pytest.approx(1e-4)


def test_an_unknown_module_to_learn_names_the_nearest(voc: Path, tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"module of lite0 that can learn 'block\.5'; the nearest is 'blocks\.5'"):
        train(small(voc, "model.learn=[block.5]"), tmp_path, show=False)


def test_a_part_without_weights_cannot_learn(voc: Path, tmp_path: Path) -> None:
    # what follows the last tap is left out of the network
    with pytest.raises(DataSetError, match=r"no module of lite0 that can learn 'blocks\.6'"):
        train(small(voc, "model.learn=[blocks.6]"), tmp_path, show=False)


def test_cuda_where_there_is_none_is_refused(voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainingError, match="set accelerator=cpu"):
        train(small(voc, "accelerator=cuda"), tmp_path, show=False)
