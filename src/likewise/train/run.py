"""What a training run leaves in its folder: checkpoints, logs, weights and the record beside them."""

from __future__ import annotations

import csv
import hashlib
import json
import platform
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from likewise.errors import TrainingError
from likewise.io.atomic import write_atomically
from likewise.io.settings import refuse_changes
from likewise.train.recipes.schema import Recipe
from likewise.train.samples.training_data import TrainingData
from likewise.train.tasks.task import TrainingModule


def claim_folder(folder: Path, recipe: Recipe) -> None:
    """Make the folder this run's, unless one with other settings has begun there.

    A run that was refused, for a name that is not known or a file that is not there, leaves its recipe alone.
    """
    # these do not change what comes out
    indifferent = {"workers", "checkpoint_every", "source", "licences"}
    path = folder / "recipe.json"
    if path.is_file() and any(entry != path for entry in folder.iterdir()):
        recorded = Recipe.model_validate_json(path.read_text(encoding="utf-8"))
        before, now = (one.model_dump(mode="json", exclude=indifferent) for one in (recorded, recipe))
        refuse_changes(folder, before, now, error=TrainingError, advice="choose another folder, or delete it")
    with write_atomically(path) as part:
        part.write_text(recipe.model_dump_json(indent=2), encoding="utf-8")


@dataclass
class State:
    """Where a run stands. Episodes and random numbers follow from the recipe's seed and `step`.

    Attributes:
        step: updates done.
        average: the running mean of the weights that learn.
        validation: (step, score) of each measurement.
        seconds: spent on updates.
    """

    step: int = 0
    average: dict[str, Tensor] = field(default_factory=dict)
    validation: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0

    @classmethod
    def start(cls, learning: dict[str, nn.Parameter]) -> State:
        return cls(average={name: value.detach().clone() for name, value in learning.items()})


def save_checkpoint(path: Path, objective: TrainingModule, optimiser: Any, state: State) -> None:
    """The whole state, there at once or not at all; of the steps' checkpoints the last two are kept."""
    content = {"model": objective.model.state_dict(), "optimiser": optimiser.state_dict(), "state": vars(state)}
    with write_atomically(path) as part:
        torch.save(content, part)
    for old in sorted(path.parent.glob("step-*.pt"))[:-2]:
        old.unlink()


def last_checkpoint(folder: Path) -> Path | None:
    return max((folder / "checkpoints").glob("step-*.pt"), default=None)


def load_checkpoint(path: Path, objective: TrainingModule, optimiser: Any, device: torch.device) -> State:
    """Put a checkpoint's state into the model and the optimiser, and give the run's."""
    content = torch.load(path, map_location=device, weights_only=True)
    objective.model.load_state_dict(content["model"])
    optimiser.load_state_dict(content["optimiser"])
    return State(**content["state"])


def save_weights(folder: Path, objective: TrainingModule, recipe: Recipe, classes: Sequence[str], step: int) -> None:
    """The model's entries as `likewise.weights.load.load_trained` takes them, in the precision that the recipe names."""
    precision = {"float32": torch.float32, "float16": torch.float16}[recipe.result]
    state = {
        name: (value.to(precision) if value.is_floating_point() else value).cpu().contiguous()
        for name, value in objective.state_of_model().items()
    }
    header = {"recipe": recipe.model_dump_json(), "classes": json.dumps(list(classes)), "step": str(step)}
    with write_atomically(folder / "weights.safetensors") as part:
        save_file(state, part, metadata=header)


class Logs:
    """`metrics.csv`, `validation.csv`, TensorBoard and the progress bar, of the main process."""

    def __init__(self, folder: Path, recipe: Recipe, state: State, *, show: bool, active: bool) -> None:
        self.folder, self.recipe, self.start, self.show, self.active = folder, recipe, state, show, active
        self.files = ExitStack()

    def __enter__(self) -> Logs:
        if not self.active:
            return self
        _forget_after(self.folder / "metrics.csv", self.start.step)
        _forget_after(self.folder / "validation.csv", self.start.step)
        self.board = self.files.enter_context(
            SummaryWriter(str(self.folder / "tensorboard"), purge_step=self.start.step + 1)
        )
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.progress = self.files.enter_context(Progress(*columns, disable=not self.show))
        self.bar = self.progress.add_task(self.recipe.name, total=self.recipe.steps, completed=self.start.step)
        self.score = ""
        return self

    def __exit__(self, *raised: object) -> None:
        self.files.close()

    def step(self, values: dict[str, float], rate: float, state: State) -> None:
        if not self.active:
            return
        row = {"step": state.step, **values, "learning rate": rate, "seconds": round(state.seconds, 3)}
        _append(self.folder / "metrics.csv", row)
        for name, value in (*values.items(), ("learning rate", rate)):
            self.board.add_scalar(name, value, state.step)
        told = f"{self.recipe.name}  loss {values['loss']:.4f}{self.score}"
        self.progress.update(self.bar, completed=state.step, description=told)

    def validation(self, step: int, name: str, score: float) -> None:
        _append(self.folder / "validation.csv", {"step": step, name: score})
        self.board.add_scalar(name, score, step)
        self.score = f"  {name} {score:.4f}"


def _append(path: Path, row: dict[str, Any]) -> None:
    fresh = not path.is_file()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def _forget_after(path: Path, step: int) -> None:
    """Take out the rows that a killed run wrote after its last checkpoint: they will be written again."""
    if step == 0:
        path.unlink(missing_ok=True)
    if not path.is_file():
        return
    head, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [row for row in rows if row.endswith("\n") and int(row.split(",")[0]) <= step]
    with write_atomically(path) as part:
        part.write_text("".join([head, *kept]), encoding="utf-8", newline="")


def write_record(folder: Path, recipe: Recipe, material: TrainingData, state: State, device: str) -> None:
    """`record.json`: what was trained on what, by which code, where, with which numbers and under which licences."""
    weights = (folder / "weights.safetensors").read_bytes()
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        last = list(csv.DictReader(file))[-100:]
    if material.selection is None:
        selection = f"none: the weights of the last of {recipe.steps} steps, a number fixed before the run"
        measured = {}
    else:
        step, score = max(state.validation, key=lambda measurement: measurement[1])
        selection = f"step {step}, the best ({score:.4f}) of {len(state.validation)} by {material.described()}"
        measured = {material.selection: dict(state.validation)}
    content = {
        "recipe": recipe.model_dump(mode="json"),
        "data": material.record(),
        "selection": selection,
        "numbers": {
            **{
                f"{name}, mean of the last {len(last)} steps": float(np.mean([float(row[name]) for row in last]))
                for name in last[0]
                if name not in ("step", "seconds", "learning rate")
            },
            **measured,
        },
        "weights": {"file": "weights.safetensors", "sha256": hashlib.sha256(weights).hexdigest()},
        "commit": commit(),
        "versions": {name: version(name) for name in ("likewise", "torch", "timm", "numpy", "lightning-fabric")},
        "hardware": {"device": device, "processes": recipe.processes, "platform": platform.platform()},
        "seconds of updates": round(state.seconds, 1),
        "licences": list(recipe.licences),
    }
    with write_atomically(folder / "record.json") as part:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def commit() -> str | None:
    """The commit of the checkout that this code runs from, `-dirty` if it was changed since; None if there is none."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        subprocess.run([*git, "ls-files", "--error-unmatch", __file__], check=True, capture_output=True)
        told = subprocess.run(
            [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return told.stdout.strip()
