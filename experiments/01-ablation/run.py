"""Measure what each part of the few-shot default is worth: replace it by nothing, by noise and by another class's.

    python experiments/01-ablation/run.py --data DATA [--queries 4] [--out result.json]

The parts of `prototypes-lite0`: prototypes, whitening (with several examples) and self-support
(`likewise.ops.prototypes`), and the discriminant (`likewise.ops.discriminant`). The model runs as shipped, one of its
values is replaced at a time:

- none: zero prototypes, no whitening, the examples' prototypes alone, no discriminant.
- noise: values of the same spread. Prototypes are random vectors, the whitening scales random directions, self-support
  reads random features.
- another class's: from examples of another class, the discriminant too; self-support reads an image of another class.

Protocol: 1-way, 1 and 5 shots, about 320x320 pixels, aspect kept, edges not refined, ignored pixels not counted.
Intersections and unions are summed per class, IoU is averaged over classes. CamVid val, DAVIS and CCP took no part in
training; neither did the VOC images: those of the validation lists whose content is in no co-segmentation group.
Intervals: 95% paired bootstrap over the queries of each class.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
from image_sets import SETS, Classes, Labelled, episodes
from jaxtyping import Float, Float32, UInt8
from PIL import Image

from likewise import FewShot
from likewise.io.images import read_image
from likewise.ops import prototypes
from likewise.ops.bilinear import resize_bilinear
from likewise.ops.discriminant import LearnedClass, class_odds, learn_class
from likewise.ops.prototypes import COSINE_SCALE, Prototypes, SupportStatistics, cosine
from likewise.predict.heads.features import features_of

sys.path.append(str(Path(__file__).resolve().parents[1]))
from cached_extractor import CachedExtractor

SHOTS = (1, 5)
RESAMPLES = 2000
ABOUT = {
    "question": "Which part of the few-shot default matters?",
    "command": "python experiments/01-ablation/run.py --data DATA --queries 4",
    "protocol": "mIoU in percent, 1 and 5 shots, 320 pixels, edges not refined",
    "spread": "[mIoU, difference from the whole model, low, high]: 95% paired bootstrap over the queries of each class",
}
REPLACEMENTS = ("none", "noise", "another class's")


def pixels(few_shot: FewShot, path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Return the image at the size of the network's input."""
    image = read_image(path)
    height, width = few_shot.inputs.size(*image.shape[:2])
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def learn(few_shot: FewShot, examples: list[Labelled]) -> list[dict[str, np.ndarray]]:
    """Return what the model keeps of each example."""
    rows = []
    for example in examples:
        mask, counted = example.masks()
        rows.append(few_shot.head.learn(pixels(few_shot, example.image), mask, counted & ~mask))
    return rows


def merge(rows: list[dict[str, np.ndarray]]) -> LearnedClass:
    return learn_class(
        SupportStatistics(**{name: np.concatenate([row[name] for row in rows]) for name in SupportStatistics._fields})
    )


def panet_log_odds(query: Float32[np.ndarray, "c h w"], rows: list[dict[str, np.ndarray]]) -> np.ndarray:
    """Return what PANet as published gives, from the rows of its own head."""
    means = np.concatenate([np.mean([row[side] for row in rows], axis=0) for side in ("background", "foreground")])
    background, foreground = COSINE_SCALE * cosine(means, query.reshape(len(query), -1))
    return (foreground - background).reshape(query.shape[1:])


def replaced(own: Prototypes, other: Prototypes, random: np.random.Generator) -> Iterator[tuple[str, Prototypes]]:
    """Yield each variant of prototypes and whitening; self-support is not a value of `Prototypes`."""
    spread = own.means.std(axis=1, keepdims=True)
    noise = spread * random.standard_normal(own.means.shape).astype(np.float32)
    yield "prototypes: none", own._replace(means=np.zeros_like(own.means))
    yield "prototypes: noise", own._replace(means=noise)
    yield "prototypes: another class's", own._replace(means=whitened(unwhitened(other), own.whitening))
    if own.whitening is not None:
        gains = np.linalg.norm(own.whitening, axis=1, keepdims=True)
        rotation = np.linalg.qr(random.standard_normal(own.whitening.shape))[0].astype(np.float32)
        for name, matrix in zip(REPLACEMENTS, (None, gains * rotation, other.whitening), strict=True):
            means = whitened(unwhitened(own), matrix)
            yield f"whitening: {name}", own._replace(means=means, whitening=matrix)


def unwhitened(merged: Prototypes) -> Float32[np.ndarray, "2 c"]:
    return merged.means if merged.whitening is None else np.linalg.solve(merged.whitening, merged.means.T).T


def whitened(
    means: Float32[np.ndarray, "k c"], whitening: Float32[np.ndarray, "c c"] | None
) -> Float32[np.ndarray, "k c"]:
    return means if whitening is None else means @ whitening.T


def variants(
    query: Float32[np.ndarray, "c h w"],
    other_query: Float32[np.ndarray, "c _h _w"],
    own: LearnedClass,
    other: LearnedClass,
    random: np.random.Generator,
) -> Iterator[tuple[str, Float32[np.ndarray, "h w"]]]:
    """Yield the name and the log-odds of the whole model and of each variant."""
    yield "whole", class_odds(query, own)
    yield "discriminant: none", class_odds(query, own._replace(discriminant=None))
    yield "discriminant: another class's", class_odds(query, own._replace(discriminant=other.discriminant))
    for name, merged in replaced(own.prototypes, other.prototypes, random):
        yield name, class_odds(query, own._replace(prototypes=merged))
    noise = random.standard_normal((len(query), query[0].size)).astype(np.float32)
    flat = query.reshape(len(query), -1)
    read = {
        "noise": flat.mean(axis=1, keepdims=True) + flat.std(axis=1, keepdims=True) * noise,
        "another class's": other_query.reshape(len(query), -1),
    }
    adapt, (means, whitening, shots) = prototypes.self_support_prototypes, own.prototypes
    with patch.object(prototypes, "self_support_prototypes", lambda query, means, cosines, shots: means):
        yield "self-support: none", class_odds(query, own)
        plain = Prototypes(unwhitened(own.prototypes), None, shots)
        yield "prototypes alone", class_odds(query, LearnedClass(plain, None))
    for name, features in read.items():
        seen = features if whitening is None else whitening @ features
        changed = adapt(seen, means, cosine(means, seen), shots)
        with patch.object(prototypes, "self_support_prototypes", lambda *_, changed=changed: changed):
            yield f"self-support: {name}", class_odds(query, own)


Counts = dict[str, dict[str, list[tuple[int, int]]]]
"""Intersection and union of each query, by variant ("5 whole") and class."""


def measure(few_shot: FewShot, panet: FewShot, set_name: str, classes: Classes, queries: int) -> Counts:
    counts: Counts = {}
    for name, labelled, examples, other, other_examples in episodes(set_name, classes, queries):
        random = np.random.default_rng(zlib.crc32(f"{name} {labelled.image.stem}".encode()))
        query, other_query = (
            features_of(few_shot.head.extractor.features(pixels(few_shot, image)[None]))[0].features
            for image in (labelled.image, other.image)
        )
        own, others, panet_own = learn(few_shot, examples), learn(few_shot, other_examples), learn(panet, examples)
        truth, counted = labelled.masks()
        for shots in SHOTS:
            maps = dict(variants(query, other_query, merge(own[:shots]), merge(others[:shots]), random))
            maps["PANet"] = panet_log_odds(query, panet_own[:shots])
            for variant, odds in maps.items():
                found = (resize_bilinear(odds, truth.shape) > 0) & counted
                scored = int((found & truth).sum()), int((found | truth).sum())
                counts.setdefault(f"{shots} {variant}", {}).setdefault(name, []).append(scored)
    return counts


def resampled(of_classes: dict[str, list[tuple[int, int]]]) -> Float[np.ndarray, " r"]:
    """Return the mean IoU over classes in percent: of all queries, then of each resample."""
    scores = []
    for name, queries in of_classes.items():
        random, count = np.random.default_rng(zlib.crc32(name.encode())), len(queries)
        drawn = random.multinomial(count, np.full(count, 1 / count), RESAMPLES)
        sums = np.concatenate([np.ones((1, count)), drawn]) @ np.array(queries, float)
        scores.append(100 * sums[:, 0] / np.maximum(sums[:, 1], 1))
    return np.mean(scores, axis=0)


def summary(counts: Counts) -> dict[str, dict[str, list[float]]]:
    """Return, for each number of shots and variant: mIoU, difference from the whole model, and its interval."""
    table: dict[str, dict[str, list[float]]] = {}
    for key, of_classes in counts.items():
        shots, _, name = key.partition(" ")
        scores, whole = resampled(of_classes), resampled(counts[f"{shots} whole"])
        difference = scores - whole
        row = [scores[0], difference[0], *np.percentile(difference[1:], (2.5, 97.5))]
        table.setdefault(shots, {})[name] = [round(float(number), 1) + 0.0 for number in row]
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with CamVid, VOC2012, splits, VOC-coseg, ...")
    parser.add_argument("--queries", type=int, default=4, help="queries of each class")
    parser.add_argument("--out", type=Path, default=Path("result.json"))
    arguments = parser.parse_args()
    few_shot = FewShot("prototypes-lite0", engine="onnx", edges=False)
    panet = FewShot("panet-lite0", engine="onnx", edges=False)
    assert few_shot.fingerprint == panet.fingerprint, "the two models have one backbone"
    few_shot.head.extractor = panet.head.extractor = CachedExtractor(few_shot.head.extractor)
    sets = {}
    for name, load in SETS.items():
        classes = load(arguments.data)
        counts = measure(few_shot, panet, name, classes, arguments.queries)
        queries = sum(len(scored) for scored in counts["1 whole"].values())
        sets[name] = {"queries": queries, "classes": len(counts["1 whole"]), "shots": summary(counts)}
        print(f"{name}: {queries} queries of {len(counts['1 whole'])} classes", flush=True)
    text = re.sub(r"\[[^\[\]]*\]", lambda row: " ".join(row[0].split()), json.dumps({**ABOUT, "sets": sets}, indent=1))
    arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
