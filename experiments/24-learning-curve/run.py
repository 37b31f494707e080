"""The learning curve: mIoU with 1 to 100 examples, absent images counted, with the discriminant and without.

    python experiments/24-learning-curve/run.py --data DATA [--half 1] [--sets voc davis camvid ccp] [--out result.json]

Classes, halves and worlds are those of experiment 18: half 0 chose the ridge of `likewise.ops.discriminant`, half 1
is measured. For each class some images are queries, as many images without the class are absent queries, and the other
images are examples, in one random order; few examples are drawn several times from it. VOC is measured by `prototypes`
on ImageNet weights, since `prototypes-lite0` was trained on its classes; the other sets by `prototypes-lite0`.

IoU: intersections and unions of a class are summed over its queries; its marks in absent images count to the union.
mIoU: mean over the classes that have that many examples. "whole" are the classes that have 50.
Intervals: 95%, bootstrap over classes. Edges are not refined.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from likewise import Concept, FewShot
from likewise.io.class_lists import PASCAL
from likewise.io.images import read_image
from likewise.io.labels import IGNORE
from likewise.predict.heads.features import Prepared, features_of
from likewise.predict.presence import Judge
from likewise.weights import PRESENCE

sys.path.append(str(Path(__file__).resolve().parents[1] / "18-presence"))
from evidence import VOC, CachedExtractor, Labelled, Worlds, camvid, ccp, davis, example

SHOTS = (1, 2, 5, 10, 20, 50, 100)
DRAWS = {1: 4, 2: 3, 5: 2}
RESAMPLES = 1000
WHOLE = 50
Counts = dict[tuple[str, int, str], dict[str, np.ndarray]]


def classes_of(name: str, data: Path, half: int) -> dict[str, tuple[list[Labelled], list[Path], tuple[str, ...]]]:
    """Return for each class its images, images without it, and the classes that the world must lack."""
    if name == "voc":
        voc, found = VOC(data, ("trn", "val")[half]), {}
        for at, own in enumerate(PASCAL):
            shown = [image for image, those in zip(voc.images, voc.shown, strict=True) if own in those]
            images = [Labelled(voc.image(image), voc.labels(image), at + 1, IGNORE) for image in shown]
            found[own] = (images, voc.without((own,)), tuple(PASCAL[at // 5 * 5 : at // 5 * 5 + 5]))
        return found
    elsewhere = VOC(data, ("trn", "val")[half]).without(())
    images = {"davis": davis, "ccp": ccp, "camvid": camvid}[name](data, half)
    return {own: (those, elsewhere, ()) for own, those in images.items()}


def examples_of(concept: Concept, part: slice) -> Concept:
    """Return a concept of some examples of one class."""
    return replace(
        concept,
        rows={row: values[part] for row, values in concept.rows.items()},
        class_of=concept.class_of[part],
        names=concept.names[part],
        thumbnails=concept.thumbnails[part],
    )


def without_discriminant(prepared: Prepared) -> Prepared:
    return prepared._replace(own=[way._replace(discriminant=None) for way in prepared.own])


def answers(few_shot: FewShot, prepared: Prepared, image: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the masks: with and without the discriminant, always and above the threshold of presence."""
    pixels = read_image(image)
    (encoded,) = features_of(few_shot.extractor.features(few_shot.inputs.resize(pixels)[None]))
    for name, variant in (("before", without_discriminant(prepared)), ("now", prepared)):
        found = few_shot.head.answer(encoded, variant, pixels.shape[:2])
        mask = found.probabilities[1] > found.probabilities[0]
        yield f"{name}, always", mask
        yield name, mask & (found.judged[0].presence >= PRESENCE)


def measure(few_shot: FewShot, name: str, data: Path, half: int, queries: int, worlds: Worlds) -> Counts:
    counts: Counts = defaultdict(lambda: defaultdict(lambda: np.zeros(2)))
    for own, (images, lacking, excluded) in classes_of(name, data, half).items():
        random = np.random.default_rng(len(own) + half)
        order = [images[index] for index in random.permutation(len(images))]
        asked, rest = order[: min(queries, len(order) // 3)], order[min(queries, len(order) // 3) :][: max(SHOTS)]
        absent = [lacking[index] for index in random.permutation(len(lacking))[: len(asked)]]
        if not asked or len(rest) < 2:
            continue
        concept = few_shot.learn([example(one) for one in rest])
        world = worlds(excluded)
        for shots in SHOTS:
            for draw in range(min(DRAWS.get(shots, 1), len(concept) // shots)):
                drawn = examples_of(concept, slice(draw * shots, (draw + 1) * shots))
                prepared = few_shot.head.prepare(drawn)._replace(judge=Judge(drawn, world))
                for query in asked:
                    truth, known = query.masks()
                    for variant, mask in answers(few_shot, prepared, query.image):
                        both = [(mask & truth & known).sum(), ((mask | truth) & known).sum()]
                        counts[name, shots, variant][own] += both
                        counts[name, shots, f"{variant}, absent counted"][own] += both
                for image in absent:
                    for variant, mask in answers(few_shot, prepared, image):
                        counts[name, shots, f"{variant}, absent counted"][own] += [0, mask.sum()]
        print(name, own, len(rest), flush=True)
    return counts


def table(counts: Counts) -> dict[str, Any]:
    """Return the mIoU of each variant, of all classes and of those with many images, and the gain."""
    random, result = np.random.default_rng(0), {}
    for (name, shots, variant), classes in counts.items():
        ious = {own: float(both[0] / max(both[1], 1)) for own, both in classes.items()}
        whole = [ious[own] for own in counts.get((name, WHOLE, variant), {}) if own in ious]
        entry = {"mIoU": round(float(np.mean([*ious.values()])), 3), "classes": len(ious)}
        if whole:
            entry[f"mIoU of classes with {WHOLE}"] = round(float(np.mean(whole)), 3)
        if variant.startswith("now"):
            others = counts[name, shots, variant.replace("now", "before")]
            gains = np.array([iou - others[own][0] / max(others[own][1], 1) for own, iou in ious.items()])
            means = [random.choice(gains, len(gains)).mean() for _ in range(RESAMPLES)]
            entry["gain"] = [round(float(value), 3) for value in (gains.mean(), *np.percentile(means, [2.5, 97.5]))]
        result[f"{name}, {shots} examples, {variant}"] = entry
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--half", type=int, choices=[0, 1], default=1)
    parser.add_argument("--sets", nargs="+", default=["davis", "camvid", "ccp", "voc"])
    parser.add_argument("--queries", type=int, default=6, help="of each class")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    result: dict[str, Any] = {}
    for name in given.sets:
        few_shot = FewShot("prototypes" if name == "voc" else "prototypes-lite0", edges=False, presence=0)
        few_shot.head.extractor = CachedExtractor(few_shot.extractor)
        worlds = Worlds(few_shot, VOC(given.data, "trn"), 300)
        result |= table(measure(few_shot, name, given.data, given.half, given.queries, worlds))
        for key, entry in result.items():
            print(key, json.dumps(entry))
        if given.out:
            given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
