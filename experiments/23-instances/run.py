"""Does `--instances` find and count the objects?

    python experiments/23-instances/run.py --data DATA [--groups 50] [--voc 50] [--side 640] [--out result.json]

Images in which a class has 2 to 10 separable objects: components of the true mask of at least 1% of the image; smaller
ones count in neither direction. Groups: every second image of PASCAL's co-segmentation groups, those that did not
choose the settings. VOC: validation images at full size. The example is another image of the group or class. Also: the
demo's coins, and drawn scenes of touching discs.
"""

from __future__ import annotations

import argparse
import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from scenes import Scene, groups, touching, voc
from score import Matched, average_precision, exact, match

from likewise import Example, FewShot
from likewise.io.components import label_pieces
from likewise.jobs.demo import coins
from likewise.predict.result import Result


def answers(result: Result, truth: np.ndarray) -> dict[str, Matched]:
    """Match the connected regions and the instances of a result."""
    pieces = label_pieces(result.labels)
    sums = np.bincount(pieces.ravel(), result.probability.ravel())[1:]
    means = sums / np.bincount(pieces.ravel())[1:] * (result.presence or 1.0)
    found = result.instances
    return {"regions": match(pieces, means, truth), "instances": match(found.ids, found.scores, truth)}


def summary(images: list[Matched], generator: np.random.Generator) -> dict[str, Any]:
    """Scores with 95% bootstrap intervals over images."""
    draws = generator.integers(len(images), size=(500, len(images)))
    samples = [[images[index] for index in draw] for draw in draws]
    report: dict[str, Any] = {"images": len(images), "objects": sum(one.truths for one in images)}
    for name, score in (("exact", exact), ("AP50", average_precision)):
        low, high = np.percentile([score(sample) for sample in samples], [2.5, 97.5])
        report[name] = [round(float(each), 3) for each in (score(images), low, high)]
    errors = [len(one.hits) - one.truths for one in images]
    return {**report, "count error": round(float(np.mean(np.abs(errors))), 2), "bias": round(float(np.mean(errors)), 2)}


def measure(scenes: list[Scene], few_shot: FewShot, generator: np.random.Generator) -> dict[str, Any]:
    found: dict[str, list[Matched]] = {"regions": [], "instances": []}
    for scene in scenes:
        result = few_shot.segment(scene.image, few_shot.learn(Example(scene.example, mask=scene.mask)))
        for kind, one in answers(result, scene.ids).items():
            found[kind].append(one)
    return {kind: summary(images, generator) for kind, images in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--groups", type=int, default=50)
    parser.add_argument("--voc", type=int, default=50)
    parser.add_argument("--side", type=int)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    few_shot = FewShot(side=arguments.side, presence=0.0)
    root = arguments.data / "full/VOC2012"
    names = sorted(path.stem for path in (root / "JPEGImages").glob("*.jpg"))
    report = {}
    in_groups, in_voc = list(groups(arguments.data, 1)), list(voc(root, names))
    for label, scenes, most in (("groups", in_groups, arguments.groups), ("VOC", in_voc, arguments.voc)):
        chosen = [scenes[index] for index in sorted(generator.permutation(len(scenes))[:most])]
        report[label] = measure(chosen, few_shot, generator)
        print(label, json.dumps(report[label]), flush=True)
    drawn: dict[str, list[Matched]] = {"regions": [], "instances": []}
    for ids in islice(touching(0), 100):
        result = Result((ids > 0).astype(np.uint8), (ids > 0) * np.float32(0.9), ("disc",), None, (0.9,))
        for kind, one in answers(result, ids).items():
            drawn[kind].append(one)
    report["touching discs, true masks"] = {kind: summary(images, generator) for kind, images in drawn.items()}
    task = coins()
    result = few_shot.segment(task.query, few_shot.learn(task.example))
    matched = answers(result, label_pieces(task.truth).astype(int))["instances"]
    report["coins"] = {"true": matched.truths, "instances": len(matched.hits), "of IoU 0.5": int(matched.hits.sum())}
    print(json.dumps(report, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
