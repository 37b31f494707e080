"""The files of a training run's folder: checkpoints, logs, weights and their record."""

from __future__ import annotations

import csv
import hashlib
import json
import platform
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save
from torch.optim.swa_utils import AveragedModel
from torch.utils.tensorboard import SummaryWriter

from likewise.errors import TrainingError, unmarked, warn
from likewise.io.atomic import write_atomically
from likewise.io.settings import refuse_changes
from likewise.train.recipes.schema import Recipe
from likewise.train.samples.training_data import TrainingData
from likewise.train.tasks.task import TrainingModule
from likewise.weights.checkpoint import first_line

# Settings that do not change the result
NEUTRAL = {"workers", "checkpoint_every", "source", "licences"}


def claim_folder(folder: Path, recipe: Recipe) -> None:
    """Write `recipe.json`, unless the folder contains results of another recipe.

    A folder with nothing but `recipe.json` belongs to a run that failed before its first step; it can be claimed.
    """
    path, recipe = folder / "recipe.json", with_absolute_root(recipe)
    if path.is_file() and any(entry != path for entry in folder.iterdir()):
        try:
            recorded = Recipe.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise TrainingError(f"{path}: damaged ({first_line(error)}); choose another folder") from error
        before, now = (one.model_dump(mode="json", exclude=NEUTRAL) for one in (with_absolute_root(recorded), recipe))
        refuse_changes(folder, before, now, error=TrainingError, advice="choose another folder, or delete it")
    with write_atomically(path) as part:
        part.write_text(recipe.model_dump_json(indent=2), encoding="utf-8")


def with_absolute_root(recipe: Recipe) -> Recipe:
    """Return the recipe with the absolute path of its data, so that a run resumes from any folder."""
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"root": recipe.data.root.absolute()})})


@dataclass
class RunState:
    """The progress of a run: updates done, (step, score) of each validation, and time spent on updates.

    Data and random numbers follow from the recipe's seed and `step`.
    """

    step: int = 0
    validation: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0


def save_checkpoint(
    path: Path, module: TrainingModule, average: AveragedModel | None, optimiser: Any, state: RunState
) -> None:
    """Write everything needed to resume, atomically; delete all but the last two checkpoints of steps."""
    content = {
        "model": module.model.state_dict(),
        "average": average and average.state_dict(),
        "optimiser": optimiser.state_dict(),
        "state": vars(state),
    }
    with write_atomically(path) as part:
        torch.save(content, part)
    for old in sorted(path.parent.glob("step-*.pt"))[:-2]:
        old.unlink()


def load_checkpoint(
    folder: Path, module: TrainingModule, average: AveragedModel | None, optimiser: Any, device: torch.device
) -> RunState:
    """Restore the model, its average and the optimiser from the run's last readable checkpoint; return its state.

    Without a checkpoint nothing is restored. Warns of a checkpoint that is damaged.

    Raises:
        TrainingError: there are checkpoints, and none is readable.
    """
    paths = sorted((folder / "checkpoints").glob("step-*.pt"), reverse=True)
    for path in paths:
        try:
            content = torch.load(path, map_location=device, weights_only=True)
            state = RunState(**content["state"])
            if f"step-{state.step:07d}" != path.stem:
                raise ValueError(f"it holds step {state.step}")
            module.model.load_state_dict(content["model"])
            if average is not None:
                average.load_state_dict(content["average"])
            optimiser.load_state_dict(content["optimiser"])
            return state
        except Exception as error:  # pickle and torch raise errors of many classes
            warn(f"{path}: damaged ({type(error).__name__}: {first_line(error)}); the checkpoint before it is used")
    if paths:
        raise TrainingError(f"{folder}: none of its checkpoints can be read; delete its checkpoints to start again")
    return RunState()


def save_weights(folder: Path, module: TrainingModule, recipe: Recipe, data: TrainingData, step: int) -> None:
    """Write the model's weights in the recipe's `result` precision, in the format of `load_trained`."""
    precision = {"float32": torch.float32, "float16": torch.float16}[recipe.result]
    state = {
        name: (value.to(precision) if value.is_floating_point() else value).cpu().contiguous()
        for name, value in module.model.state_dict().items()
    }
    header = {"recipe": recipe.model_dump_json(), "classes": json.dumps(list(data.classes)), "step": str(step)}
    if data.stored:
        header["labels"] = json.dumps(list(data.stored))
    with write_atomically(folder / "weights.safetensors") as part:
        part.write_bytes(save(state, metadata=header))


SECONDS_BETWEEN_LINES = 30.0
"""Time between two lines of progress where the output is no terminal."""


class Logs:
    """`metrics.csv`, `validation.csv`, TensorBoard and the progress bar; inactive outside the main process."""

    def __init__(self, folder: Path, recipe: Recipe, state: RunState, *, progress_bar: bool, active: bool) -> None:
        self.folder, self.recipe, self.progress_bar, self.active = folder, recipe, progress_bar, active
        self.start = state.step
        self.files = ExitStack()

    def __enter__(self) -> Logs:
        if not self.active:
            return self
        _truncate(self.folder / "metrics.csv", self.start)
        _truncate(self.folder / "validation.csv", self.start)
        self.board = self.files.enter_context(
            SummaryWriter(str(self.folder / "tensorboard"), purge_step=self.start + 1)
        )
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.plain = self.progress_bar and not sys.stderr.isatty()
        bar = Progress(*columns, console=Console(stderr=True), disable=self.plain or not self.progress_bar)
        self.progress, self.printed = self.files.enter_context(bar), time.monotonic()
        self.bar = self.progress.add_task(unmarked(self.recipe.name), total=self.recipe.steps, completed=self.start)
        self.score = ""
        return self

    def __exit__(self, *raised: object) -> None:
        self.files.close()

    def step(self, values: dict[str, float], rate: float, state: RunState) -> None:
        if not self.active:
            return
        row = {"step": state.step, **values, "learning rate": rate, "seconds": round(state.seconds, 3)}
        _append(self.folder / "metrics.csv", row)
        for name, value in (*values.items(), ("learning rate", rate)):
            self.board.add_scalar(name, value, state.step)
        description = f"{unmarked(self.recipe.name)}  loss {values['loss']:.4f}{self.score}"
        self.progress.update(self.bar, completed=state.step, description=description)
        if self.plain and time.monotonic() - self.printed >= SECONDS_BETWEEN_LINES:
            self.printed = time.monotonic()
            print(f"{description}  step {state.step} of {self.recipe.steps}", file=sys.stderr)

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


def _truncate(path: Path, step: int) -> None:
    """Remove the rows after `step`, which a killed run wrote after its last checkpoint, and incomplete rows."""
    if step == 0:
        path.unlink(missing_ok=True)
    if not path.is_file():
        return
    head, *rows = path.read_bytes().splitlines(keepends=True) or [b""]
    numbered = [(row.partition(b",")[0], row) for row in rows if row.endswith(b"\n")]
    kept = [row for number, row in numbered if number.isdigit() and int(number) <= step]
    if not kept:
        path.unlink()
        return
    with write_atomically(path) as part:
        part.write_bytes(b"".join([head, *kept]))


def write_record(folder: Path, recipe: Recipe, data: TrainingData, state: RunState, device: str) -> None:
    """Write `record.json`: the recipe, data, selection, final numbers, code, hardware and licences of the run."""
    weights = (folder / "weights.safetensors").read_bytes()
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        last = list(csv.DictReader(file))[-100:]
    if data.selection is None:
        selection = f"none: the weights of the last of {recipe.steps} steps, a number set before the run"
        measured = {}
    else:
        step, score = max(state.validation, key=lambda measurement: measurement[1])
        selection = f"step {step}, the best ({score:.4f}) of {len(state.validation)} by {data.validation_protocol()}"
        measured = {data.selection: dict(state.validation)}
    content = {
        "recipe": recipe.model_dump(mode="json"),
        "data": data.record(),
        "selection": selection,
        "numbers": {
            **{
                f"{name}, mean of the last {len(last)} steps": float(np.mean([float(row[name]) for row in last]))
                for name in (last[0] if last else ())
                if name not in ("step", "seconds", "learning rate")
            },
            **measured,
        },
        "weights": {"file": "weights.safetensors", "sha256": hashlib.sha256(weights).hexdigest()},
        "commit": source_commit(),
        "versions": {name: version(name) for name in ("likewise", "torch", "timm", "numpy", "lightning-fabric")},
        "hardware": {"device": device, "processes": recipe.processes, "platform": platform.platform()},
        "seconds of updates": round(state.seconds, 1),
        "licences": list(recipe.licences),
    }
    with write_atomically(folder / "record.json") as part:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def source_commit() -> str | None:
    """Return the commit of this code's git checkout, with `-dirty` after local changes; None outside a checkout."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        subprocess.run([*git, "ls-files", "--error-unmatch", __file__], check=True, capture_output=True)
        described = subprocess.run(
            [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()
