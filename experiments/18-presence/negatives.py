"""What negatives are worth against a similar class.

    python experiments/18-presence/negatives.py --data DATA [--split val] [--out negatives.json]

For each class of PASCAL, `--others` classes of its super-class in turn. The examples show the class and not the other;
the negatives are whole images with the other and without the class, as are the absent queries; no region is marked.
The same queries are asked with 0, 1, 3 and 5 negatives. Worlds hold no image of the class's fold.

AUROC: presence of the queries with the class against those with the other. Area: mean share of an image with the other
that is marked at the default threshold. mIoU: of the queries with the class, over classes, always marked and at the
threshold. Differences from no negative are paired; their 95% intervals are bootstrap over pairs of classes.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from evidence import KIND_OF, KINDS, VOC, CachedExtractor, Labelled, Worlds, example

from likewise import Example, FewShot
from likewise.io.class_lists import PASCAL
from likewise.io.images import read_image
from likewise.io.labels import IGNORE
from likewise.metrics.presence import auroc
from likewise.predict.heads.features import features_of
from likewise.predict.presence import Judge
from likewise.weights import PRESENCE

SHOTS, NEGATIVES = (1, 5), (0, 1, 3, 5)
RESAMPLES = 1000


def pairs(others: int) -> list[tuple[str, str]]:
    """Return each class with some of its super-class."""
    found = []
    for name in PASCAL:
        kind = KINDS[KIND_OF[name]]
        found += [(name, kind[(kind.index(name) + step) % len(kind)]) for step in range(1, min(others + 1, len(kind)))]
    return found


def measure(few_shot: FewShot, voc: VOC, worlds: Worlds, name: str, other: str, queries: int) -> list[dict[str, Any]]:
    random, at = np.random.default_rng([PASCAL.index(name), PASCAL.index(other)]), PASCAL.index(name)
    shown = list(zip(voc.images, voc.any, voc.shown, strict=True))
    own = random.permutation([image for image, any_, large in shown if name in large and other not in any_])
    similar = random.permutation([image for image, any_, large in shown if other in large and name not in any_])
    labelled = [Labelled(voc.image(image), voc.labels(image), at + 1, IGNORE) for image in own[: queries + max(SHOTS)]]
    asked, examples = labelled[:queries], labelled[queries:]
    absent, negatives = similar[:queries], similar[queries : queries + max(NEGATIVES)]
    if not len(absent):
        return []
    world, rows = worlds(tuple(PASCAL[at // 5 * 5 : at // 5 * 5 + 5])), []
    for shots in (count for count in SHOTS if count <= len(examples)):
        for count in (count for count in NEGATIVES if count <= len(negatives)):
            given = [example(one) for one in examples[:shots]]
            given += [Example(voc.image(image), absent=True) for image in negatives[:count]]
            concept = few_shot.learn(given)
            prepared = few_shot.head.prepare(concept)._replace(judge=Judge(concept, world))
            for there, path in [(one, one.image) for one in asked] + [(None, voc.image(image)) for image in absent]:
                pixels = read_image(path)
                (encoded,) = features_of(few_shot.extractor.features(few_shot.inputs.resize(pixels)[None]))
                found = few_shot.head.answer(encoded, prepared, pixels.shape[:2])
                mask, presence = found.probabilities[1] > found.probabilities[0], found.judged[0].presence
                truth, known = there.masks() if there else (np.zeros_like(mask), np.ones_like(mask))
                rows.append(
                    {
                        "pair": f"{name} {other}",
                        "class": name,
                        "shots": shots,
                        "negatives": count,
                        "there": there is not None,
                        "presence": presence,
                        "area": float(mask.mean()),
                        "intersection": int((mask & truth & known).sum()),
                        "union": int(((mask | truth) & known).sum()),
                        "truth": int(truth.sum()),
                    }
                )
    return rows


def scores(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return the scores of one pair of classes."""
    present, absent = ([row for row in rows if row["there"] is there] for there in (True, False))
    intersection = sum(row["intersection"] for row in present)
    shown = [row["presence"] >= PRESENCE for row in present]
    kept = sum(row["intersection"] for row, own in zip(present, shown, strict=True) if own)
    union = sum(row["union"] if own else row["truth"] for row, own in zip(present, shown, strict=True))
    return {
        "AUROC": auroc([row["presence"] for row in present], [row["presence"] for row in absent]),
        "area on look-similars": float(np.mean([row["area"] * (row["presence"] >= PRESENCE) for row in absent])),
        "IoU, always": intersection / max(sum(row["union"] for row in present), 1),
        "IoU": kept / max(union, 1),
    }


def table(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return means over the pairs, and the differences from no negative with intervals."""
    groups: dict[tuple[int, int], dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        groups[row["shots"], row["negatives"]][row["pair"]].append(row)
    random, result = np.random.default_rng(0), {}
    for (shots, count), by_pair in sorted(groups.items()):
        own = {pair: scores(each) for pair, each in by_pair.items()}
        base = {pair: scores(each) for pair, each in groups[shots, 0].items() if pair in own}
        entry: dict[str, Any] = {"pairs": len(own)}
        for name in next(iter(own.values())):
            entry[name] = round(float(np.mean([each[name] for each in own.values()])), 3)
            gains = np.array([each[name] - base[pair][name] for pair, each in own.items()])
            means = [random.choice(gains, len(gains)).mean() for _ in range(RESAMPLES)]
            if count:
                entry[f"{name}, without negatives"] = round(float(np.mean([base[pair][name] for pair in own])), 3)
                interval = np.percentile(means, [2.5, 97.5])
                entry[f"{name}: gain"] = [round(float(value), 3) for value in (gains.mean(), *interval)]
        result[f"{shots} examples, {count} negatives"] = entry
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", choices=["trn", "val"], default="val")
    parser.add_argument("--model", default="prototypes-lite0")
    parser.add_argument("--others", type=int, default=2)
    parser.add_argument("--queries", type=int, default=5)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    few_shot = FewShot(given.model, edges=False, presence=0)
    few_shot.head.extractor = CachedExtractor(few_shot.extractor)
    voc, worlds, rows = VOC(given.data, given.split), Worlds(few_shot, VOC(given.data, "trn"), 300), []
    for name, other in pairs(given.others):
        rows += measure(few_shot, voc, worlds, name, other, given.queries)
        print(name, other, flush=True)
    result = table(rows)
    for key, entry in result.items():
        print(key, json.dumps(entry))
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
