"""Does training on PASCAL's objects help, or harm, on things of another kind? The bundled models beside the untrained.

    python benchmarks/unseen.py --data ../shared/data

Protocol: 1-shot; 15 episodes for each DAVIS sequence (example and query are two of its frames) and for each garment or
body part of CCP that covers over 1% of at least 8 of its first 250 photographs; pictures at their own size;
intersections and unions summed per class, IoU averaged over classes. Neither set was trained on, nor looked at for any
choice. Intervals: 95% bootstrap over classes, of the paired difference to the untrained.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from likewise import Example, FewShot
from likewise.concept import Concept
from likewise.masks import read_labels, read_mask

EPISODES = 15


def davis(root: Path) -> dict[str, list[Example]]:
    frames = sorted((root / "DAVIS/JPEGImages/480p").glob("*/*.jpg"))
    found = defaultdict(list)
    for frame in frames:
        sequence = frame.parent.name
        found[sequence].append(Example(frame, mask=root / f"DAVIS/Annotations/480p/{sequence}/{frame.stem}.png"))
    return found


def ccp(root: Path) -> dict[str, list[Example]]:
    found = defaultdict(list)
    for path in sorted((root / "CCP/labels").glob("*.png"))[:250]:
        counts = np.bincount(read_labels(path).ravel(), minlength=59)
        for label in np.flatnonzero(counts > 0.01 * counts.sum()):
            if label:
                picture = root / f"CCP/photos/{path.stem}.jpg"
                found[f"{label:02d}"].append(Example(picture, mask=path, label=int(label)))
    return {name: examples for name, examples in found.items() if len(examples) >= 8}


def iou(few_shot: FewShot, examples: list[Example]) -> float:
    generator, learned = np.random.default_rng(0), dict[int, Concept]()
    intersection = union = 0
    for _ in range(EPISODES):
        query, support = generator.choice(len(examples), 2, replace=False)
        if support not in learned:
            learned[support] = few_shot.learn(examples[support])
        truth = read_mask(examples[query].mask, label=examples[query].label)
        found = few_shot.segment(examples[query].picture, learned[support]).mask
        intersection += (found & truth).sum()
        union += (found | truth).sum()
    return intersection / union


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    root = parser.parse_args().data
    untrained, *trained = (FewShot(name) for name in ("panet", "panet-lite0", "hsnet-lite0"))
    for name, classes in (("DAVIS", davis(root)), ("CCP", ccp(root))):
        before = np.array([iou(untrained, examples) for examples in classes.values()])
        print(f"{name}, {len(classes)} classes: untrained {before.mean():.3f}", flush=True)
        for model in trained:
            scores = np.array([iou(model, examples) for examples in classes.values()])
            gain = scores - before
            drawn = np.random.default_rng(0).choice(gain, (2000, len(gain))).mean(axis=1)
            low, high = np.percentile(drawn, (2.5, 97.5))
            print(
                f"  {model.model_name} {scores.mean():.3f}, gain {gain.mean():+.3f} [{low:+.3f}, {high:+.3f}]",
                flush=True,
            )


if __name__ == "__main__":
    main()
