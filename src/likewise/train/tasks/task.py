"""The training tasks: for each model its data, its construction and its losses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likewise.models.icnet import SIZE as ICNET_SIZE
from likewise.train.recipes.schema import Recipe
from likewise.train.samples.episodes import TrainingEpisodes
from likewise.train.samples.groups import TrainingGroups
from likewise.train.samples.images import TrainingImages
from likewise.train.samples.scenes import TrainingScenes
from likewise.train.samples.training_data import STARTING, Batch, Progress, TrainingData, torch_seed
from likewise.train.tasks import few_shot, icnet, mcibi
from likewise.train.tasks.build import build_trainable


@dataclass(frozen=True)
class Task:
    """The parts of training that depend on the model.

    `build` returns the model at the start of training. `losses` are means over the batch; their sum is minimised.
    `snapshot` saves a part of the model into the run's folder after each tenth of the steps. `command` is the command
    of `likewise` that uses the trained model.
    """

    build: Callable[[Any, tuple[str, ...]], Any]
    losses: Callable[[Any, Any, Batch, Progress], dict[str, Float[Tensor, ""]]]
    data: Callable[[Recipe], TrainingData]
    snapshot: Callable[[Any, Path, int], None] | None = None
    command: str = "segment"


def saliency_losses(model: Any, section: Any, batch: Batch, progress: Progress) -> dict[str, Float[Tensor, ""]]:
    """Return the saliency loss, a mean over the pixels of the batch."""
    return {"saliency": model.loss(model.backbone.normalise(batch.images), batch.labels)}


TASKS: dict[str, Task] = {
    "panet": Task(build_trainable, few_shot.panet_losses, partial(TrainingEpisodes, predict=few_shot.panet_predict)),
    "hsnet": Task(build_trainable, few_shot.hsnet_losses, partial(TrainingEpisodes, predict=few_shot.hsnet_predict)),
    "saliency": Task(build_trainable, saliency_losses, TrainingImages, command="saliency"),
    "icnet": Task(icnet.build, icnet.losses, partial(TrainingGroups, size=ICNET_SIZE), command="cosegment"),
    "mcibi": Task(mcibi.build, mcibi.losses, TrainingScenes, mcibi.save_memory, "parse"),
    "fcn": Task(mcibi.build_scene_model, mcibi.baseline_losses, TrainingScenes, command="parse"),
}


class TrainingModule(nn.Module):
    """A model whose `forward` returns its losses, so that processes that share a batch synchronise there."""

    def __init__(self, recipe: Recipe, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.section, self.task = recipe.model, TASKS[recipe.model.name]
        with torch.random.fork_rng():
            torch.manual_seed(torch_seed(STARTING, recipe.seed))
            self.model = self.task.build(recipe.model, classes)
        # channels last speeds up the 1x1 convolutions of small backbones on a CPU
        self.model.backbone = self.model.backbone.to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> TrainingModule:
        """Set the mode; the backbone's batch norm keeps its statistics unless the section's `norms` is "learning"."""
        super().train(mode)
        if getattr(self.section, "norms", "frozen") == "frozen":
            self.model.backbone.eval()
        return self

    def forward(self, batch: Batch, progress: Progress) -> dict[str, Float[Tensor, ""]]:
        return self.task.losses(self.model, self.section, batch, progress)
