"""The dataset memory of a training run, and its snapshots during training."""

from collections.abc import Sequence
from pathlib import Path

from likewise.errors import ModelError, WeightsError
from likewise.models.blocks.dataset_memory import DatasetMemory
from likewise.models.mcibi import MCIBI
from likewise.weights.load import load_trained

SNAPSHOTS = "memory"
"""Folder of a run that holds the memory at each tenth of the training steps."""


def read_memories(path: Path) -> list[DatasetMemory]:
    """Return the snapshots of a run in order, or the single memory of a weights file or saved memory."""
    files = sorted((path / SNAPSHOTS).glob("step-*.safetensors"))
    if files:
        return [DatasetMemory.load(file) for file in files]
    if not path.exists():
        raise WeightsError(f"{path}: no such run or memory")
    if path.is_file():
        return [DatasetMemory.load(path)]
    model, _ = load_trained(path)
    if not isinstance(model, MCIBI):
        raise ModelError(f"{path}: holds {type(model).__name__}, which has no memory; give a run of mcibi")
    return [model.memory]


def describe_memories(snapshots: Sequence[DatasetMemory]) -> list[str]:
    """Return lines on the last memory: its empty classes, and the nearest class and the movement of each filled one.

    Movement is the cosine of a class with itself in the first snapshot that has it; lines lack it for a single memory.
    """
    last = snapshots[-1]
    filled = last.seen.any(dim=1).tolist()
    empty = [name for name, full in zip(last.classes, filled, strict=True) if not full]
    lines = [f"{sum(filled)} of {len(filled)} classes filled" + (f"; empty: {', '.join(empty)}" if empty else "")]
    others = last.similarity().fill_diagonal_(-2).nan_to_num(-2)  # below every cosine
    moved = [memory.similarity(last).diagonal() for memory in snapshots[:-1]]
    for index, name in enumerate(last.classes):
        if not filled[index]:
            continue
        cosine, nearest = others[index].max(dim=0)
        parts = [f"nearest is {last.classes[nearest]} ({cosine:.3f})"] if cosine > -2 else []
        first = next((cosines[index] for cosines in moved if not cosines[index].isnan()), None)
        if first is not None:
            parts.append(f"cosine with its first snapshot {first:.3f}")
        if parts:
            lines.append(f"{name}: {', '.join(parts)}")
    return lines
