"""The training loop of every model, on Lightning Fabric.

    recipe --> batch of (seed, step) --> loss --> update --> moving average --> weights.safetensors
                                                                       +--> checkpoint every N steps

A run is a folder. Calling `train` again on the folder resumes from the last checkpoint; the final weights have the
same bits as those of an uninterrupted run.
"""

import math
import sys
import time
from pathlib import Path
from typing import cast

import torch
import torch.distributed
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy, Strategy
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from likewise.errors import TrainingError, printable
from likewise.train import run as files
from likewise.train.recipes.schema import Recipe
from likewise.train.samples.training_data import TRAINING, Progress, loader, torch_seed
from likewise.train.tasks.task import TASKS, TrainingModule


def train(recipe: Recipe, run: str | Path | None = None, *, progress_bar: bool = True) -> Path:
    """Train by a recipe, resuming from the run's last checkpoint, and return the run's folder.

    The folder contains `weights.safetensors`, `record.json`, `metrics.csv`, `tensorboard/`, `checkpoints/` and
    `recipe.json`; `validation.csv` if there is validation data; MCIBI's memory after each tenth of the steps.

    Args:
        run: the folder; by default `runs/` and the recipe's name.

    Raises:
        TrainingError: the folder contains a run with other settings, the loss is not finite, too many images are
            unreadable, or there is no CUDA device.
        DataSetError, ImageError, WeightsError: data or weights of the recipe are missing or damaged.
    """
    folder = Path("runs") / recipe.name if run is None else Path(run)
    files.claim_folder(folder, recipe)
    if (folder / "record.json").is_file():
        return folder
    accelerator = recipe.accelerator
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    elif accelerator == "cuda" and not torch.cuda.is_available():
        raise TrainingError("the recipe sets accelerator=cuda and torch finds no CUDA device: set accelerator=cpu")
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
        fabric.launch(_train, recipe, folder, progress_bar)  # type: ignore[arg-type]
    except torch.multiprocessing.ProcessRaisedException as error:
        raise TrainingError(f"{folder}: a process failed: {str(error).strip().splitlines()[-1]}") from error
    return folder


def _train(fabric: Fabric, recipe: Recipe, folder: Path, progress_bar: bool) -> None:
    """Train in each process of the run."""
    try:
        with torch.random.fork_rng():
            _loop(fabric, recipe, folder, progress_bar)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _loop(fabric: Fabric, recipe: Recipe, folder: Path, progress_bar: bool) -> None:
    data = TASKS[recipe.model.name].data(recipe)
    if progress_bar and fabric.is_global_zero:
        training = data.record()["training"]
        for contents in training if isinstance(training, list) else [training]:
            print(printable(contents["presence"]), file=sys.stderr)
    module = TrainingModule(recipe, data.classes)
    wrapped, optimiser = fabric.setup(module, make_optimiser(recipe, module))
    wrapped.train()
    average = None if recipe.average is None else moving_average(module, recipe.average)
    result = module if average is None else cast(TrainingModule, average.module)
    state = files.load_checkpoint(folder, module, average, optimiser, fabric.device)

    def validate(step: int) -> None:
        """Score the weights on the main process, and save them if they are the best so far."""
        if data.selection is not None and fabric.is_global_zero:
            result.eval()
            with torch.inference_mode(), fabric.autocast():
                score = data.score(result.model, fabric.to_device)
            result.train()
            if not state.validation or score > max(s for _, s in state.validation):
                files.save_weights(folder, result, recipe, data, step)
            state.validation.append((step, score))
            logs.validation(step, data.selection, score)
        fabric.barrier()

    size = recipe.batch // recipe.processes
    share = slice(fabric.global_rank * size, (fabric.global_rank + 1) * size)
    batches = loader(data, recipe.batch, range(state.step, recipe.steps), share, recipe.workers)
    with files.Logs(folder, recipe, state, progress_bar=progress_bar, active=fabric.is_global_zero) as logs:
        if state.step == 0:
            validate(0)
        for step, batch in enumerate(batches, start=state.step):
            start = time.perf_counter()
            torch.manual_seed(torch_seed(TRAINING, recipe.seed, step, fabric.global_rank))
            rate = learning_rate(recipe, step)
            for group in optimiser.param_groups:
                group["lr"] = rate
            progress = Progress(step, recipe.steps, rate / recipe.optimiser.learning_rate)
            parts = wrapped(fabric.to_device(batch), progress)
            loss = torch.stack(list(parts.values())).sum()
            means = fabric.all_reduce(torch.stack([loss, *parts.values()]).detach().float(), reduce_op="mean")
            assert isinstance(means, Tensor)
            values = dict(zip(("loss", *parts), means.tolist(), strict=True))
            if not math.isfinite(values["loss"]):
                path = folder / "checkpoints" / "not-finite.pt"
                if fabric.is_global_zero:
                    files.save_checkpoint(path, module, average, optimiser, state)
                raise TrainingError(
                    f"the loss is {values['loss']} at step {step}; the state before this step is in {path}. Lower "
                    "optimiser.learning_rate or set precision=float32, and train in another folder"
                )
            fabric.backward(loss)
            optimiser.step()
            optimiser.zero_grad()
            if average is not None:
                average.update_parameters(module)
            state.step = step + 1
            state.seconds += time.perf_counter() - start
            logs.step(values, rate, state)
            if module.task.snapshot and fabric.is_global_zero and completes_tenth(state.step, recipe.steps):
                module.task.snapshot(module.model, folder, state.step)
            if state.step % recipe.validation.every == 0 or state.step == recipe.steps:
                validate(state.step)
            if state.step % recipe.checkpoint_every == 0 or state.step == recipe.steps:
                if fabric.is_global_zero:
                    path = folder / "checkpoints" / f"step-{state.step:07d}.pt"
                    files.save_checkpoint(path, module, average, optimiser, state)
                fabric.barrier()
    if fabric.is_global_zero:
        if data.selection is None:
            files.save_weights(folder, result, recipe, data, recipe.steps)
        files.write_record(folder, recipe, data, state, str(fabric.device))
    fabric.barrier()


def completes_tenth(step: int, steps: int) -> bool:
    """Return whether `step`, counted from 1, completes another tenth of all steps."""
    return 10 * step // steps > 10 * (step - 1) // steps


def make_optimiser(recipe: Recipe, module: nn.Module) -> torch.optim.Optimizer:
    """Return the recipe's optimiser of the parameters that require gradients."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[recipe.optimiser.name]
    settings = recipe.optimiser.model_dump(exclude={"name", "learning_rate"})
    return kind(parameters, lr=recipe.optimiser.learning_rate, **settings)


def learning_rate(recipe: Recipe, step: int) -> float:
    """Return the learning rate of a step, counted from 0. It depends on the step only, so it is not checkpointed."""
    schedule, rate = recipe.schedule, recipe.optimiser.learning_rate
    if step < schedule.warm_up:
        rate *= (step + 1) / (schedule.warm_up + 1)
    if schedule.name == "step":
        assert schedule.every is not None
        return rate * 0.1 ** (step // schedule.every)
    if schedule.name == "poly":
        return rate * (0.99 * (1 - step / recipe.steps) ** 0.9 + 0.01)
    return rate * (0.5 + 0.5 * math.cos(math.pi * step / recipe.steps)) if schedule.name == "cosine" else rate


def moving_average(module: nn.Module, decay: float) -> AveragedModel:
    """Return an exponential moving average that starts at the module's weights; buffers are copied, not averaged.

    The decay of update n is min(`decay`, n / (9 + n)), so that the initial weights lose their influence early.
    """

    def update(average: Tensor, value: Tensor, count: Tensor | int) -> Tensor:
        return average.lerp(value, 1 - min(decay, int(count) / (9 + int(count))))

    average = AveragedModel(module, avg_fn=update)
    average.update_parameters(module)  # AveragedModel copies at the first call
    return average
