"""Read the dataset memory of a training run, and its snapshots during training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from likewise.errors import ModelError, WeightsError
from likewise.models.blocks.dataset_memory import DatasetMemory
from likewise.models.mcibi import MCIBI
from likewise.viz.memory import MemoryView
from likewise.weights.load import load_trained

SNAPSHOTS = "memory"
"""Folder of a run that holds the memory at each tenth of the training steps."""


@dataclass(frozen=True)
class Snapshot:
    """A memory and its training step; None where the step is unknown."""

    memory: DatasetMemory
    step: int | None = None


def read_memories(path: Path) -> list[Snapshot]:
    """Return the snapshots of a run in order, or the single memory of a weights file or saved memory.

    Raises:
        WeightsError: Nothing to read at `path`.
        ModelError: The network has no memory.
    """
    files = sorted((path / SNAPSHOTS).glob("step-*.safetensors"))
    if files:
        return [Snapshot(DatasetMemory.load(file), int(file.stem.removeprefix("step-"))) for file in files]
    if not path.exists():
        raise WeightsError(f"{path}: no such run or memory")
    if path.is_file():
        return [Snapshot(DatasetMemory.load(path))]
    model, _ = load_trained(path)
    if not isinstance(model, MCIBI):
        raise ModelError(f"{path}: holds {type(model).__name__}, which has no memory; give a run of mcibi")
    return [Snapshot(model.memory)]


def view_memories(snapshots: Sequence[Snapshot]) -> MemoryView:
    """Return the arrays that `likewise.viz.memory` draws: the last memory, and the drift of the others towards it."""
    last = snapshots[-1].memory
    drift = None
    if len(snapshots) > 1:
        cosines = [snapshot.memory.similarity(last).diagonal().double().numpy() for snapshot in snapshots]
        drift = np.stack(cosines, axis=1)
    return MemoryView(
        classes=tuple(last.classes),
        filled=last.seen.any(dim=1).numpy(),
        similarity=last.similarity().double().numpy(),
        drift=drift,
        steps=tuple(snapshot.step for snapshot in snapshots),
    )
