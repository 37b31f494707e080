"""How many images of a folder are judged right by a fixed and by a fitted threshold of presence?

    python experiments/18-presence/folders.py --data DATA [--half 1] [--sets davis camvid ccp voc] [--out folders.json]

Classes, halves and worlds are those of 24-learning-curve; half 0 chose the constants of `fit_threshold`, half 1 is
measured. For each class up to 12 queries show it and as many images do not; with one example, four draws of it, with
five, two. A folder is one draw's images with the shares of `FOLDERS`. Scores: share of images whose presence is on the
right side, mean over folders. Intervals: 95%, bootstrap over classes of the difference.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "24-learning-curve"))
from run import VOC, CachedExtractor, Worlds, classes_of, example, examples_of  # of 24-learning-curve

from likewise import FewShot
from likewise.io.images import read_image
from likewise.ops.presence import fit_threshold
from likewise.predict.heads.features import features_of
from likewise.predict.presence import Judge
from likewise.weights import PRESENCE

FOLDERS = {"half": (1, 1), "few": (1 / 6, 1), "most": (1, 1 / 6), "none": (0, 1), "all": (1, 0)}
"""Shares of the images with the class, and of those without it, that are in a folder."""
DRAWS = {1: 4, 5: 2}
RESAMPLES = 1000
USUAL = float(np.log(PRESENCE / (1 - PRESENCE)))
Folder = tuple[str, int, list[float], list[float]]


def folders_of(name: str, data: Path, half: int, queries: int) -> list[Folder]:
    """Return class, examples, and the log-odds of presence of images with and without the class."""
    few_shot = FewShot("prototypes" if name == "voc" else "prototypes-lite0", quality="fast")
    few_shot.head.extractor = CachedExtractor(few_shot.extractor)
    worlds, found = Worlds(few_shot, VOC(data, "trn"), 300), []
    for own, (images, lacking, excluded) in classes_of(name, data, half).items():
        random = np.random.default_rng(len(own) + half)
        order = [images[index] for index in random.permutation(len(images))]
        asked, rest = order[: min(queries, len(order) // 2)], order[min(queries, len(order) // 2) :][:20]
        absent = [lacking[index] for index in random.permutation(len(lacking))[: len(asked)]]
        if len(asked) < 6 or len(rest) < 2:
            continue
        concept, world = few_shot.learn([example(one) for one in rest]), worlds(excluded)
        for shots, draws in DRAWS.items():
            for draw in range(min(draws, len(concept) // shots)):
                drawn = examples_of(concept, slice(draw * shots, (draw + 1) * shots))
                prepared, judge = few_shot.head.prepare(drawn), Judge(drawn, world)

                def logit(path: Path, prepared=prepared, judge=judge) -> float:
                    pixels = few_shot.inputs.resize(read_image(path))
                    (encoded,) = features_of(few_shot.extractor.features(pixels[None]))
                    return judge(encoded.semantic, list(few_shot.head.read(encoded.features, prepared.own)))[0].logit

                found.append((own, shots, [logit(one.image) for one in asked], [logit(one) for one in absent]))
        print(name, own, flush=True)
    return found


def scores(folders: list[Folder], shots: int, kind: str) -> dict[str, list[tuple[float, float]]]:
    """Return for each class the share that the fixed and the fitted threshold judge right, for each folder."""
    random, found = np.random.default_rng(0), defaultdict(list)
    for own, examples, present, absent in folders:
        if examples != shots:
            continue
        shares = FOLDERS[kind]
        chosen = [
            random.permutation(some)[: round(share * len(some))]
            for share, some in zip(shares, (present, absent), strict=True)
        ]
        logits, truth = np.concatenate(chosen), np.repeat([True, False], [len(some) for some in chosen])
        fitted = fit_threshold(logits, USUAL)
        found[own].append(tuple(float(((logits >= least) == truth).mean()) for least in (USUAL, fitted)))
    return found


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
        folders = folders_of(name, given.data, given.half, given.queries)
        for shots in DRAWS:
            for kind in FOLDERS:
                classes = [np.mean(own, axis=0) for own in scores(folders, shots, kind).values()]
                if not classes:
                    continue
                fixed, fitted = np.mean(classes, axis=0)
                random, gains = np.random.default_rng(0), np.array([after - before for before, after in classes])
                means = [random.choice(gains, len(gains)).mean() for _ in range(RESAMPLES)]
                interval = [round(float(part), 3) for part in (gains.mean(), *np.percentile(means, [2.5, 97.5]))]
                entry = {"fixed": round(float(fixed), 3), "fitted": round(float(fitted), 3), "gain": interval}
                result[f"{name}, {shots} examples, {kind}"] = entry
                print(name, shots, kind, json.dumps(entry), flush=True)
        if given.out:
            given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
