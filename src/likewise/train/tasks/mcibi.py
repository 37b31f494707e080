"""MCIBI in training, and its baseline: the memory moves with the features of every step, then the losses are taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.distributed
from jaxtyping import Float, UInt8
from torch import Tensor

from likewise.backbones.specs import backbone_spec
from likewise.backbones.taps import Backbone
from likewise.io.atomic import write_atomically
from likewise.models.blocks.dataset_memory import DatasetMemory, coupled_momentum, polynomial_momentum
from likewise.models.blocks.scene_heads import weight_of_pixels
from likewise.models.fcn import FCN
from likewise.models.mcibi import MCIBI, MCIBIConfig
from likewise.train.kernels.depthwise import use_fast_depthwise
from likewise.train.kernels.shared_norm import share_batch_norms
from likewise.train.recipes.model_sections import FCNModel, MCIBIModel, SceneModel
from likewise.train.samples.scenes import Batch
from likewise.train.samples.training_data import Progress
from likewise.train.tasks.frozen import learn_only
from likewise.viz.memory import SNAPSHOTS
from likewise.weights.imagenet import load_backbone


def build(section: MCIBIModel, classes: tuple[str, ...]) -> MCIBI:
    """MCIBI with ImageNet weights in its backbone, its memory empty unless the section names one.

    Raises:
        MemoryMismatch: that memory is of other classes.
    """
    chosen = {name: getattr(section, name) for name in MCIBIConfig.__dataclass_fields__}
    model = MCIBI(build_backbone(section), classes, MCIBIConfig(**chosen))
    if section.memory is not None:
        start = DatasetMemory.load(section.memory, classes=classes)
        if start.vectors.shape != model.memory.vectors.shape:
            needed, found = (tuple(memory.vectors.shape[1:]) for memory in (model.memory, start))
            raise ValueError(
                f"{section.memory}: has {found[0]} vectors of {found[1]} channels for each class, needed are "
                f"{needed[0]} of {needed[1]}: set model.slots={found[0]} and model.channels={found[1]}, or start "
                "without a memory"
            )
        model.memory.load_state_dict(start.state_dict())
    return share_batch_norms(model)


def build_baseline(section: FCNModel, classes: tuple[str, ...]) -> FCN:
    """The same without memory."""
    return share_batch_norms(
        FCN(
            build_backbone(section),
            classes,
            convolutions=section.convolutions,
            channels=section.channels,
            dropout=section.dropout,
            detail=section.detail,
        )
    )


def build_backbone(section: SceneModel) -> Backbone:
    """The backbone with ImageNet weights, of which those of `learn` (or all) take gradients."""
    spec = backbone_spec(section.backbone, taps=section.taps)
    backbone = load_backbone(spec, weights=section.weights, frozen=False)
    learn_only(backbone, section.learn)
    use_fast_depthwise(backbone)
    return backbone


def losses(model: MCIBI, section: MCIBIModel, batch: Batch, progress: Progress) -> dict[str, Float[Tensor, ""]]:
    """Updates the memory, and gives the losses against it as it then stands."""
    stages = model.stages(model.backbone.normalise(batch.images))
    model.memory.update(stages.features.detach(), batch.labels, momentum(section, progress))
    consistency = section.consistency and progress.step >= section.consistency_from * progress.steps
    weights = batch.weights[0].float()  # mixed precision brings all that comes in to its own
    found = model.loss(stages, batch.labels, weights, consistency=consistency, overlap=section.overlap)
    share = share_of_pixels(batch.labels, weights)
    losses = {
        "stage 2": share * found.stage2,
        "stage 1": share * found.stage1,
        "auxiliary": share * found.auxiliary,
        "consistency": found.consistency,
    }
    return losses | {"overlap": found.overlap} if section.overlap else losses


def baseline_losses(model: FCN, section: FCNModel, batch: Batch, progress: Progress) -> dict[str, Float[Tensor, ""]]:
    weights = batch.weights[0].float()  # mixed precision brings all that comes in to its own
    loss = model.loss(model.backbone.normalise(batch.images), batch.labels, weights, overlap=section.overlap)
    return {"labels": share_of_pixels(batch.labels, weights) * loss}


def momentum(section: MCIBIModel, progress: Progress) -> float:
    """The weight of what is new to the memory at this step."""
    if section.momentum == "coupled":
        return coupled_momentum(progress.rate, 1.0, start=section.momentum_start)
    done = progress.step / progress.steps
    return polynomial_momentum(done, start=section.momentum_start, power=section.momentum_power)


def share_of_pixels(labels: UInt8[Tensor, "b h w"], weights: Float[Tensor, " k"]) -> Float[Tensor, ""]:
    """What the labelled pixels of this process weigh, relative to the mean over processes.

    Losses are means over the pixels of a process and gradients are means over processes; times this, they are those of
    one process with the whole batch.
    """
    here = weight_of_pixels(labels, weights)
    if not torch.distributed.is_initialized():
        return torch.ones_like(here)
    total = here.clone()
    torch.distributed.all_reduce(total)
    return here * torch.distributed.get_world_size() / total.where(total > 0, 1)


def keep_memory(model: Any, run: Path, step: int) -> None:
    """Leave the memory as it stands in the run's folder, for `likewise memory show`."""
    path = run / SNAPSHOTS / f"step-{step:07d}.safetensors"
    with write_atomically(path) as part:
        model.memory.save(part)
