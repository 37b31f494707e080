"""Score variants of the second look, without the judge of presence.

    python experiments/21-resolution/choose.py --data DATA [--shots 1] [--queries 4] [--half 0] [--sets davis-full ...]

Sets and masks as in `run.py`; half 0, the classes at even places, chose what `likewise.predict.heads.prototypes` does.
Outlines refined; IoU and boundary F (4 pixels), means over queries, and the difference from the gated second look that
the default had before, with its 95% paired bootstrap interval.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from run import MOST_CLASSES, RESAMPLES, SETS, boundary_f

from likewise import Example, FewShot
from likewise.io.images import read_image
from likewise.ops.bilinear import resize_bilinear
from likewise.ops.discriminant import LearnedClass, class_odds, learn_class, misfit, own_odds
from likewise.ops.prototypes import SupportStatistics, probabilities
from likewise.predict.edges import refine_edges
from likewise.predict.heads.prototypes import statistics_in
from likewise.predict.second_look import PREFIX, doubtful_box, mean_of_looks

GATE = 3.0
"""Misfit from which on the default looked once before."""
BEFORE = "two looks, gated"
Plane = Float32[np.ndarray, "h w"]


def scene_misfit(features: Float32[np.ndarray, "c h w"], learned: LearnedClass) -> float:
    flat = features.reshape(len(features), -1)
    unit = flat / np.maximum(np.linalg.norm(flat, axis=0), np.float32(1e-12))
    return misfit(unit, learned.discriminant) if learned.discriminant else float("inf")


def variants(few_shot: FewShot, examples: list[Example], image: np.ndarray) -> Iterator[tuple[str, Plane]]:
    """Yield the log-odds of each variant at the positions of the second look."""
    head, way = few_shot.head, few_shot.learn(examples).of_class(0)
    small, large, count = statistics_in(way), statistics_in(way, PREFIX), way["count"]
    stacked = SupportStatistics(*(np.concatenate(parts) for parts in zip(small, large, strict=True)))
    own, finer, both = learn_class(small, count), learn_class(large, count), learn_class(stacked, count.repeat(2) / 2)
    features = head.taps_of(few_shot.inputs.resize(image))
    pixels = few_shot.finer_inputs.resize(image)
    closer = head.taps_of(pixels)
    odds = class_odds(features, own)
    first = resize_bilinear(odds[None], closer.shape[1:])[0]
    grid = (pixels.shape[0] // head.multiple, pixels.shape[1] // head.multiple)
    cells = closer.shape[1] // grid[0]
    top, bottom, left, right = (cells * side for side in doubtful_box(odds, grid))
    part = np.s_[top:bottom, left:right]

    def inside(plane: Plane) -> Plane:
        placed = first.copy()
        placed[part] = plane[part]
        return placed

    def with_own(plane: Plane) -> Plane:
        taught = first.copy()
        taught[part] = plane[part] + own_odds(closer[:, top:bottom, left:right], plane[part]) / len(examples)
        return taught

    known = scene_misfit(features, own) < GATE
    two = mean_of_looks(first, class_odds(closer, finer))
    merged = mean_of_looks(first, class_odds(closer, both))
    yield "one look", first
    yield BEFORE, inside(two) if known else first
    yield "two looks", inside(two)
    yield "two looks, both statistics", inside(merged)
    yield "one look, own discriminant", with_own(first)
    yield "two looks, gated, own discriminant", with_own(two if known else first)
    yield "two looks, own discriminant", with_own(two)
    yield "two looks, both statistics, own discriminant", with_own(merged)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--shots", type=int, default=1)
    parser.add_argument("--queries", type=int, default=4)
    parser.add_argument("--half", type=int, choices=(0, 1), default=0)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    given = parser.parse_args()
    few_shot = FewShot(presence=0)
    for set_name in given.sets:
        scored: dict[str, list[tuple[float, float]]] = {}
        for name, images in list(SETS[set_name](given.data).items())[given.half : MOST_CLASSES : 2]:
            random = np.random.default_rng([21, zlib.crc32(f"{set_name} {name}".encode())])
            for index in random.permutation(len(images))[: given.queries]:
                rest = images[:index] + images[index + 1 :]
                chosen = [rest[at] for at in random.permutation(len(rest))[: given.shots]]
                image, (truth, counted) = read_image(images[index].image), images[index].masks()
                truth = truth & counted
                shown = [Example(one.image, mask=one.masks()[0]) for one in chosen]
                for variant, odds in variants(few_shot, shown, image):
                    refined = refine_edges(probabilities([odds], (image.shape[0], image.shape[1])), image)
                    found = (refined[1] > refined[0]) & counted
                    iou = (found & truth).sum() / max((found | truth).sum(), 1)
                    scored.setdefault(variant, []).append((float(iou), boundary_f(found, truth)))
        print(f"{set_name}, {len(scored[BEFORE])} queries, {given.shots} example(s)")
        for variant, pairs in scored.items():
            gains = np.array(pairs) - scored[BEFORE]
            draws = np.random.default_rng(0).integers(0, len(gains), (RESAMPLES, len(gains)))
            low, high = np.percentile(gains[draws].mean(axis=1), [2.5, 97.5], axis=0)
            iou, outline = np.mean(pairs, axis=0)
            print(
                f"  {variant:46} IoU {iou:.3f} ({gains[:, 0].mean():+.3f} [{low[0]:+.3f}, {high[0]:+.3f}])  "
                f"F {outline:.3f} ({gains[:, 1].mean():+.3f} [{low[1]:+.3f}, {high[1]:+.3f}])",
                flush=True,
            )


if __name__ == "__main__":
    main()
