"""What several classes in one concept cost each: mean IoU beside others, as a share of that alone.

    python experiments/20-several-classes/run.py --data DATA [--split val] [--sets 20] [--out result.json]

Sets of three and of five classes of PASCAL, in turns; every fourth set is of animals. Two examples of each class, whose
images show no other class of the set where there are enough; up to five queries a class. The model is the default,
edges are not refined, and every image counts as showing its class (`presence=0`). IoU: intersections and unions of a
class are summed over its queries, then averaged over the classes of all sets. "Before" joins the classes without
presence, by their odds alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from likewise import Example, FewShot
from likewise.io.class_lists import PASCAL
from likewise.io.images import read_image
from likewise.io.labels import IGNORE
from likewise.io.masks import read_labels

sys.path.append(str(Path(__file__).resolve().parents[1] / "18-presence"))
from evidence import KINDS, VOC, CachedExtractor

EXAMPLES, QUERIES = 2, 5
RESAMPLES = 1000


def draw(voc: VOC, ways: int, number: int) -> dict[str, tuple[list[str], list[str]]]:
    """Return the examples and the queries of each class of a set."""
    random = np.random.default_rng([number, ways])
    pool = KINDS["animal"] if number % 4 == 0 else PASCAL
    names = [pool[index] for index in random.permutation(len(pool))[:ways]]
    drawn = {}
    for name in names:
        others = {*names} - {name}
        shown = [image for image, own in zip(voc.images, voc.shown, strict=True) if name in own]
        alone = [image for image in shown if not voc.any[voc.images.index(image)] & others]
        examples = list(random.permutation(alone if len(alone) >= EXAMPLES else shown)[:EXAMPLES])
        queries = [image for image in random.permutation(shown) if image not in examples][:QUERIES]
        drawn[name] = (examples, queries)
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", choices=["trn", "val"], default="val")
    parser.add_argument("--sets", type=int, default=20)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    few_shot, voc = FewShot(quality="fast", edges=False, presence=0), VOC(given.data, given.split)
    few_shot.head.extractor = CachedExtractor(few_shot.extractor)
    counts: dict[str, dict[tuple[int, str], np.ndarray]] = defaultdict(lambda: defaultdict(lambda: np.zeros((3, 2))))
    for number in range(given.sets):
        ways = (3, 5)[number % 2]
        drawn = draw(voc, ways, number)
        learned = {
            name: few_shot.learn(
                [
                    Example(voc.image(image), mask=labels == label, ignore=labels == IGNORE, class_name=name)
                    for image in examples
                    for label, labels in [(PASCAL.index(name) + 1, read_labels(voc.labels(image)))]
                ]
            )
            for name, (examples, _) in drawn.items()
        }
        first, *others = learned.values()
        merged = first.merged(*others)
        prepared = few_shot.head.prepare(merged)
        used = {image for examples, _ in drawn.values() for image in examples}
        for way, (name, (_, queries)) in enumerate(drawn.items(), start=1):
            alone = few_shot.head.prepare(learned[name])
            for image in queries:
                if image in used:
                    continue
                labels = read_labels(voc.labels(image))
                truth, known = labels == PASCAL.index(name) + 1, labels != IGNORE
                pixels = few_shot.inputs.resize(read_image(voc.image(image)))[None]
                for row, (own, label) in enumerate(((alone, 1), (prepared._replace(judge=None), way), (prepared, way))):
                    (found,) = few_shot.head.segment(pixels, own, [labels.shape])
                    mask = found.probabilities.argmax(axis=0) == label
                    both = [(mask & truth & known).sum(), ((mask | truth) & known).sum()]
                    counts[f"{ways} classes"][number, name][row] += both
        print(f"{number + 1} of {given.sets} sets", flush=True)
    table = {}
    for ways, classes in counts.items():
        ious = np.array([own[:, 0] / np.maximum(own[:, 1], 1) for own in classes.values()])
        random = np.random.default_rng(0)
        drawn_means = ious[random.integers(len(ious), size=(RESAMPLES, len(ious)))].mean(axis=1)
        low, high = np.quantile(drawn_means[:, 1:] / drawn_means[:, :1], [0.025, 0.975], axis=0)
        alone, before, now = ious.mean(axis=0)
        table[ways] = {
            "classes": len(ious),
            "alone": round(alone, 4),
            "beside others, before": round(before, 4),
            "beside others": round(now, 4),
            "share, before": [round(value, 3) for value in (before / alone, low[0], high[0])],
            "share": [round(value, 3) for value in (now / alone, low[1], high[1])],
        }
        print(ways, json.dumps(table[ways]))
    if given.out:
        given.out.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
