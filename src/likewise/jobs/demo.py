"""The demonstration: two real photographs that scikit-image carries, segmented from one example each.

No mask comes with them, so the truth is derived: the motorcycle's from the disparity of its stereo pair, the coins'
from a watershed on their edges.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from scipy import ndimage
from skimage import data, filters, measure, segmentation

from likewise.io.images import save_image
from likewise.jobs.writers import write_cutout
from likewise.predict.examples import Example
from likewise.predict.few_shot import FewShot, Result
from likewise.viz.draw import Tile, contact_sheet, outline, overlay

Pixels = UInt8[np.ndarray, "h w 3"]
Mask = Bool[np.ndarray, "h w"]


@dataclass(frozen=True)
class Task:
    """One example, one query and its truth.

    Attributes:
        name: of the files.
        shown: the example as people see it, its object outlined.
        query: the image to segment.
        truth: where its object is.
        counted: the pixels that count.
        floor: the IoU under which the demonstration has failed.
    """

    name: str
    title: str
    example: Example
    shown: Pixels
    query: Pixels
    truth: Mask
    counted: Mask
    floor: float


@dataclass(frozen=True)
class Outcome:
    """A task's result by one model, its IoU, and the seconds that learning and segmenting took, the model warm."""

    model: str
    task: Task
    result: Result
    iou: float
    learn_seconds: float
    segment_seconds: float

    @property
    def passed(self) -> bool:
        return self.iou >= self.task.floor


def motorcycle() -> Task:
    """The left image of the stereo pair with its mask is the example, the right one the query."""
    left, right, disparity = data.stereo_motorcycle()
    mask = standing_out(disparity)
    truth, seen = as_seen_from_the_right(mask, disparity)
    example = Example(left, mask=mask, class_name="motorcycle")
    shown = outline(left, mask)
    return Task("motorcycle", "A motorcycle, masked", example, shown, right, truth, seen, floor=0.70)


def coins() -> Task:
    """One coin and a ring of ground around it are the example, the rest of the image is the query."""
    grey = data.coins()
    image = np.stack([grey] * 3, axis=2)
    markers = np.zeros(grey.shape, np.int32)
    markers[grey < 30], markers[grey > 150] = 1, 2
    truth = ndimage.binary_fill_holes(segmentation.watershed(filters.sobel(grey), markers) == 2)
    truth = ndimage.binary_opening(truth, iterations=2)
    first = measure.label(truth) == 1
    around = ndimage.binary_dilation(first, iterations=14)
    ring = around & ~ndimage.binary_dilation(first, iterations=2) & ~truth
    strokes = first + 2 * ring.astype(np.uint8)
    example = Example(image, scribbles=strokes.astype(np.uint8), class_name="coin")
    return Task("coins", "One coin, outlined", example, outline(image, first), image, truth, ~around, floor=0.70)


def standing_out(disparity: np.ndarray) -> Mask:
    """What is near and stands above the ground, from the disparity of each pixel (`inf` where it is unknown)."""
    known = np.isfinite(disparity)
    rows, columns = np.mgrid[: disparity.shape[0], : disparity.shape[1]]
    near = known & (disparity > 32)
    strip = known & (rows > 0.86 * disparity.shape[0])  # hardly anything but ground; what rises above it is outvoted
    points = np.stack([columns[strip], rows[strip], np.ones(strip.sum())], axis=1)
    heights, ground = disparity[strip], np.ones(strip.sum(), bool)
    for keep in (60, 60, 60, 100, 100, 100):
        plane = np.linalg.lstsq(points[ground], heights[ground], rcond=None)[0]
        above = heights - points @ plane
        ground = above < np.percentile(above[ground], keep) if keep < 100 else np.abs(above) < 0.7
    above_ground = disparity > plane[0] * columns + plane[1] * rows + plane[2] + 1.2
    mask = largest_part(ndimage.binary_opening(near & above_ground))
    return ndimage.binary_fill_holes(ndimage.binary_closing(mask, iterations=2))


def as_seen_from_the_right(mask: Mask, disparity: np.ndarray) -> tuple[Mask, Mask]:
    """The left image's mask moved into the right image, and the pixels there that the left image sees too."""
    seen, moved = np.zeros(mask.shape, bool), np.zeros(mask.shape, bool)
    rows, columns = np.nonzero(np.isfinite(disparity))
    nearest_last = np.argsort(disparity[rows, columns])
    rows, columns = rows[nearest_last], columns[nearest_last]
    for rounding in (np.floor, np.ceil):
        target = rounding(columns - disparity[rows, columns]).astype(int)
        inside = target >= 0
        moved[rows[inside], target[inside]] = mask[rows[inside], columns[inside]]
        seen[rows[inside], target[inside]] = True
    moved = largest_part(ndimage.median_filter(ndimage.binary_closing(moved, iterations=2), size=5))
    moved = ndimage.binary_fill_holes(moved)
    return moved, ndimage.binary_closing(seen)


def largest_part(mask: Mask) -> Mask:
    """The largest connected part."""
    parts = measure.label(mask)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return parts == sizes.argmax()


def run(few_shot: FewShot, tasks: Sequence[Task]) -> list[Outcome]:
    """Learn and segment every task."""
    few_shot.segment(tasks[0].query, few_shot.learn(tasks[0].example))  # the first pass through a network is slow
    outcomes = []
    for task in tasks:
        started = time.perf_counter()
        concept = few_shot.learn(task.example)
        learned = time.perf_counter()
        result = few_shot.segment(task.query, concept)
        segmented = time.perf_counter()
        found, truth = result.mask & task.counted, task.truth & task.counted
        iou = float((found & truth).sum() / (found | truth).sum())
        outcomes.append(Outcome(few_shot.model_name, task, result, iou, learned - started, segmented - learned))
    return outcomes


def write(outcomes: Sequence[Outcome], out: Path, subtitle: str, *, beside: Sequence[Sequence[Outcome]] = ()) -> Path:
    """Write queries, masks, overlays, cutouts and the contact sheet; give the sheet's path.

    Args:
        outcomes: of the model whose masks are written.
        beside: of other models on the same tasks; the sheet shows them side by side.
    """
    rows = []
    for outcome, *others in zip(outcomes, *beside, strict=True):
        task, result = outcome.task, outcome.result
        save_image(task.query, out / f"{task.name}.png")
        save_image(result.mask, out / f"{task.name}.mask.png")
        save_image(overlay(task.query, result.labels), out / f"{task.name}.overlay.png")
        write_cutout(task.query, result, out / f"{task.name}.cutout.png")
        rows.append(
            [
                Tile(task.shown, task.title, "the one example"),
                Tile(overlay(task.query, task.truth & task.counted), "The truth", "derived, never shown to the model"),
                *map(found_tile, (outcome, *others)),
            ]
        )
    sheet = out / "sheet.png"
    save_image(contact_sheet(rows, header="Show it one; it segments the rest.", subtitle=subtitle), sheet)
    return sheet


def found_tile(outcome: Outcome) -> Tile:
    drawn = overlay(outcome.task.query, outcome.result.labels)
    took = f"IoU {outcome.iou:.2f} in {outcome.segment_seconds * 1000:.0f} ms"
    return Tile(drawn, f"Found likewise by {outcome.model}", took)
