"""Score models on kinds of objects outside PASCAL VOC, against PANet without training.

    python experiments/06-unseen-kinds/run.py --data DATA [--shots 5] [--models panet-lite0 runs/panet-fold0]

15 episodes a class. Classes: each DAVIS sequence (examples and query are frames of it); each garment or body part of
CCP that covers over 1% of at least 8 of its first 250 photographs; each class of CamVid's val split that covers over 1%
of at least 8 of every second image. Images at their own size, edges refined; intersections and unions summed per class,
IoU averaged over classes. The saliency map sees no example. Intervals: 95% bootstrap over classes of the paired gain
over the untrained model.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from likewise import Example, FewShot, Saliency
from likewise.data.scene_benchmarks import camvid_scenes
from likewise.io.masks import read_labels, read_mask
from likewise.predict.concept import Concept
from likewise.weights import DEFAULT_MODEL, DEFAULT_SALIENCY

EPISODES = 15
"""Episodes of a class."""
PHOTOGRAPHS = 250
"""Photographs of CCP from which classes are taken."""

Classes = dict[str, list[Example]]


def davis(root: Path) -> Classes:
    folders = sorted((root / "DAVIS/JPEGImages/480p").iterdir())
    return {
        folder.name: [
            Example(frame, mask=root / f"DAVIS/Annotations/480p/{folder.name}/{frame.stem}.png")
            for frame in sorted(folder.glob("*.jpg"))
        ]
        for folder in folders
    }


def ccp(root: Path, labels: list[Path]) -> Classes:
    found = defaultdict(list)
    for path in labels:
        counts = np.bincount(read_labels(path).ravel(), minlength=59)
        for label in np.flatnonzero(counts > 0.01 * counts.sum()):
            if label:
                image = root / f"CCP/photos/{path.stem}.jpg"
                found[f"{label:02d}"].append(Example(image, mask=path, label=int(label)))
    return {name: examples for name, examples in sorted(found.items()) if len(examples) >= 8}


def camvid(root: Path) -> Classes:
    scenes = camvid_scenes(root, "val")
    found = defaultdict(list)
    for scene in scenes.scenes[::2]:
        labels = scenes.read_labels(scene.labels)
        for index, name in enumerate(scenes.classes):
            mask = labels == index
            if mask.mean() > 0.01:
                found[name].append(Example(scene.image, mask=mask))
    return {name: examples for name, examples in found.items() if len(examples) >= 8}


def label_files(root: Path) -> list[Path]:
    return sorted((root / "CCP/labels").glob("*.png"))


def iou_of_class(model: FewShot | Saliency, examples: list[Example], shots: int) -> float:
    generator, learned = np.random.default_rng(0), dict[tuple[int, ...], Concept]()
    intersection = union = 0
    for _ in range(EPISODES):
        query, *drawn = generator.choice(len(examples), 1 + shots, replace=False)
        support = tuple(drawn)
        if isinstance(model, FewShot) and support not in learned:
            learned[support] = model.learn([examples[index] for index in support])
        mask = examples[query].mask
        truth = mask if isinstance(mask, np.ndarray) else read_mask(mask, label=examples[query].label)
        image = examples[query].image
        found = (model.segment(image, learned[support]) if isinstance(model, FewShot) else model.segment(image)).mask
        intersection += (found & truth).sum()
        union += (found | truth).sum()
    return intersection / union


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--models", nargs="+", default=["panet-lite0", DEFAULT_MODEL])
    parser.add_argument("--shots", type=int, choices=range(1, 8), default=1, help="fewer than the 8 images of a class")
    arguments = parser.parse_args()
    root = arguments.data
    data_sets = {"DAVIS": davis(root), "CCP": ccp(root, label_files(root)[:PHOTOGRAPHS]), "CamVid": camvid(root)}
    untrained = FewShot("panet")
    models = {**{name: FewShot(name) for name in arguments.models}, DEFAULT_SALIENCY: Saliency()}
    for name, classes in data_sets.items():
        before = np.array([iou_of_class(untrained, examples, arguments.shots) for examples in classes.values()])
        print(f"{name}, {len(classes)} classes: untrained {before.mean():.3f}", flush=True)
        for own, model in models.items():
            scores = np.array([iou_of_class(model, examples, arguments.shots) for examples in classes.values()])
            gain = scores - before
            drawn = np.random.default_rng(0).choice(gain, (2000, len(gain))).mean(axis=1)
            low, high = np.percentile(drawn, (2.5, 97.5))
            print(
                f"  {own} {scores.mean():.3f}, gain {gain.mean():+.3f} [{low:+.3f}, {high:+.3f}]",
                flush=True,
            )


if __name__ == "__main__":
    main()
