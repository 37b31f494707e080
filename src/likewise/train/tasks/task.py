"""What each model learns from: its material, its build at the start of training, its losses.

A model joins the training loop with one entry in `TASKS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likewise.train.feature_cache import cache_frozen
from likewise.train.recipes.schema import Recipe
from likewise.train.samples.images import TrainingImages
from likewise.train.samples.scenes import TrainingScenes
from likewise.train.samples.training_data import (
    STARTING,
    Batch,
    Progress,
    TrainingData,
    torch_seed,
)
from likewise.train.tasks import (
    hsnet,
    icnet,
    mcibi,
    panet,
    saliency,
)


@dataclass(frozen=True)
class Task:
    """How a model joins the loop.

    Attributes:
        build: the model at the start of training, from the recipe's section and the classes of the material.
        losses: the parts of the loss, by name, whose sum is minimised; each a mean over the batch.
        material: what the model learns from.
        keep: leaves something of the model at that step in the run's folder, at each tenth of the steps.
    """

    build: Callable[[Any, tuple[str, ...]], Any]
    losses: Callable[[Any, Any, Batch, Progress], dict[str, Float[Tensor, ""]]]
    material: Callable[[Recipe], TrainingData]
    keep: Callable[[Any, Path, int], None] | None = None


TASKS: dict[str, Task] = {
    "panet": Task(panet.build, panet.losses, panet.material),
    "hsnet": Task(hsnet.build, hsnet.losses, hsnet.material),
    "saliency": Task(saliency.build, saliency.losses, TrainingImages),
    "icnet": Task(icnet.build, icnet.losses, icnet.material),
    "mcibi": Task(mcibi.build, mcibi.losses, TrainingScenes, mcibi.keep_memory),
    "fcn": Task(mcibi.build_baseline, mcibi.baseline_losses, TrainingScenes),
}


class TrainingModule(nn.Module):
    """A model with what it minimises, as one module: processes that share a batch meet in its `forward`."""

    def __init__(self, recipe: Recipe, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.section, self.task = recipe.model, TASKS[recipe.model.name]
        with torch.random.fork_rng():
            torch.manual_seed(torch_seed(STARTING, recipe.seed))
            self.model = self.task.build(recipe.model, classes)
        self.state_at_start = self.model.state_dict()
        # the 1x1 convolutions of small backbones are a good third quicker so on CPU
        self.model.backbone = self.model.backbone.to(memory_format=torch.channels_last)
        if recipe.cache is not None:
            self.model.backbone = cache_frozen(self.model.backbone, recipe.cache)

    def train(self, mode: bool = True) -> TrainingModule:
        """Batch norm of the backbone keeps its statistics, unless the section's `norms` are "learning"."""
        super().train(mode)
        if getattr(self.section, "norms", "frozen") == "frozen":
            self.model.backbone.eval()
        return self

    def forward(self, batch: Batch, progress: Progress) -> dict[str, Float[Tensor, ""]]:
        return self.task.losses(self.model, self.section, batch, progress)

    def state_of_model(self) -> dict[str, Tensor]:
        """The whole model's state, what stands behind a cache included."""
        now = self.model.state_dict()
        return {name: now.get(name, value) for name, value in self.state_at_start.items()}
