"""Compare the default of an earlier commit with today's, on the same queries and examples.

    git worktree add ../then a2e2e65
    python experiments/26-then-and-now/run.py --data DATA --then ../then [--queries 4] [--sets davis-full voc-full ...]

Sets, examples and queries are those of 21-resolution: one example; the classes at odd places of each set, whose images
chose nothing of the second look. For every query of VOC one image without the class is segmented too. Rows: the earlier
program by its defaults (`hsnet-lite0` at 320 pixels); today's by its defaults, with one look, and with every mask kept
(`presence=0`).

mIoU: intersections and unions summed over a class's queries, mean over classes. Boundary F: outlines match within 4
pixels. Intervals of the difference from the earlier program: 95%, paired bootstrap over queries. Milliseconds:
processor time of an image in memory, median.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "21-resolution")]
from run import RESAMPLES, SETS, Labelled, boundary_f, pairs  # noqa: E402 (of 21-resolution)

TODAY = HERE.parents[1]
PROGRAMS: dict[str, list[str]] = {
    "then": [],
    "now": [],
    "now, one look": ['quality="fast"'],
    "now, presence 0": ["presence=0"],
}
"""Options of each row's `FewShot`."""
MARKED = 0.02
"""Share of an image without the class from which on it counts as marked."""


def tasks_of(data: Path, name: str, queries: int) -> list[dict[str, Any]]:
    """Return the queries of a set with their examples, and images that lack the class."""
    classes = SETS[name](data)
    found = []
    for own, query, example in pairs(name, classes, queries):
        found.append({"class": own, "query": query, "example": example, "present": True})
        if name.startswith("voc"):
            shown = {image.image for image in classes[own]}
            lacking = [image for others in classes.values() for image in others if image.image not in shown]
            other = lacking[np.random.default_rng(len(found)).integers(len(lacking))]
            found.append({"class": own, "query": other, "example": example, "present": False})
    return found


def masks_of(tasks: list[dict[str, Any]], program: Path, options: list[str]) -> tuple[list[np.ndarray], list[float]]:
    """Return the masks and times of a program in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        place, listed = Path(folder), []
        for number, task in enumerate(tasks):
            mask = place / f"example{number}.npy"
            np.save(mask, task["example"].masks()[0])
            listed.append(
                {
                    "query": str(task["query"].image),
                    "example": str(task["example"].image),
                    "mask": str(mask),
                }
            )
        (place / "tasks.json").write_text(json.dumps(listed))
        command = [sys.executable, str(HERE / "answer.py"), str(place / "tasks.json"), folder, *options]
        subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(program / "src")})
        shapes = [task["query"].masks()[0].shape for task in tasks]
        packed = [np.load(place / f"{number}.npy") for number in range(len(tasks))]
        masks = [
            np.unpackbits(bits, count=shape[0] * shape[1]).reshape(shape) > 0
            for bits, shape in zip(packed, shapes, strict=True)
        ]
        return masks, json.loads((place / "times.json").read_text())


def score(task: dict[str, Any], mask: np.ndarray, outlines: bool) -> dict[str, Any]:
    query: Labelled = task["query"]
    truth, counted = query.masks()
    if not task["present"]:
        share = mask.mean()
        return {"class": task["class"], "present": False, "marked": bool(share > MARKED), "u": int(mask.sum())}
    truth, mask = truth & counted, mask & counted
    return {
        "class": task["class"],
        "present": True,
        "i": int((mask & truth).sum()),
        "u": int((mask | truth).sum()),
        "f": boundary_f(mask, truth) if outlines else 0.0,
        "share": float(truth.mean()),
    }


def means(scored: list[dict[str, Any]]) -> dict[str, float]:
    """Return the means over the queries, with the absent images behind the present ones of their class."""
    present = [one for one in scored if one["present"]]
    absent = [one for one in scored if not one["present"]]
    ious = [one["i"] / max(one["u"], 1) for one in present]
    small = [one["i"] / max(one["u"], 1) for one in present if 0.01 <= one["share"] < 0.03]

    def over_classes(counted: list[dict[str, Any]]) -> float:
        names = {one["class"] for one in present}
        sums = [
            np.sum([[one.get("i", 0), one["u"]] for one in counted if one["class"] == own], axis=0) for own in names
        ]
        return float(np.mean([i / max(u, 1) for i, u in sums]))

    result = {
        "mIoU": over_classes(present),
        "IoU": float(np.mean(ious)),
        "median IoU": float(np.median(ious)),
        "boundary F": float(np.mean([one["f"] for one in present])),
        "IoU of objects of 1-3%": float(np.mean(small)) if small else float("nan"),
    }
    if absent:
        result["mIoU, absent counted"] = over_classes(scored)
        result["absent images marked"] = float(np.mean([one["marked"] for one in absent]))
    return result


def summary(by_row: dict[str, list[dict[str, Any]]], times: dict[str, list[float]]) -> dict[str, Any]:
    """Return [mean, difference from the earlier program, low, high] for each row and score."""
    then = by_row["then"]
    present = [at for at, one in enumerate(then) if one["present"]]
    absent = [at for at, one in enumerate(then) if not one["present"]]
    random = np.random.default_rng(0)
    draws = [
        [*random.choice(present, len(present)), *(random.choice(absent, len(absent)) if absent else ())]
        for _ in range(RESAMPLES)
    ]
    base, drawn = means(then), [means([then[at] for at in draw]) for draw in draws]
    table: dict[str, Any] = {"queries": len(present)}
    for row, own in by_row.items():
        table[row] = {"ms": round(float(np.median(times[row])), 1)}
        others = [means([own[at] for at in draw]) for draw in draws]
        for name, value in means(own).items():
            differences = [one[name] - other[name] for one, other in zip(others, drawn, strict=True)]
            low, high = np.nanpercentile(differences, [2.5, 97.5]) if np.isfinite(value) else (np.nan, np.nan)
            table[row][name] = [round(float(part), 3) for part in (value, value - base[name], low, high)]
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--then", type=Path, required=True, help="checkout of the earlier commit")
    parser.add_argument("--queries", type=int, default=8, help="of each class")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    given = parser.parse_args()
    out = HERE / "result.json"
    result = json.loads(out.read_text()) if out.exists() else {}
    for name in given.sets:
        tasks = tasks_of(given.data.resolve(), name, given.queries)
        by_row, times = {}, {}
        for row, options in PROGRAMS.items():
            program = given.then if row == "then" else TODAY
            masks, times[row] = masks_of(tasks, program.resolve(), options)
            by_row[row] = [score(task, mask, name.endswith("full")) for task, mask in zip(tasks, masks, strict=True)]
        result[name] = summary(by_row, times)
        print(name, json.dumps(result[name], indent=1), flush=True)
        out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
