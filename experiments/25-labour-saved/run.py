"""How many clicks bring all images of a class to a mean IoU of 0.8, with the app's loop and without?

    python experiments/25-labour-saved/run.py --data DATA [--groups dog,cat,person,dress,DAVIS]
        [--choices none,worst,review] [--out result.json]

A user is simulated who sees all masks, corrects the worst one and stops when the mean IoU of all images is 0.8. Without
the loop all masks start empty. With it, each corrected image becomes an example and every other mask is that of the
concept, computed again. Marks act as in the app: see `Marking`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from PIL import Image
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[1] / "22-selection"))
from objects import Truth, davis_objects, iou, middle, next_click  # from 22-selection

from likewise import Example, FewShot, Selector
from likewise.predict.concept import Concept

Mask = Bool[np.ndarray, "h w"]

GOAL = 0.8
MOST = 20
"""Clicks in one image at most."""
START_OVER = 0.4
"""Below this IoU the user clears the mask before the first click; that counts as a click."""
SMALLEST = 0.02
GROUPS = ("dog", "cat", "person", "dress", "DAVIS")
PASCAL = {"cat": 8, "cow": 10, "dog": 12, "horse": 13, "person": 15, "sheep": 17}
CLOTHING = {"dress": 14, "jeans": 25}
IMAGES = 100
CLOTHES = 50
"""Photographs of CCP in a group."""
HELD_OUT = ("drift-chicane", "goat", "horsejump-high", "motocross-jump", "paragliding-launch", "parkour")


class Marking:
    """The marks of one image, as the page joins them with the computed mask: what is found replaces its pieces."""

    def __init__(self, selector: Selector, start: Mask) -> None:
        self.selector, self.start = selector, start
        self.pieces = ndimage.label(start)[0]
        self.points: list[tuple[int, int]] = []
        self.labels: list[int] = []

    def click(self, point: tuple[int, int], label: int) -> Mask:
        self.points.append(point)
        self.labels.append(label)
        added = self.selector.mask(self.points, self.labels) if any(self.labels) else np.zeros_like(self.start)
        found = self.start & ~np.isin(self.pieces, np.setdiff1d(self.pieces[added], 0))
        flipped = [1 - label for label in self.labels]
        if any(not label and self.start[y, x] for (x, y), label in zip(self.points, self.labels, strict=True)):
            found &= ~self.selector.mask(self.points, flipped)
        return found | added


def correct(truth: Truth, start: Mask, few_shot: FewShot) -> tuple[Mask, int]:
    """Return the best mask of at most `MOST` clicks, and the clicks made."""
    clicks, best = 0, start
    if start.any() and iou(start, truth) < START_OVER:
        start, clicks = np.zeros_like(start), 1
    marking, found = Marking(Selector(truth.path, extractor=few_shot.extractor), start), start
    while iou(found, truth) < GOAL and clicks < MOST:
        point, label = next_click(found, truth) if found.any() else (middle(truth.mask), 1)
        found = marking.click(point, label)
        clicks += 1
        best = max(best, found, key=lambda mask: iou(mask, truth))
    return best, clicks


def review_value(presence: float, quality: float) -> float:
    """Return the value of the app's review order; the least is shown first."""
    return presence * quality if presence > 0.1 else 1 - presence


def work(truths: list[Truth], few_shot: FewShot, choice: str) -> dict[str, Any]:
    """Return what the user did until the goal.

    Args:
        choice: "none" is without the loop; "worst" opens the image whose mask is worst, "review" the first of the app's
            order.
    """
    features = [few_shot.encode(truth.path) for truth in truths] if choice != "none" else []
    masks = [np.zeros_like(truth.mask) for truth in truths]
    ious = [0.0] * len(truths)
    order = [0.0] * len(truths)
    waiting = set(range(len(truths)))
    concept: Concept | None = None
    clicks, means, counts, failed = 0, [], [], 0
    while waiting and np.mean(ious) < GOAL:
        values = order if choice == "review" else ious
        chosen = min(waiting, key=lambda at: (values[at], at))
        waiting.remove(chosen)
        masks[chosen], used = correct(truths[chosen], masks[chosen], few_shot)
        ious[chosen] = iou(masks[chosen], truths[chosen])
        clicks += used
        failed += ious[chosen] < GOAL
        if choice != "none":
            example = Example(truths[chosen].path, mask=masks[chosen], class_name="it")
            if masks[chosen].any():
                learned = few_shot.learn(example)
                concept = learned if concept is None else concept.merged(learned)
            if concept is not None:
                segmenter = few_shot.prepare(concept)
                for at in waiting:
                    result = segmenter.from_features(features[at], truths[at].path)
                    masks[at], ious[at] = result.mask, iou(result.mask, truths[at])
                    order[at] = review_value((result.presences or (1.0,))[0], result.expected_ious[0])
        means.append(round(float(np.mean(ious)), 3))
        counts.append(clicks)
    return {
        "images": len(truths),
        "reached": bool(np.mean(ious) >= GOAL),
        "mean IoU": means[-1],
        "clicks": clicks,
        "opened": len(means),
        "not at 0.8 after 20 clicks": failed,
        "mean IoU after each": means,
        "clicks after each": counts,
    }


def of_class(data: Path, name: str, count: int) -> list[Truth]:
    """Return images of a class in which it has 2% of the pixels or more: PASCAL's validation images first."""
    validation = {
        line.partition("__")[0]
        for path in sorted((data / "splits/pascal/val").glob("*.txt"))
        for line in path.read_text().split()
    }
    found = []
    root = data / "VOC2012"
    paths = sorted((root / "SegmentationClassAug").glob("*.png"), key=lambda path: (path.stem not in validation, path))
    for path in paths:
        labels = np.asarray(Image.open(path))
        mask = labels == PASCAL[name]
        if mask.mean() >= SMALLEST:
            found.append(Truth(path.stem, root / "JPEGImages" / f"{path.stem}.jpg", mask, labels == 255))
        if len(found) == count:
            break
    held = sum(truth.name in validation for truth in found)
    print(f"{name}: {len(found)} images, {held} of the validation set", flush=True)
    return found


def of_clothing(data: Path, name: str, count: int) -> list[Truth]:
    """Return photographs of CCP in which a garment covers 2% of the pixels or more."""
    found = []
    for path in sorted((data / "CCP/labels").glob("*.png")):
        mask = np.asarray(Image.open(path)) == CLOTHING[name]
        if mask.mean() >= SMALLEST:
            found.append(Truth(path.stem, data / f"CCP/photos/{path.stem}.jpg", mask, np.zeros_like(mask)))
    return found[:count]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--groups", default=",".join(GROUPS))
    parser.add_argument("--choices", default="none,worst,review")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    few_shot = FewShot(quality="fast")
    frames = davis_objects(arguments.data / "full/DAVIS")
    groups: dict[str, list[Truth]] = {}
    for name in arguments.groups.replace("DAVIS", ",".join(HELD_OUT)).split(","):
        if name in HELD_OUT:
            groups[name] = [one for one in frames if one.name.startswith(f"{name}/")]
        elif name in CLOTHING:
            groups[name] = of_clothing(arguments.data, name, CLOTHES)
        else:
            groups[name] = of_class(arguments.data, name, IMAGES)
    report: dict[str, Any] = {}
    for group, truths in groups.items():
        report[group] = {}
        for choice in arguments.choices.split(","):
            start = time.process_time()
            report[group][choice] = done = work(truths, few_shot, choice)
            shown = {key: value for key, value in done.items() if "each" not in key}
            print(
                group, choice, json.dumps(shown), f"{time.process_time() - start:.0f} s of processor time", flush=True
            )
        saved = report[group]["none"]["clicks"] / max(1, report[group]["worst"]["clicks"])
        report[group]["times fewer clicks"] = round(saved, 2)
        print(group, "times fewer clicks:", report[group]["times fewer clicks"], flush=True)
        if arguments.out:
            arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
