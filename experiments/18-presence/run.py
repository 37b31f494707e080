"""Presence: fit its calibration, and measure what it is worth.

    python experiments/18-presence/run.py world --data DATA         # src/likewise/weights/pretrained/panet-lite0.world
    python experiments/18-presence/run.py calibrate --data DATA     # prints the constants of likewise.predict.presence
    python experiments/18-presence/run.py measure --data DATA [--model prototypes-lite0] [--out result.json]

Episodes: one class, K examples, one image with the class and one or two without it. `calibrate` uses the training lists
of PASCAL and one half of DAVIS, CCP and CamVid; `measure` uses PASCAL's validation lists and the other halves. The
worlds are made from PASCAL's training lists without images of the class's fold, so the class is not in its world;
`--world-with-targets` takes the shipped world instead. For PASCAL every second absent image is of the same super-class.
For the other sets "other" absent images are PASCAL's and "same" ones are of the same set: another sequence, another
street, another person without the garment.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from evidence import SHOTS, VOC, CachedExtractor, Episode, Worlds, answers, other_sets
from sklearn.linear_model import LogisticRegression

from likewise import FewShot
from likewise.jobs.world import measure_folder
from likewise.metrics import presence
from likewise.ops.presence import Evidence
from likewise.predict.presence import Examples, logistic, presence_logit
from likewise.weights import PRESENCE
from likewise.weights.names import MODELS

WORLD_IMAGES = 300
"""Images of each world that lacks a fold."""
RESAMPLES = 1000
PASCAL_WEIGHT = 8
MARKED = (0.005, 0.02, 0.1)
"""Shares of an absent image from which it counts as marked."""
Row = dict[str, Any]


def collect(data: Path, half: int, model: str, queries: int, with_targets: bool = False) -> list[Row]:
    """Return the answers for all episodes of one half."""
    few_shot = FewShot(model, quality="fast", edges=False)
    few_shot.head.extractor = CachedExtractor(few_shot.extractor)
    training, own = VOC(data, "trn"), VOC(data, ("trn", "val")[half])
    worlds = Worlds(few_shot, training, WORLD_IMAGES)
    elsewhere = [own.image(name) for name in own.images]
    episodes: list[Episode] = [*own.episodes(queries), *other_sets(data, half, elsewhere, queries)]
    rows = []
    for number, episode in enumerate(episodes):
        world = few_shot.head.world if with_targets else worlds(episode.excluded)
        rows += answers(few_shot, episode, world)
        if number % 25 == 0:
            print(f"{number} of {len(episodes)} episodes", flush=True)
    return rows


def calibrate(rows: Sequence[Row]) -> None:
    """Print the constants of `likewise.predict.presence.CALIBRATION`, and what thresholds do on PASCAL.

    PASCAL weighs as much as `PASCAL_WEIGHT` other sets: its absent images hold similar things, as people's folders do.
    """
    used = [row for row in rows if not (row["set"] == "ccp" and row["query"] == "same")]
    counts = defaultdict(int)
    for row in used:
        counts[row["set"], row["query"] == "present"] += 1
    weights = [
        (PASCAL_WEIGHT if row["set"] == "voc" else 1) / counts[row["set"], row["query"] == "present"] for row in used
    ]
    similar = [[row["agreement"] or 0, float(row["agreement"] is None)] for row in used]
    inputs = np.array(
        [[row["projection"], row["cosine"], np.log(row["shots"]), *own] for row, own in zip(used, similar, strict=True)]
    )
    there = np.array([row["query"] == "present" for row in used])
    fitted = LogisticRegression(C=1e3, max_iter=1000).fit(inputs, there, sample_weight=np.array(weights) * len(used))
    *weights, lone = fitted.coef_[0]
    print("presence", [round(float(value), 2) for value in (*weights, fitted.intercept_[0])])
    print("lone", round(float(lone / weights[-1]), 2))
    for threshold in (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5):
        for shots in (1, 5):
            own = [row for row in rows if (row["set"], row["shots"]) == ("voc", shots)]
            lacking = [row for row in own if row["query"] != "present"]
            both = [mean_iou(own, threshold, absent=absent) for absent in (False, True)]
            print(threshold, shots, "marked", marked(lacking, threshold), "mIoU", [round(value, 3) for value in both])
    seen = [row for row in used if row["query"] == "present" and row["found"]]
    inputs = np.array([[row["probability"], row["cosine"], np.log(row["shots"])] for row in seen])
    ious = np.array([iou(row) for row in seen])
    both = LogisticRegression(C=1e3, max_iter=1000).fit(
        np.concatenate([inputs, inputs]),
        np.repeat([True, False], len(seen)),
        sample_weight=np.concatenate([ious, 1 - ious]),
    )
    print("quality", [round(float(value), 2) for value in (*both.coef_[0], both.intercept_[0])])


def presence_of(row: Row) -> float:
    """Return the presence that the evidence gives with the present constants."""
    return logistic(
        presence_logit(Evidence(row["projection"], row["cosine"]), Examples(row["shots"], row["agreement"]))
    )


def iou(row: Row) -> float:
    return row["intersection"] / max(row["found"] + row["truth"] - row["intersection"], 1)


def calibration_error(rows: Sequence[Row]) -> float:
    """Return the expected calibration error; present and absent images count the same."""
    kinds = ([row["presence"] for row in rows if (row["query"] == "present") is there] for there in (True, False))
    return presence.calibration_error(*kinds)


def mean_iou(rows: Sequence[Row], threshold: float, *, absent: bool) -> float:
    """Return the mIoU over classes, with or without the absent images; masks below the presence threshold are empty."""
    sums: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(2))
    for row in rows:
        if row["query"] == "present" or absent:
            shown = row["presence"] >= threshold
            intersection = row["intersection"] * shown
            sums[row["class"]] += (intersection, row["found"] * shown + row["truth"] - intersection)
    return float(np.mean([intersection / max(union, 1) for intersection, union in sums.values()]))


def interval(rows: Sequence[Row], score: Callable[[list[Row]], float]) -> list[float]:
    """Return the score with its 95% bootstrap interval over the episodes of each class."""
    groups: dict[str, list[list[Row]]] = defaultdict(list)
    for row in rows:
        if row["query"] == "present":
            groups[row["class"]].append([])
        groups[row["class"]][-1].append(row)
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(RESAMPLES):
        sample: list[Row] = []
        for own in groups.values():
            for index in random.integers(len(own), size=len(own)):
                sample += own[index]
        drawn.append(score(sample))
    return [round(value, 4) for value in (score(list(rows)), *np.quantile(drawn, [0.025, 0.975]))]


def measure(rows: Sequence[Row]) -> dict[str, Any]:
    """Return all scores by set, absent images and shots."""
    table: dict[str, Any] = {}
    for set_name in dict.fromkeys(row["set"] for row in rows):
        for absent in ("same", "other"):
            for shots in SHOTS:
                own = [
                    r for r in rows if (r["set"], r["shots"]) == (set_name, shots) and r["query"] in ("present", absent)
                ]
                if not any(row["query"] == absent for row in own):
                    continue
                lacking = [row for row in own if row["query"] == absent]
                table[f"{set_name}, absent from {absent}, {shots}"] = {
                    "AUROC": interval(own, by_presence),
                    "calibration error": round(calibration_error(own), 4),
                    "marked before": marked(lacking, 0),
                    "marked": marked(lacking, PRESENCE),
                    "mIoU of present, before": round(mean_iou(own, 0, absent=False), 4),
                    "mIoU of present": round(mean_iou(own, PRESENCE, absent=False), 4),
                    "mIoU with absent, before": round(mean_iou(own, 0, absent=True), 4),
                    "mIoU with absent": round(mean_iou(own, PRESENCE, absent=True), 4),
                    "gain with absent": interval(
                        own, lambda some: mean_iou(some, PRESENCE, absent=True) - mean_iou(some, 0, absent=True)
                    ),
                    "episodes": len(lacking),
                }
    return table


def marked(rows: Sequence[Row], threshold: float) -> list[float]:
    """Return the shares of images whose mask covers more than each part of `MARKED`."""
    areas = np.array([row["area"] * (row["presence"] >= threshold) for row in rows])
    return [round(float((areas > part).mean()), 3) for part in MARKED]


def by_presence(rows: Sequence[Row]) -> float:
    return presence.auroc(
        [row["presence"] for row in rows if row["query"] == "present"],
        [row["presence"] for row in rows if row["query"] != "present"],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["world", "calibrate", "measure"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="prototypes-lite0")
    parser.add_argument("--queries", type=int, default=6, help="of each class; half as many for CCP")
    parser.add_argument("--rows", type=Path, help="keep the answers in this file, or read them from it")
    parser.add_argument("--world-with-targets", action="store_true")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.what == "world":
        voc, few_shot = VOC(given.data, "trn"), FewShot(given.model)
        about = "images of PASCAL VOC 2012's training lists (Flickr terms, research)"
        images = [voc.image(name) for name in voc.images]
        print(measure_folder(images, MODELS[given.model].world, few_shot=few_shot, about=about), "images")
        return
    if given.rows and given.rows.is_file():
        rows = json.loads(given.rows.read_text())
    else:
        half = int(given.what == "measure")
        rows = collect(given.data, half, given.model, given.queries, given.world_with_targets)
        if given.rows:
            given.rows.write_text(json.dumps(rows))
    for row in rows:
        row["presence"] = presence_of(row)
    if given.what == "calibrate":
        calibrate(rows)
        return
    table = measure(rows)
    for name, values in table.items():
        print(name, json.dumps(values))
    if given.out:
        given.out.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
