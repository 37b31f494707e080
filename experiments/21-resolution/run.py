"""Measure one look against two, on images of their own size and on small ones, and the time of both.

    python experiments/21-resolution/run.py score --data DATA [--queries 4] [--sets davis-full voc-full ...]
    python experiments/21-resolution/run.py time --data DATA
    python experiments/21-resolution/run.py plot            # docs/resolution.svg from result.json

Protocol: `prototypes-lite0`, outlines refined, one example; every query shows its class, so presence is not judged;
ignored pixels are not counted. `full/DAVIS` is 854x480, `full/VOC2012` about 500x375; the other sets have a short
side of 320 pixels. The classes at even places of the full sets chose the settings; those at odd places of each set
are scored. Boundary F: outlines match within 4 pixels. Intervals: 95% paired bootstrap over queries. Times: processor
time of one image in memory, models in turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from likewise import Example, FewShot
from likewise.io.class_lists import PASCAL
from likewise.io.images import read_image
from likewise.io.labels import IGNORE
from likewise.io.resize import resize_image

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "01-ablation")]
from cached_extractor import CachedExtractor  # noqa: E402 (found by the line above)
from image_sets import Classes, Labelled, camvid, ccp, davis, voc  # noqa: E402 (found by the line above)

RESULT, PLOT = HERE / "result.json", HERE.parents[1] / "docs/resolution.svg"
ROWS: dict[str, dict[str, Any]] = {
    "fast": {"quality": "fast"},
    "side 640": {"quality": "fast", "side": 640},
    "balanced": {"quality": "balanced"},
}
SMALL = {"camvid": camvid, "voc": voc, "davis": davis, "ccp": ccp}
MOST_CLASSES = 20
RESAMPLES = 2000
TOLERANCE = 4
CACHED_IMAGES = 40
Mask = Bool[np.ndarray, "h w"]


def full_davis(root: Path) -> Classes:
    return davis(root / "full")


def full_voc(root: Path) -> Classes:
    """Images of the validation lists with at least two images a class."""
    home = root / "full/VOC2012"
    classes: Classes = {name: [] for name in PASCAL}
    for line in (line for fold in range(4) for line in (root / f"splits/pascal/val/fold{fold}.txt").open()):
        image, _, label = line.strip().rpartition("__")
        path = home / f"JPEGImages/{image}.jpg"
        if path.is_file():
            labels = home / f"SegmentationClassAug/{image}.png"
            classes[PASCAL[int(label) - 1]].append(Labelled(path, labels, int(label), IGNORE))
    return {name: images for name, images in classes.items() if len(images) > 1}


SETS = {"davis-full": full_davis, "voc-full": full_voc, **SMALL}


def pairs(set_name: str, classes: Classes, queries: int) -> Iterator[tuple[str, Labelled, Labelled]]:
    """Yield class, query and example for every second class."""
    for name, images in list(classes.items())[1:MOST_CLASSES:2]:
        random = np.random.default_rng([21, zlib.crc32(f"{set_name} {name}".encode())])
        for index in random.permutation(len(images))[:queries]:
            rest = images[:index] + images[index + 1 :]
            yield name, images[index], rest[random.integers(len(rest))]


def open_models(rows: dict[str, dict[str, Any]]) -> dict[str, FewShot]:
    models = {name: FewShot(presence=0, **options) for name, options in rows.items()}
    shared = CachedExtractor(models["fast"].extractor, CACHED_IMAGES)
    for model in models.values():
        model.head.extractor = shared
    return models


def boundary_f(found: Mask, truth: Mask) -> float:
    """Return the F measure of outlines that match within `TOLERANCE` pixels."""
    if not found.any() or not truth.any():
        return 0.0
    rows, columns = (np.flatnonzero((found | truth).any(axis=axis)) for axis in (1, 0))
    part = tuple(slice(max(0, at[0] - 2), at[-1] + 3) for at in (rows, columns))
    outlines = [mask[part] & ~ndimage.binary_erosion(mask[part], border_value=1) for mask in (found, truth)]
    if not outlines[0].any() or not outlines[1].any():
        return 0.0
    far = [ndimage.distance_transform_edt(~outline) for outline in outlines]
    precision = (far[1][outlines[0]] <= TOLERANCE).mean()
    recall = (far[0][outlines[1]] <= TOLERANCE).mean()
    return float(2 * precision * recall / max(precision + recall, 1e-9))


def score(data: Path, set_name: str, queries: int) -> list[dict[str, Any]]:
    """Return intersection, union and boundary F of each query and row."""
    rows = {name: options for name, options in ROWS.items() if set_name not in SMALL or "side" not in options}
    models, scored = open_models(rows), []
    for name, query, example in pairs(set_name, SETS[set_name](data), queries):
        image, (truth, counted) = read_image(query.image), query.masks()
        truth = truth & counted
        concept_of: dict[int, Any] = {}
        for row, model in models.items():
            if model.side not in concept_of:
                shown = Example(example.image, mask=example.masks()[0])
                concept_of[model.side] = model.learn(shown, finer="side" not in rows[row])
            found = model.segment(image, concept_of[model.side]).mask & counted
            both, either = int((found & truth).sum()), int((found | truth).sum())
            outline = boundary_f(found, truth) if set_name not in SMALL else 0.0
            share = float(truth.sum() / truth.size)
            scored.append({"row": row, "class": name, "size": share, "i": both, "u": either, "f": outline})
            print(json.dumps(scored[-1]), flush=True)
    return scored


def means(scored: list[dict[str, Any]], at: np.ndarray) -> dict[str, float]:
    """Return the means over the chosen queries."""
    own = [scored[index] for index in at]
    ious = np.array([one["i"] / max(one["u"], 1) for one in own])
    classes = {one["class"] for one in own}
    sums = [np.sum([[one["i"], one["u"]] for one in own if one["class"] == name], axis=0) for name in classes]
    small = [iou for iou, one in zip(ious, own, strict=True) if 0.01 <= one["size"] < 0.03]
    return {
        "mIoU": float(np.mean([i / max(u, 1) for i, u in sums])),
        "IoU": float(ious.mean()),
        "median IoU": float(np.median(ious)),
        "boundary F": float(np.mean([one["f"] for one in own])),
        "IoU of objects of 1-3%": float(np.mean(small)) if small else float("nan"),
    }


def summary(scored: list[dict[str, Any]]) -> dict[str, Any]:
    """Return [mean, difference from fast, low, high] for each row and score."""
    by_row = {row: [one for one in scored if one["row"] == row] for row in dict.fromkeys(one["row"] for one in scored)}
    count = len(by_row["fast"])
    draws = np.random.default_rng(0).integers(0, count, (RESAMPLES, count))
    drawn = {row: [means(own, at) for at in draws] for row, own in by_row.items()}
    table: dict[str, Any] = {"queries": count}
    for row, own in by_row.items():
        whole, base = means(own, np.arange(count)), means(by_row["fast"], np.arange(count))
        table[row] = {}
        for name, value in whole.items():
            differences = [one[name] - other[name] for one, other in zip(drawn[row], drawn["fast"], strict=True)]
            low, high = np.nanpercentile(differences, [2.5, 97.5]) if np.isfinite(value) else (np.nan, np.nan)
            table[row][name] = [round(float(part), 3) for part in (value, value - base[name], low, high)]
    return table


def measure_time(data: Path, rounds: int) -> dict[str, Any]:
    """Return milliseconds of processor time for an image, by set and by image size."""
    import onnxruntime

    models = {name: FewShot(**options) for name, options in ROWS.items()}
    sources = {"davis-full": (full_davis, None), "voc-full": (full_voc, None), "davis": (davis, None)}
    sources |= {f"{across}x{down}": (full_davis, (across, down)) for across, down in ((2048, 1152), (4000, 3000))}
    table: dict[str, Any] = {"onnxruntime": onnxruntime.__version__}
    for name, (source, size) in sources.items():
        chosen = list(pairs(name, source(data), 1))[:2]
        times: dict[str, list[float]] = {row: [] for row in models}
        for _, query, example in chosen:
            image = read_image(query.image)
            if size:
                image = resize_image(image, size[1], size[0])
            ready = {
                row: model.prepare(model.learn(Example(example.image, mask=example.masks()[0])))
                for row, model in models.items()
            }
            for turn in range(rounds + 1):
                for row, segmenter in ready.items():
                    started = time.process_time()
                    segmenter(image)
                    if turn:
                        times[row].append(1000 * (time.process_time() - started))
        table[name] = {row: round(statistics.median(own), 1) for row, own in times.items()}
        print(name, table[name], flush=True)
    return table


def plot(result: dict[str, Any]) -> str:
    """Return the frontier as SVG: IoU and boundary F against time, classes that chose nothing."""
    panels = [("davis-full", "IoU", "DAVIS, 854x480: mean IoU"), ("davis-full", "boundary F", "boundary F")]
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" width="720" height="300" font-family="sans-serif" font-size="12">'
    ]
    for panel, (name, value, title) in enumerate(panels):
        left, width, height = 50 + 360 * panel, 280, 210
        points = {row: (result["time"][name][row], result["scores"][name][row][value][0]) for row in ROWS}
        slowest, values = max(x for x, _ in points.values()) * 1.15, [y for _, y in points.values()]
        low, high = min(values) - 0.02, max(values) + 0.02
        parts.append(f'<text x="{left}" y="20">{title}</text>')
        parts.append(f'<path d="M{left},35 v{height} h{width}" fill="none" stroke="#888"/>')
        parts.append(f'<text x="{left + width}" y="280" text-anchor="end">ms of processor time</text>')
        for row, (x, y) in points.items():
            across, down = left + width * x / slowest, 35 + height * (high - y) / (high - low)
            colour = "#c2185b" if row in ("fast", "balanced") else "#888"
            parts.append(f'<circle cx="{across:.0f}" cy="{down:.0f}" r="4" fill="{colour}"/>')
            parts.append(f'<text x="{across - 6:.0f}" y="{down - 8:.0f}" text-anchor="end">{row} {y:.3f}</text>')
            parts.append(f'<text x="{across:.0f}" y="260" text-anchor="middle" fill="#888">{x:.0f}</text>')
    return "\n".join([*parts, "</svg>\n"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("score", "time", "plot"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--queries", type=int, default=4)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {"scores": {}, "time": {}}
    if arguments.what == "time":
        result["time"] = measure_time(arguments.data, arguments.rounds)
    elif arguments.what == "plot":
        PLOT.write_text(plot(result))
    else:
        for name in arguments.sets:
            scored = score(arguments.data, name, arguments.queries)
            result["scores"][name] = summary(scored)
            print(name, json.dumps(result["scores"][name], indent=1), flush=True)
            RESULT.write_text(json.dumps(result, indent=1) + "\n")
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
