"""An image of what a dataset memory holds.

One row for each class: its name and nearest neighbour, how like the other classes it is, how it drifted in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from likewise.models.blocks.dataset_memory import DatasetMemory
from likewise.models.mcibi import MCIBI
from likewise.viz.draw import palette
from likewise.weights.load import load_trained

SNAPSHOTS = "memory"
"""The folder in a run where training keeps the memory as it was at each tenth of the steps."""

PAPER, INK, FAINT = (250, 249, 246), (34, 36, 42), (112, 116, 126)
LOW, HIGH, NEVER = np.array((240, 238, 232)), np.array((0, 86, 140)), (222, 220, 214)
MARGIN, GAP, HEADER = 24, 28, 64
DRIFT_WIDTH = 360


@dataclass(frozen=True)
class Snapshot:
    """A memory, and the step of training at which it was so; None if that is not known."""

    memory: DatasetMemory
    step: int | None = None


def read_memories(path: Path) -> list[Snapshot]:
    """The memory of a run at each tenth of its steps, in order, or the one that its weights or a file hold.

    Raises:
        ValueError: no memory there.
    """
    kept = sorted((path / SNAPSHOTS).glob("step-*.safetensors"))
    if kept:
        return [Snapshot(DatasetMemory.load(file), int(file.stem.removeprefix("step-"))) for file in kept]
    if not path.exists():
        raise ValueError(f"{path}: there is no such run or memory")
    if path.is_file():
        return [Snapshot(DatasetMemory.load(path))]
    model, _ = load_trained(path)
    if not isinstance(model, MCIBI):
        raise ValueError(f"{path} holds {type(model).__name__}, which has no memory; give a run of mcibi")
    return [Snapshot(model.memory)]


def told_memory(memories: Sequence[Snapshot]) -> list[str]:
    """The same as the image in lines: how many classes are filled, and each one's nearest neighbour."""
    memory = memories[-1].memory
    filled = memory.seen.any(dim=1).tolist()
    never = [name for name, there in zip(memory.classes, filled, strict=True) if not there]
    lines = [f"{sum(filled)} of {len(filled)} classes filled" + (f"; never seen: {', '.join(never)}" if never else "")]
    similarity = memory.similarity().double().numpy()
    for index in np.flatnonzero(filled):
        near = nearest(similarity, int(index))
        if near is not None:
            lines.append(f"{memory.classes[index]}: nearest is {memory.classes[near]} ({similarity[index, near]:.3f})")
    return lines


def nearest(similarity: Float[np.ndarray, "k k"], index: int) -> int | None:
    """The other class most like this one; None if no other has been seen."""
    others = similarity[index].copy()
    others[index] = np.nan
    return None if np.isnan(others).all() else int(np.nanargmax(others))


def draw_memory(memories: Sequence[Snapshot], *, title: str = "") -> UInt8[np.ndarray, "h w 3"]:
    """The image of the last memory; with several, each class's drift towards it too.

    Colours run from the least to the largest cosine shown; classes never seen are grey.
    """
    last = memories[-1].memory
    classes = len(last.classes)
    cell = max(8, min(26, 1200 // classes))
    font = ImageFont.load_default(max(8, cell * 0.6))
    head, small = ImageFont.load_default(18), ImageFont.load_default(13)
    similarity = last.similarity().double().numpy()
    names = [label_of(last, similarity, index) for index in range(classes)]
    left = MARGIN + cell + 6 + round(max(font.getlength(name) for name in names)) + GAP
    drift = drift_of(memories)
    right = left + classes * cell + GAP
    width = max(right + (DRIFT_WIDTH if drift is not None else 0) + MARGIN, 640)
    image = Image.new("RGB", (width, HEADER + classes * cell + MARGIN + 22), PAPER)
    draw = ImageDraw.Draw(image)
    filled = int(last.seen.any(dim=1).sum())
    draw.text((MARGIN, 12), f"{title or 'memory'}: {filled} of {classes} classes filled", font=head, fill=INK)
    off_diagonal = np.where(np.eye(classes, dtype=bool), np.nan, similarity)
    low, high = span(off_diagonal)
    draw.text((left, HEADER - 20), f"cosine between classes, {low:.2f} to {high:.2f}", font=small, fill=FAINT)
    for row in range(classes):
        y = HEADER + row * cell
        draw.rectangle((MARGIN, y + 2, MARGIN + cell - 4, y + cell - 3), fill=tuple(palette(row + 1)[row].tolist()))
        draw.text((MARGIN + cell + 6, y + cell * 0.15), names[row], font=font, fill=INK)
        for column in range(classes):
            fill_cell(draw, left + column * cell, y, cell, cell, colour_of(float(similarity[row, column]), low, high))
    if drift is not None:
        low, high = span(drift)
        told = f"cosine with the last, {low:.2f} to {high:.2f}, steps {memories[0].step} to {memories[-1].step}"
        draw.text((right, HEADER - 20), told, font=small, fill=FAINT)
        edges = np.linspace(0, DRIFT_WIDTH, drift.shape[1] + 1).round().astype(int)
        for row, column in np.ndindex(*drift.shape):
            x, side = right + int(edges[column]), int(edges[column + 1] - edges[column])
            fill_cell(draw, x, HEADER + row * cell, side, cell, colour_of(float(drift[row, column]), low, high))
    return np.array(image)


def label_of(memory: DatasetMemory, similarity: Float[np.ndarray, "k k"], index: int) -> str:
    if not bool(memory.seen[index].any()):
        return f"{memory.classes[index]}  (never seen)"
    near = nearest(similarity, index)
    return memory.classes[index] + ("" if near is None else f"  ~ {memory.classes[near]} {similarity[index, near]:.2f}")


def drift_of(memories: Sequence[Snapshot]) -> Float[np.ndarray, "k steps"] | None:
    """The cosine of each class with itself in the last memory, for each memory; None of fewer than two."""
    if len(memories) < 2:
        return None
    last = memories[-1].memory
    return np.stack([snapshot.memory.similarity(last).diagonal().double().numpy() for snapshot in memories], axis=1)


def span(values: Float[np.ndarray, "a b"]) -> tuple[float, float]:
    """The least and the largest value that is there."""
    there = values[np.isfinite(values)]
    return (float(there.min()), float(there.max())) if there.size else (0.0, 1.0)


def colour_of(value: float, low: float, high: float) -> tuple[int, int, int]:
    if not np.isfinite(value):
        return NEVER
    share = np.clip((value - low) / max(high - low, 1e-6), 0, 1)
    red, green, blue = np.rint(LOW + share * (HIGH - LOW)).astype(int).tolist()
    return red, green, blue


def fill_cell(draw: ImageDraw.ImageDraw, x: int, y: int, width: int, height: int, colour: tuple[int, int, int]) -> None:
    draw.rectangle((x, y, x + max(width - 2, 0), y + height - 2), fill=colour)
