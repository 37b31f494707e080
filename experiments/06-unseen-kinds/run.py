"""Does training help, or harm, on things of another kind? The bundled models beside the untrained.

    python experiments/06-unseen-kinds/run.py --data ../shared/data [--shots 5] [--models runs/panet-fold0 runs/hsnet-fold0]
    python experiments/06-unseen-kinds/run.py --data ../shared/data --half runs

Protocol: 1-shot unless told otherwise; 15 episodes for each DAVIS sequence (example and query are two of its frames),
for each garment or body part of CCP that covers over 1% of at least 8 of its first 250 photographs, and for each
class of CamVid's val split that covers as much of 8 of every second image; images at their own size, outlines
along edges as users get them; intersections and unions summed per class, IoU averaged over classes. `panet-lite0` was
trained on none of these, nor were they looked at for any choice of it. Intervals: 95% bootstrap over classes, of the
paired difference to the untrained.

`hsnet-lite0` was trained on DAVIS and CCP, so it is measured on CamVid alone, which was looked at when its weights were
averaged. With `--half`, the recipe hsnet-mixture, of which it is made, is trained on every second sequence and on every
second photograph with every second label, the others laid aside; all are measured on the other sequences, and on the
other labels in the other photographs.
"""

import argparse
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from likewise import Example, FewShot
from likewise.data.scene_benchmarks import camvid_scenes
from likewise.io.masks import read_labels, read_mask
from likewise.predict.concept import Concept
from likewise.train.loop import train
from likewise.train.recipes.load import load_recipe

EPISODES = 15
PHOTOGRAPHS = 250

SEEN = {"hsnet-lite0": ("DAVIS", "CCP")}
"""What bundled models were trained on."""

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


def trained_on_halves(root: Path, runs: Path) -> Path:
    """HSNet by the recipe hsnet-mixture, trained on the even sequences and the even labels of the even photographs."""
    half = runs / "halves"
    shutil.rmtree(half, ignore_errors=True)
    for folder in ("JPEGImages/480p", "Annotations/480p"):
        for sequence in sorted((root / "DAVIS" / folder).iterdir())[::2]:
            shutil.copytree(sequence, half / "DAVIS" / folder / sequence.name)
    for folder in ("photos", "labels"):
        (half / "CCP" / folder).mkdir(parents=True)
    for path in label_files(root)[::2]:
        labels = read_labels(path)
        Image.fromarray(np.where(labels % 2, 0, labels).astype(np.uint8)).save(half / "CCP/labels" / path.name)
        shutil.copy(root / f"CCP/photos/{path.stem}.jpg", half / "CCP/photos")
    recipe = load_recipe("hsnet-mixture", [f"data.root={root}", f"cache={runs / 'features-halves'}"])
    sources = tuple(
        source.model_copy(update={"folder": (half / source.folder).resolve()})
        if source.set in ("davis", "label_folders")
        else source
        for source in recipe.data.sources
    )
    data = recipe.data.model_copy(update={"sources": sources})
    return train(recipe.model_copy(update={"data": data}), runs / "hsnet-half")


def other_halves(root: Path) -> dict[str, Classes]:
    sequences = davis(root)
    garments = ccp(root, label_files(root)[1::2][:PHOTOGRAPHS])
    return {
        "DAVIS": {name: sequences[name] for name in list(sequences)[1::2]},
        "CCP": {name: examples for name, examples in garments.items() if int(name) % 2},
    }


def iou(few_shot: FewShot, examples: list[Example], shots: int) -> float:
    generator, learned = np.random.default_rng(0), dict[tuple[int, ...], Concept]()
    intersection = union = 0
    for _ in range(EPISODES):
        query, *drawn = generator.choice(len(examples), 1 + shots, replace=False)
        support = tuple(drawn)
        if support not in learned:
            learned[support] = few_shot.learn([examples[index] for index in support])
        mask = examples[query].mask
        truth = mask if isinstance(mask, np.ndarray) else read_mask(mask, label=examples[query].label)
        found = few_shot.segment(examples[query].image, learned[support]).mask
        intersection += (found & truth).sum()
        union += (found | truth).sum()
    return intersection / union


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--models", nargs="+", default=["panet-lite0", "hsnet-lite0"], help="beside the untrained")
    parser.add_argument("--half", type=Path, metavar="RUNS", help="train HSNet on halves, into this folder")
    parser.add_argument("--shots", type=int, choices=range(1, 8), default=1, help="a class has eight images or more")
    arguments = parser.parse_args()
    root, runs = arguments.data, arguments.half
    if runs is None:
        measured = {"DAVIS": davis(root), "CCP": ccp(root, label_files(root)[:PHOTOGRAPHS]), "CamVid": camvid(root)}
        names = arguments.models
    else:
        measured = other_halves(root)
        names = ["panet-lite0", str(trained_on_halves(root, runs))]
    untrained, models = FewShot("panet"), {name: FewShot(name) for name in names}
    for name, classes in measured.items():
        trained = [few_shot for model, few_shot in models.items() if name not in SEEN.get(model, ())]
        before = np.array([iou(untrained, examples, arguments.shots) for examples in classes.values()])
        print(f"{name}, {len(classes)} classes: untrained {before.mean():.3f}", flush=True)
        for model in trained:
            scores = np.array([iou(model, examples, arguments.shots) for examples in classes.values()])
            gain = scores - before
            drawn = np.random.default_rng(0).choice(gain, (2000, len(gain))).mean(axis=1)
            low, high = np.percentile(drawn, (2.5, 97.5))
            print(
                f"  {model.model_name} {scores.mean():.3f}, gain {gain.mean():+.3f} [{low:+.3f}, {high:+.3f}]",
                flush=True,
            )


if __name__ == "__main__":
    main()
