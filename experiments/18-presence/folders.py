"""How many images of a folder are judged right by presence, as it comes and fitted to the folder?

    python experiments/18-presence/folders.py --data DATA [--half 1] [--sets davis camvid ccp voc] [--out folders.json]

Classes, halves and worlds are those of 24-learning-curve; half 0 chose the constants of `likewise.ops.presence`, half 1
is measured. For each class up to 12 queries show it and up to 100 images do not; with one example, four draws of it,
with five, two. A folder is one draw's images, with the numbers of `FOLDERS`. Three ways: `fixed`, the usual threshold;
`threshold`, one fitted to the folder; `fitted`, the surest images join the examples before that (`Judge.fitted`).

Scores, means over folders, then over classes: the share of images judged right, of images with the class that are kept,
and of images without it that are marked. Intervals: 95%, bootstrap over classes of the difference of the first two ways
to the third.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "24-learning-curve"))
from run import VOC, CachedExtractor, Worlds, classes_of, example, examples_of  # of 24-learning-curve

from likewise import FewShot
from likewise.io.images import read_image
from likewise.ops.presence import fit_threshold
from likewise.predict.presence import Judge, Look
from likewise.weights import PRESENCE

FOLDERS = {"half": (1, 12), "few": (1 / 6, 12), "tenth": (1, 100), "most": (1, 2), "none": (0, 12), "all": (1, 0)}
"""The part of the images with the class, and the number of images without it, that are in a folder."""
DRAWS = {1: 4, 5: 2}
RESAMPLES = 1000
USUAL = float(np.log(PRESENCE / (1 - PRESENCE)))
WAYS = ("fixed", "threshold", "fitted")


class Folder(NamedTuple):
    """Images under one draw of examples."""

    class_name: str
    shots: int
    judge: Judge
    present: list[Look]
    absent: list[Look]


def folders_of(name: str, data: Path, half: int, queries: int) -> Iterator[Folder]:
    """Yield the folders of each class of a set."""
    few_shot = FewShot("prototypes" if name == "voc" else "prototypes-lite0", quality="fast")
    few_shot.head.extractor = CachedExtractor(few_shot.extractor)
    worlds = Worlds(few_shot, VOC(data, "trn"), 300)
    for own, (images, lacking, excluded) in classes_of(name, data, half).items():
        random = np.random.default_rng(len(own) + half)
        order = [images[index] for index in random.permutation(len(images))]
        asked, rest = order[: min(queries, len(order) // 2)], order[min(queries, len(order) // 2) :][:20]
        absent = [lacking[index] for index in random.permutation(len(lacking))[:100]]
        if len(asked) < 6 or len(rest) < 2:
            continue
        concept, world = few_shot.learn([example(one) for one in rest], finer=False), worlds(excluded)
        for shots, draws in DRAWS.items():
            for draw in range(min(draws, len(concept) // shots)):
                drawn = examples_of(concept, slice(draw * shots, (draw + 1) * shots))
                prepared = few_shot.head.prepare(drawn)

                def look(path: Path, prepared=prepared) -> Look:
                    pixels = few_shot.inputs.resize(read_image(path))
                    features, odds = few_shot.head.look(few_shot.head.encode(pixels[None])[0], prepared)
                    return Look(features.astype(np.float16), odds.astype(np.float16))

                looks = [look(one.image) for one in asked], [look(one) for one in absent]
                yield Folder(own, shots, Judge(drawn, world), *looks)
        print(name, own, flush=True)


def scores(folder: Folder, kind: str, random: np.random.Generator) -> np.ndarray:
    """Return for each way the share judged right, the share of present images kept and that of absent images marked."""
    part, without = FOLDERS[kind]
    present = [folder.present[at] for at in random.permutation(len(folder.present))]
    present = present[: round(part * len(present))]
    looks = present + folder.absent[: without if without == 100 else min(without, len(folder.present))]
    truth = np.arange(len(looks)) < len(present)
    logits = np.array([folder.judge(look)[0].logit for look in looks])
    judge, (least,) = folder.judge.fitted(looks, (PRESENCE,))
    fitted = np.array([judge(look)[0].presence >= least for look in looks])
    found = []
    for there in (logits >= USUAL, logits >= fit_threshold(logits, USUAL), fitted):
        kept = there[truth].mean() if truth.any() else np.nan
        found.append([(there == truth).mean(), kept, there[~truth].mean() if not truth.all() else np.nan])
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--half", type=int, choices=[0, 1], default=1)
    parser.add_argument("--sets", nargs="+", default=["davis", "camvid", "ccp", "voc"])
    parser.add_argument("--queries", type=int, default=12)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    result = {}
    for name in given.sets:
        found: dict[tuple[int, str], dict[str, list[np.ndarray]]] = defaultdict(lambda: defaultdict(list))
        random = np.random.default_rng(0)
        for folder in folders_of(name, given.data, given.half, given.queries):
            for kind in FOLDERS:
                found[folder.shots, kind][folder.class_name].append(scores(folder, kind, random))
        for (shots, kind), classes in found.items():
            means = np.array([np.mean(own, axis=0) for own in classes.values()])
            entry: dict[str, Any] = {
                way: dict(zip(("right", "kept", "marked"), map(rounded, means.mean(axis=0)[at]), strict=True))
                for at, way in enumerate(WAYS)
            }
            for at, way in enumerate(WAYS[:2]):
                gains = means[:, 2, 0] - means[:, at, 0]
                draws = [random.choice(gains, len(gains)).mean() for _ in range(RESAMPLES)]
                entry[f"gain over {way}"] = [*map(rounded, (gains.mean(), *np.percentile(draws, [2.5, 97.5])))]
            result[f"{name}, {shots} examples, {kind}"] = entry
            print(name, shots, kind, json.dumps(entry), flush=True)
        if given.out:
            given.out.write_text(json.dumps(result, indent=1) + "\n")


def rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 3)


if __name__ == "__main__":
    main()
