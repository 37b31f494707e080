"""Training MCIBI and its baseline. Each step updates the memory first and computes the losses with the new memory."""

from pathlib import Path
from typing import Any

import torch
import torch.distributed
from jaxtyping import Float, UInt8
from torch import Tensor

from likewise.errors import TrainingError
from likewise.io.atomic import write_atomically
from likewise.models.blocks.dataset_memory import DatasetMemory, coupled_momentum, polynomial_momentum
from likewise.models.blocks.scene_heads import total_pixel_weight
from likewise.models.fcn import FCN
from likewise.models.mcibi import MCIBI
from likewise.train.kernels import share_batch_norms, use_fast_depthwise
from likewise.train.recipes.sections import FCNModel, MCIBIModel, SceneModel
from likewise.train.samples.scenes import Batch
from likewise.train.samples.training_data import Progress
from likewise.train.tasks.build import build_trainable
from likewise.weights.memories import SNAPSHOTS


def build(section: MCIBIModel, classes: tuple[str, ...]) -> MCIBI:
    """Return MCIBI on a backbone with ImageNet weights, with the memory that the section names or an empty one."""
    model = build_scene_model(section, classes)
    if section.memory is not None:
        start = DatasetMemory.load(section.memory, classes=classes)
        if start.vectors.shape != model.memory.vectors.shape:
            needed, found = (tuple(memory.vectors.shape[1:]) for memory in (model.memory, start))
            raise TrainingError(
                f"{section.memory} has {found[0]} vectors of {found[1]} channels per class, the model has {needed[0]} "
                f"of {needed[1]}: set model.slots={found[0]} and model.channels={found[1]}, or model.memory=null"
            )
        model.memory.load_state_dict(start.state_dict())
    return model


def build_scene_model(section: SceneModel, classes: tuple[str, ...]) -> Any:
    """Return MCIBI or the baseline on a backbone with ImageNet weights, with fast depthwise convolutions."""
    model = build_trainable(section, classes)
    use_fast_depthwise(model.backbone)
    share_batch_norms(model)
    return model


def losses(model: MCIBI, section: MCIBIModel, batch: Batch, progress: Progress) -> dict[str, Float[Tensor, ""]]:
    """Update the memory, and return the losses computed with the updated memory."""
    stages = model.stages(model.backbone.normalise(batch.images))
    model.memory.update(stages.features.detach(), batch.labels, momentum(section, progress))
    consistency = section.consistency and progress.step >= section.consistency_from * progress.steps
    weights = batch.weights[0].float()  # autocast converts inputs to bfloat16
    found = model.loss(stages, batch.labels, weights, consistency=consistency, overlap=section.overlap)
    share = process_share(batch.labels, weights)
    parts = {
        "stage 2": share * found.stage2,
        "stage 1": share * found.stage1,
        "auxiliary": share * found.auxiliary,
        "consistency": found.consistency,
    }
    return parts | {"overlap": found.overlap} if section.overlap else parts


def baseline_losses(model: FCN, section: FCNModel, batch: Batch, progress: Progress) -> dict[str, Float[Tensor, ""]]:
    """Return the cross-entropy, plus the overlap loss weighted by `section.overlap`."""
    weights = batch.weights[0].float()  # autocast converts inputs to bfloat16
    loss = model.loss(model.backbone.normalise(batch.images), batch.labels, weights, overlap=section.overlap)
    return {"labels": process_share(batch.labels, weights) * loss}


def momentum(section: MCIBIModel, progress: Progress) -> float:
    """Return the weight of the new features in the memory update of this step."""
    if section.momentum == "coupled":
        return coupled_momentum(progress.rate, 1.0, start=section.momentum_start)
    done = progress.step / progress.steps
    return polynomial_momentum(done, start=section.momentum_start, power=section.momentum_power)


def process_share(labels: UInt8[Tensor, "b h w"], weights: Float[Tensor, " k"]) -> Float[Tensor, ""]:
    """Return the total loss weight of this process's pixels, divided by the mean over processes.

    Multiplying the losses, means over the pixels of a process, by it makes the gradients, which are averaged over
    processes, those of one process with the whole batch.
    """
    here = total_pixel_weight(labels, weights)
    if not torch.distributed.is_initialized():
        return torch.ones_like(here)
    total = here.clone()
    torch.distributed.all_reduce(total)
    return here * torch.distributed.get_world_size() / total.where(total > 0, 1)


def save_memory(model: Any, run: Path, step: int) -> None:
    """Save the memory in the run's folder, for `likewise memory show`."""
    path = run / SNAPSHOTS / f"step-{step:07d}.safetensors"
    with write_atomically(path) as part:
        model.memory.save(part)
