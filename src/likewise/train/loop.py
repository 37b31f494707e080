"""Training: one loop for every model, on Lightning Fabric.

    recipe --> batch of (seed, step) --> loss --> update --> running mean --> weights.safetensors
                                                                     +--> checkpoint every N steps

A run is a folder; `train` called again on the same folder goes on where the last checkpoint was written, and ends with
the weights of a run that was never stopped.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy, Strategy
from torch import Tensor, nn

from likewise.errors import TrainingError
from likewise.train.recipes.schema import Recipe
from likewise.train.run import (
    Logs,
    State,
    claim_folder,
    last_checkpoint,
    load_checkpoint,
    save_checkpoint,
    save_weights,
    write_record,
)
from likewise.train.samples.training_data import (
    TRAINING,
    Progress,
    TrainingData,
    loader,
    torch_seed,
)
from likewise.train.tasks.task import TASKS, TrainingModule


def train(recipe: Recipe, run: str | Path | None = None, *, show: bool = True) -> Path:
    """Train by a recipe, from where the run's last checkpoint stands, and give the run's folder.

    In it: `weights.safetensors`, `record.json`, `metrics.csv`, `tensorboard/`, `checkpoints/`, `recipe.json`; where
    something is validated `validation.csv`; of MCIBI the memory at each tenth of the steps.

    Args:
        run: the folder; `runs/` and the recipe's name by default.
        show: a progress bar.

    Raises:
        TrainingError: the folder holds a run with other settings; the loss is not finite (a checkpoint tells the
            state); too many images cannot be read; there is no CUDA device.
        DataSetError, ImageError, WeightsError: what the recipe names is not there or cannot be read.
    """
    folder = Path("runs") / recipe.name if run is None else Path(run)
    claim_folder(folder, recipe)
    if (folder / "record.json").is_file():
        return folder
    accelerator = recipe.accelerator
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    elif accelerator == "cuda" and not torch.cuda.is_available():
        raise TrainingError("the recipe wants a CUDA device and torch finds none: set accelerator=cpu")
    strategy: str | Strategy = "auto"
    if recipe.processes > 1:
        backend = "nccl" if accelerator == "cuda" else "gloo"
        strategy = DDPStrategy(start_method="spawn", process_group_backend=backend, broadcast_buffers=False)
    fabric = Fabric(
        accelerator=accelerator,
        devices=recipe.processes,
        strategy=strategy,
        precision="bf16-mixed" if recipe.precision == "bfloat16" else "32-true",
    )
    try:
        fabric.launch(_train, recipe, folder, show)  # type: ignore[arg-type]
    except torch.multiprocessing.ProcessRaisedException as error:
        raise TrainingError(
            f"a process of the run in {folder} failed: {str(error).strip().splitlines()[-1]}"
        ) from error
    return folder


def _train(fabric: Fabric, recipe: Recipe, folder: Path, show: bool) -> None:
    """The run, in each of its processes."""
    try:
        with torch.random.fork_rng():
            _loop(fabric, recipe, folder, show)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _loop(fabric: Fabric, recipe: Recipe, folder: Path, show: bool) -> None:
    material = TASKS[recipe.model.name].material(recipe)
    if show and fabric.is_global_zero:
        for line in presence(material):
            print(line, file=sys.stderr)
    plain = TrainingModule(recipe, material.classes)
    learning = {name: value for name, value in plain.model.named_parameters() if value.requires_grad}
    objective, optimiser = fabric.setup(plain, make_optimiser(recipe, list(learning.values())))
    objective.train()
    state = State.start(learning) if recipe.average is not None else State()
    checkpoint = last_checkpoint(folder)
    if checkpoint is not None:
        state = load_checkpoint(checkpoint, plain, optimiser, fabric.device)

    def validate(step: int) -> None:
        """On the main process alone: measure, and keep the weights if they are the best so far."""
        if material.selection is not None and fabric.is_global_zero:
            with averaged(learning, state.average), fabric.autocast():
                score = validation_score(plain, material, fabric)
                if not state.validation or score > max(s for _, s in state.validation):
                    save_weights(folder, plain, recipe, material.classes, step)
            state.validation.append((step, score))
            logs.validation(step, material.selection, score)
        fabric.barrier()

    here = recipe.batch // recipe.processes
    share = slice(fabric.global_rank * here, (fabric.global_rank + 1) * here)
    batches = loader(material, recipe.batch, range(state.step, recipe.steps), share, recipe.workers)
    with Logs(folder, recipe, state, show=show, active=fabric.is_global_zero) as logs:
        if state.step == 0:
            validate(0)
        for step, batch in enumerate(batches, start=state.step):
            began = time.perf_counter()
            torch.manual_seed(torch_seed(TRAINING, recipe.seed, step, fabric.global_rank))
            rate = learning_rate(recipe, step)
            for group in optimiser.param_groups:
                group["lr"] = rate
            progress = Progress(step, recipe.steps, rate / recipe.optimiser.learning_rate)
            parts = objective(fabric.to_device(batch), progress)
            loss = torch.stack(list(parts.values())).sum()
            told = fabric.all_reduce(torch.stack([loss, *parts.values()]).detach().float(), reduce_op="mean")
            assert isinstance(told, Tensor)
            values = dict(zip(("loss", *parts), told.tolist(), strict=True))
            if not math.isfinite(values["loss"]):
                where = folder / "checkpoints" / "not-finite.pt"
                if fabric.is_global_zero:
                    save_checkpoint(where, plain, optimiser, state)
                raise TrainingError(
                    f"the loss is {values['loss']} at step {step}; the state before that step is saved in {where}. "
                    "Try a lower optimiser.learning_rate, or precision=float32, in another folder"
                )
            fabric.backward(loss)
            optimiser.step()
            optimiser.zero_grad()
            if recipe.average is not None:
                update_average(state.average, learning, recipe.average, step)
            state.step = step + 1
            state.seconds += time.perf_counter() - began
            logs.step(values, rate, state)
            if plain.task.keep is not None and fabric.is_global_zero and ends_a_tenth(state.step, recipe.steps):
                plain.task.keep(plain.model, folder, state.step)
            if state.step % recipe.validation.every == 0 or state.step == recipe.steps:
                validate(state.step)
            if state.step % recipe.checkpoint_every == 0 or state.step == recipe.steps:
                if fabric.is_global_zero:
                    save_checkpoint(folder / "checkpoints" / f"step-{state.step:07d}.pt", plain, optimiser, state)
                fabric.barrier()
    if fabric.is_global_zero:
        if material.selection is None:
            with averaged(learning, state.average):
                save_weights(folder, plain, recipe, material.classes, recipe.steps)
        write_record(folder, recipe, material, state, str(fabric.device))
    fabric.barrier()


def ends_a_tenth(step: int, steps: int) -> bool:
    """Whether a tenth of all steps is done after this one, counted from 1, and was not before it."""
    return 10 * step // steps > 10 * (step - 1) // steps


def presence(material: TrainingData) -> list[str]:
    """How much of each training set is there."""
    sets = material.record()["training"]
    return [found["presence"] for found in (sets if isinstance(sets, list) else [sets])]


def make_optimiser(recipe: Recipe, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    settings = recipe.optimiser
    if settings.name == "sgd":
        return torch.optim.SGD(
            parameters, settings.learning_rate, momentum=settings.momentum, weight_decay=settings.weight_decay
        )
    return torch.optim.Adam(parameters, settings.learning_rate, weight_decay=settings.weight_decay)


def learning_rate(recipe: Recipe, step: int) -> float:
    """The learning rate of a step, counted from 0; a function of the step, so there is no state of it to save."""
    schedule, rate = recipe.schedule, recipe.optimiser.learning_rate
    if step < schedule.warm_up:
        rate *= (step + 1) / (schedule.warm_up + 1)
    if schedule.name == "step":
        assert schedule.every is not None
        return rate * 0.1 ** (step // schedule.every)
    if schedule.name == "poly":
        return rate * (0.99 * (1 - step / recipe.steps) ** 0.9 + 0.01)
    return rate * (0.5 + 0.5 * math.cos(math.pi * step / recipe.steps)) if schedule.name == "cosine" else rate


def update_average(average: dict[str, Tensor], learning: dict[str, nn.Parameter], decay: float, step: int) -> None:
    """The running mean after `step`; it forgets its start quickly at first."""
    decay = min(decay, (1 + step) / (10 + step))
    for name, value in average.items():
        value.lerp_(learning[name].detach(), 1 - decay)


@contextmanager
def averaged(learning: dict[str, nn.Parameter], average: dict[str, Tensor]) -> Iterator[None]:
    """The running mean in place of the weights, while the block lasts."""
    own = {name: learning[name].detach().clone() for name in average}
    with torch.no_grad():
        for name, value in average.items():
            learning[name].copy_(value)
        try:
            yield
        finally:
            for name, value in own.items():
                learning[name].copy_(value)


def validation_score(objective: TrainingModule, material: TrainingData, fabric: Fabric) -> float:
    objective.eval()
    with torch.inference_mode():
        score = material.score(objective.model, fabric.to_device)
    objective.train()
    return score
