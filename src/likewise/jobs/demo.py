"""The demonstration: two photographs of scikit-image, segmented from one example each.

scikit-image has no masks for them. The reference masks are derived: the motorcycle's from the disparity of its stereo
pair, the coins' from a watershed on image edges.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, UInt8
from scipy import ndimage
from skimage import data, filters, measure, segmentation

from likewise.io.images import read_scaled, save_image
from likewise.jobs.writers import write_cutout
from likewise.predict.examples import Example
from likewise.viz.contact_sheet import Tile, contact_sheet
from likewise.viz.draw import outline, overlay

if TYPE_CHECKING:
    from likewise.predict.few_shot import FewShot
    from likewise.predict.result import Result

Pixels = UInt8[np.ndarray, "h w 3"]
Mask = Bool[np.ndarray, "h w"]


@dataclass(frozen=True)
class Task:
    """One example, one query and its reference mask.

    Attributes:
        name: Stem of the output files.
        title: Title of the example on the contact sheet.
        display: The example's image with its object outlined.
        scored: Pixels that the IoU counts.
        minimum: IoU below which the demonstration fails.
    """

    name: str
    title: str
    example: Example
    display: Pixels
    query: Pixels
    truth: Mask
    scored: Mask
    minimum: float = 0.70


@dataclass(frozen=True)
class Outcome:
    """The result of one model on a task, its IoU, and the seconds for learning and segmenting after a warm-up."""

    model: str
    task: Task
    result: Result
    iou: float
    learn_seconds: float
    segment_seconds: float

    @property
    def passed(self) -> bool:
        return self.iou >= self.task.minimum


def motorcycle() -> Task:
    """Return the task whose example is the left image of a stereo pair and whose query is the right image."""
    left, right, disparity = data.stereo_motorcycle()
    mask = near_object(disparity)
    truth, visible = warp_to_right(mask, disparity)
    example = Example(left, mask=mask, class_name="motorcycle")
    return Task("motorcycle", "A motorcycle, masked", example, outline(left, mask), right, truth, visible)


def coins() -> Task:
    """Return the task whose example is one coin with a ring of background, and whose query is the rest of the image."""
    grey = data.coins()
    image = np.stack([grey] * 3, axis=2)
    markers = np.select([grey > 150, grey < 30], [2, 1])
    truth = ndimage.binary_fill_holes(segmentation.watershed(filters.sobel(grey), markers) == 2)
    truth = ndimage.binary_opening(truth, iterations=2)
    first = measure.label(truth) == 1
    around = ndimage.binary_dilation(first, iterations=14)
    ring = around & ~ndimage.binary_dilation(first, iterations=2) & ~truth
    example = Example(image, scribbles=np.select([first, ring], [1, 2]).astype(np.uint8), class_name="coin")
    return Task("coins", "One coin, outlined", example, outline(image, first), image, truth, ~around)


def near_object(disparity: np.ndarray) -> Mask:
    """Return the object that is near and above the ground plane.

    Args:
        disparity: In pixels; `inf` where unknown.
    """
    known = np.isfinite(disparity)
    rows, columns = np.mgrid[: disparity.shape[0], : disparity.shape[1]]
    near = known & (disparity > 32)
    strip = known & (rows > 0.86 * disparity.shape[0])  # mostly ground
    points = np.stack([columns[strip], rows[strip], np.ones(strip.sum())], axis=1)
    heights, ground = disparity[strip], np.ones(strip.sum(), bool)
    # robust plane fit: three times to the lowest 60% of the points, then to those within 0.7 pixels
    for keep in (60, 60, 60, 100, 100, 100):
        plane = np.linalg.lstsq(points[ground], heights[ground], rcond=None)[0]
        residuals = heights - points @ plane
        ground = residuals < np.percentile(residuals[ground], keep) if keep < 100 else np.abs(residuals) < 0.7
    above_ground = disparity > plane[0] * columns + plane[1] * rows + plane[2] + 1.2
    mask = largest_component(ndimage.binary_opening(near & above_ground))
    return ndimage.binary_fill_holes(ndimage.binary_closing(mask, iterations=2))


def warp_to_right(mask: Mask, disparity: np.ndarray) -> tuple[Mask, Mask]:
    """Return the left image's mask warped into the right image, and the right pixels that the left image sees."""
    visible, warped = np.zeros(mask.shape, bool), np.zeros(mask.shape, bool)
    rows, columns = np.nonzero(np.isfinite(disparity))
    nearest_last = np.argsort(disparity[rows, columns])
    rows, columns = rows[nearest_last], columns[nearest_last]
    for rounding in (np.floor, np.ceil):
        target = rounding(columns - disparity[rows, columns]).astype(int)
        inside = target >= 0
        warped[rows[inside], target[inside]] = mask[rows[inside], columns[inside]]
        visible[rows[inside], target[inside]] = True
    warped = largest_component(ndimage.median_filter(ndimage.binary_closing(warped, iterations=2), size=5))
    return ndimage.binary_fill_holes(warped), ndimage.binary_closing(visible)


def largest_component(mask: Mask) -> Mask:
    """Return the largest connected component."""
    components = measure.label(mask)
    return components == 1 + np.bincount(components[mask])[1:].argmax()


def run_demo(predictors: Sequence[FewShot], out: Path) -> tuple[list[list[Outcome]], Path]:
    """Run both tasks with each predictor and write the images of the first one; return outcomes and contact sheet."""
    tasks = [motorcycle(), coins()]
    for few_shot in predictors:
        run_task(few_shot, tasks[0])  # warm-up
    outcomes = [[run_task(few_shot, task) for task in tasks] for few_shot in predictors]
    names = " and ".join(few_shot.model_name for few_shot in predictors)
    return outcomes, write_demo(outcomes, out, f"One example each; {names}, {predictors[0].device}")


def run_task(few_shot: FewShot, task: Task) -> Outcome:
    """Return the outcome of a task."""
    started = time.perf_counter()
    concept = few_shot.learn(task.example)
    learned = time.perf_counter()
    result = few_shot.segment(task.query, concept)
    segmented = time.perf_counter()
    found, truth = result.mask & task.scored, task.truth & task.scored
    iou = float((found & truth).sum() / (found | truth).sum())
    return Outcome(few_shot.model_name, task, result, iou, learned - started, segmented - learned)


def write_demo(outcomes: Sequence[Sequence[Outcome]], out: Path, subtitle: str) -> Path:
    """Write the first model's queries, masks, overlays and cutouts, and a sheet of all models; return its path."""
    rows = []
    for first, *others in zip(*outcomes, strict=True):
        task, result = first.task, first.result
        save_image(task.query, out / f"{task.name}.png")
        save_image(result.mask, out / f"{task.name}.mask.png")
        save_image(overlay(task.query, result.labels), out / f"{task.name}.overlay.png")
        write_cutout(read_scaled(task.query), result, out / f"{task.name}.cutout.png")
        reference = overlay(task.query, task.truth & task.scored)
        tiles = (
            Tile(task.display, task.title, "the one example"),
            Tile(reference, "Reference", "from disparity or edges"),
        )
        rows.append([*tiles, *map(outcome_tile, (first, *others))])
    sheet = out / "sheet.png"
    save_image(contact_sheet(rows, header="Show it one; it segments the rest.", subtitle=subtitle), sheet)
    return sheet


def outcome_tile(outcome: Outcome) -> Tile:
    """Return the tile of one model's result."""
    image = overlay(outcome.task.query, outcome.result.labels)
    caption = f"IoU {outcome.iou:.2f} in {outcome.segment_seconds * 1000:.0f} ms"
    return Tile(image, f"Segmented by {outcome.model}", caption)
