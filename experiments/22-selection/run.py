"""How good are the masks of `likewise.Selector`?

    python experiments/22-selection/run.py --data DATA [--voc 60] [--davis 24] [--out result.json]

PASCAL VOC: one object of each of some validation images at full size, which trained nothing and chose nothing. DAVIS:
frames of the six of twelve sequences that chose nothing. Marks are simulated: a tight box; one click in the object's
middle; then clicks in the middle of the largest error, up to 20, with the mask so far.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from objects import Truth, box_of, davis_objects, iou, middle, next_click, voc_objects

from likewise import Example, FewShot, Selector
from likewise.predict.examples import mark

MOST = 20
GOALS = (0.80, 0.85)
HELD_OUT = ("drift-chicane", "goat", "horsejump-high", "motocross-jump", "paragliding-launch", "parkour")


def clicks_to(goals: tuple[float, ...], selector: Selector, truth: Truth) -> tuple[list[int], list[float]]:
    """Return the number of clicks that reach each goal (`MOST` if none does), and the IoU after each click."""
    points, labels, mask = [middle(truth.mask)], [1], None
    reached: dict[float, int] = {}
    ious = []
    for count in range(1, MOST + 1):
        mask = selector.mask(points, labels, previous=mask)
        ious.append(iou(mask, truth))
        for goal in goals:
            if ious[-1] >= goal:
                reached.setdefault(goal, count)
        if len(reached) == len(goals):
            break
        point, label = next_click(mask, truth)
        points.append(point)
        labels.append(label)
    return [reached.get(goal, MOST) for goal in goals], ious


def measure(truths: list[Truth]) -> list[dict[str, Any]]:
    rows = []
    for truth in truths:
        start = time.process_time()
        selector = Selector(truth.path)
        opened = time.process_time()
        boxed = selector.mask(box=box_of(truth.mask))
        masked = time.process_time()
        counts, ious = clicks_to(GOALS, selector, truth)
        filled = np.zeros_like(truth.mask)
        x0, y0, x1, y1 = box_of(truth.mask)
        filled[y0:y1, x0:x1] = True
        rows.append(
            {
                "name": truth.name,
                "box": iou(boxed, truth),
                "filled box": iou(filled, truth),
                "click": ious[0],
                "clicks": counts,
                "open": opened - start,
                "mask": masked - opened,
            }
        )
        if len(rows) % 10 == 0:
            print(len(rows), "of", len(truths), flush=True)
    return rows


def segmenting(root: Path, truths: list[Truth], generator: np.random.Generator) -> dict[str, list[float]]:
    """IoU of the default on an image of the same sequence or class, by what marks the example."""
    few_shot = FewShot(presence=0.0)
    found: dict[str, list[float]] = {"mask": [], "box": [], "click": [], "filled box": []}
    for first, second in zip(truths[::2], truths[1::2], strict=False):
        x0, y0, x1, y1 = box_of(first.mask)
        filled = np.zeros_like(first.mask)
        filled[y0:y1, x0:x1] = True
        examples = {
            "mask": Example(first.path, mask=first.mask),
            "box": Example(first.path, box=(x0, y0, x1, y1)),
            "click": Example(first.path, points=[(*middle(first.mask), 1)]),
            "filled box": Example(first.path, mask=filled),
        }
        for kind, example in examples.items():
            mark(example)
            result = few_shot.segment(second.path, few_shot.learn(example))
            found[kind].append(iou(result.mask, second))
    return found


def summary(values: list[float], generator: np.random.Generator) -> list[float]:
    """Mean with its 95% bootstrap interval."""
    sample = np.array(values)
    means = sample[generator.integers(len(sample), size=(2000, len(sample)))].mean(axis=1)
    return [round(float(each), 3) for each in (sample.mean(), *np.percentile(means, [2.5, 97.5]))]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--voc", type=int, default=60)
    parser.add_argument("--davis", type=int, default=24)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    root = arguments.data / "full/VOC2012"
    names = generator.permutation(sorted(path.stem for path in (root / "JPEGImages").glob("*.jpg")))
    davis = [one for one in davis_objects(arguments.data / "full/DAVIS") if one.name.split("/")[0] in HELD_OUT]
    frames = davis[:: max(1, len(davis) // arguments.davis)][: arguments.davis]
    report: dict[str, Any] = {}
    for label, truths in (("VOC", voc_objects(root, list(names))[: arguments.voc]), ("DAVIS", frames)):
        rows = measure(truths)
        report[label] = {
            "objects": len(rows),
            **{key: summary([row[key] for row in rows], generator) for key in ("box", "filled box", "click")},
            **{f"NoC@{g}": summary([row["clicks"][i] for row in rows], generator) for i, g in enumerate(GOALS)},
            **{f"not reached {g}": sum(row["clicks"][i] >= MOST for row in rows) for i, g in enumerate(GOALS)},
            **{f"seconds to {key}": round(float(np.median([row[key] for row in rows])), 3) for key in ("open", "mask")},
        }
        print(label, json.dumps(report[label]), flush=True)
    pairs = [one for name in HELD_OUT for one in [d for d in davis if d.name.startswith(name)][:8:2]]
    found = segmenting(root, pairs[: 2 * arguments.pairs], generator)
    report["DAVIS, segmenting by a made mask"] = {
        "pairs": len(found["mask"]), **{kind: summary(values, generator) for kind, values in found.items()}
    }  # fmt: skip
    print(json.dumps(report, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
