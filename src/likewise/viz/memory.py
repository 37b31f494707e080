"""Draw the contents of a dataset memory: for each class its neighbours and its drift during training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from likewise.viz.draw import palette

PAPER, INK, FAINT = (250, 249, 246), (34, 36, 42), (112, 116, 126)
LOW, HIGH, EMPTY = np.array((240, 238, 232)), np.array((0, 86, 140)), (222, 220, 214)
"""Colours of the smallest and the largest cosine of a plot, and of classes without a feature."""
MARGIN, GAP, HEADER = 24, 28, 64
"""Lengths in pixels; HEADER is the height above the first row."""
DRIFT_WIDTH = 360
"""Width of the drift plot in pixels."""


@dataclass(frozen=True)
class MemoryView:
    """What is drawn of a memory.

    Attributes:
        classes: Class names.
        filled: Whether the memory holds a feature of each class.
        similarity: Cosine of each two classes; nan where one is empty.
        drift: Cosine of each class with itself in the last memory, for each snapshot; None for a single memory.
        steps: Training steps of the snapshots.
    """

    classes: tuple[str, ...]
    filled: Bool[np.ndarray, " k"]
    similarity: Float[np.ndarray, "k k"]
    drift: Float[np.ndarray, "k n"] | None = None
    steps: tuple[int | None, ...] = ()

    def nearest(self, index: int) -> int | None:
        """Return the other class with the highest cosine, or None if there is no other."""
        others = self.similarity[index].copy()
        others[index] = np.nan
        return None if np.isnan(others).all() else int(np.nanargmax(others))

    @property
    def summary(self) -> str:
        """The number of filled classes, and the names of the empty ones."""
        empty = [name for name, filled in zip(self.classes, self.filled, strict=True) if not filled]
        return f"{self.filled.sum()} of {len(self.classes)} classes filled" + (
            f"; empty: {', '.join(empty)}" * bool(empty)
        )


def memory_lines(view: MemoryView) -> list[str]:
    """Return the summary, and for each filled class its nearest neighbour, as lines of text."""
    lines = [view.summary]
    for index in np.flatnonzero(view.filled):
        near = view.nearest(int(index))
        if near is not None:
            cosine = view.similarity[index, near]
            lines.append(f"{view.classes[index]}: nearest is {view.classes[near]} ({cosine:.3f})")
    return lines


def draw_memory(view: MemoryView, *, title: str = "memory") -> UInt8[np.ndarray, "h w 3"]:
    """Return an image of the similarity matrix and, if there are snapshots, of the drift of each class."""
    classes = len(view.classes)
    cell = max(8, min(26, 1200 // classes))
    font = ImageFont.load_default(max(8, cell * 0.6))
    head, small = ImageFont.load_default(18), ImageFont.load_default(13)
    names = [row_label(view, index) for index in range(classes)]
    left = MARGIN + cell + 6 + round(max(font.getlength(name) for name in names)) + GAP
    right = left + classes * cell + GAP
    width = max(right + (DRIFT_WIDTH if view.drift is not None else 0) + MARGIN, 640)
    image = Image.new("RGB", (width, HEADER + classes * cell + MARGIN + 22), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((MARGIN, 12), f"{title}: {view.filled.sum()} of {classes} classes filled", font=head, fill=INK)
    off_diagonal = np.where(np.eye(classes, dtype=bool), np.nan, view.similarity)
    low, high = finite_range(off_diagonal)
    draw.text((left, HEADER - 20), f"cosine between classes, {low:.2f} to {high:.2f}", font=small, fill=FAINT)
    for row in range(classes):
        y = HEADER + row * cell
        draw.rectangle((MARGIN, y + 2, MARGIN + cell - 4, y + cell - 3), fill=tuple(palette(row + 1)[row].tolist()))
        draw.text((MARGIN + cell + 6, y + cell * 0.15), names[row], font=font, fill=INK)
        for column in range(classes):
            colour = colour_of(float(view.similarity[row, column]), low, high)
            fill_cell(draw, left + column * cell, y, cell, cell, colour)
    if view.drift is not None:
        low, high = finite_range(view.drift)
        caption = f"cosine with the last, {low:.2f} to {high:.2f}, steps {view.steps[0]} to {view.steps[-1]}"
        draw.text((right, HEADER - 20), caption, font=small, fill=FAINT)
        edges = np.linspace(0, DRIFT_WIDTH, view.drift.shape[1] + 1).round().astype(int)
        for row, column in np.ndindex(*view.drift.shape):
            x, side = right + int(edges[column]), int(edges[column + 1] - edges[column])
            fill_cell(draw, x, HEADER + row * cell, side, cell, colour_of(float(view.drift[row, column]), low, high))
    return np.array(image)


def row_label(view: MemoryView, index: int) -> str:
    """Return the class name with its nearest neighbour."""
    if not view.filled[index]:
        return f"{view.classes[index]}  (empty)"
    near = view.nearest(index)
    neighbour = "" if near is None else f"  ~ {view.classes[near]} {view.similarity[index, near]:.2f}"
    return view.classes[index] + neighbour


def finite_range(values: Float[np.ndarray, "a b"]) -> tuple[float, float]:
    """Return the smallest and the largest finite value; (0, 1) if there is none."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


def colour_of(value: float, low: float, high: float) -> tuple[int, int, int]:
    """Return the colour of a cosine on the scale from `low` to `high`; of nan, the colour of empty classes."""
    if not np.isfinite(value):
        return EMPTY
    fraction = np.clip((value - low) / max(high - low, 1e-6), 0, 1)
    red, green, blue = np.rint(LOW + fraction * (HIGH - LOW)).astype(int).tolist()
    return red, green, blue


def fill_cell(draw: ImageDraw.ImageDraw, x: int, y: int, width: int, height: int, colour: tuple[int, int, int]) -> None:
    draw.rectangle((x, y, x + max(width - 2, 0), y + height - 2), fill=colour)
