"""Few labels or many: a concept of all CamVid classes against MCIBI on the same task.

    python experiments/24-learning-curve/bridge.py --data DATA [--images 5 10 20 50 100] [--out bridge.json]
    python experiments/24-learning-curve/bridge.py --data DATA --train 400 [--images 10 20 50] [--out trained.json]

The concept learns all 11 classes from some training images, each class from every image that shows it, and labels
`--queries` images of the test split, evenly spaced. mIoU over the classes as in `results/06-scene-parsing.json`, where
MCIBI learns from all 367 training images. Edges are not refined. `--train` gives the images of the first draw to
`likewise train mcibi` instead, with this number of steps (the recipe has 800) and no image kept for validation.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from likewise import Example, FewShot, SceneParser
from likewise.data.class_names import CAMVID
from likewise.errors import warnings_about
from likewise.io.masks import read_labels
from likewise.metrics.confusion import confusion, intersection_and_union

VOID = len(CAMVID)
SMALLEST = 256
"""Pixels from which an image is an example of a class."""


def labelled(data: Path, split: str) -> list[tuple[Path, Path]]:
    home = data / "CamVid"
    return [(image, home / f"{split}annot/{image.stem}.png") for image in sorted((home / split).iterdir())]


def learn(few_shot: FewShot, pairs: list[tuple[Path, Path]]):
    """Return the concept of all classes that the images show."""
    examples = []
    for image, path in pairs:
        labels = read_labels(path)
        for index, name in enumerate(CAMVID):
            if (labels == index).sum() >= SMALLEST:
                mask, void = labels == index, labels == VOID
                examples.append(Example(image, mask=mask, ignore=void if void.any() else None, class_name=name))
    with warnings_about("an example"):
        return few_shot.learn(examples)


def miou(few_shot: FewShot, concept, queries: list[tuple[Path, Path]]) -> float:
    """Return the mIoU over all classes; pixels that no class claims are wrong."""
    segmenter, sums = few_shot.prepare(concept), np.zeros((2, VOID + 1))
    of_label = np.array([VOID, *(CAMVID.index(name) for name in concept.classes)])
    for image, path in queries:
        truth = read_labels(path)
        found = of_label[segmenter(image).labels]
        target = np.where(truth == VOID, 255, truth).astype(np.uint8)
        sums += np.stack(intersection_and_union(confusion(found.astype(np.uint8), target, VOID + 1)))
    return float((sums[0] / np.maximum(sums[1], 1))[:VOID].mean())


def train(pairs: list[tuple[Path, Path]], folder: Path, steps: int) -> SceneParser:
    """Return MCIBI trained on the images, in a new folder."""
    from likewise.train.loop import train as run_training
    from likewise.train.recipes.load import load_recipe

    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for image, path in pairs:
        shutil.copy(image, folder / "images")
        labels = read_labels(path)
        Image.fromarray(np.where(labels == VOID, 255, labels).astype(np.uint8)).save(folder / "labels" / path.name)
    classes = f"data.classes=[{','.join(CAMVID)}]"
    overrides = [f"data.root={folder}", classes, "data.keep_every=null", f"steps={steps}"]
    return SceneParser(run_training(load_recipe("mcibi", overrides), folder / "run"))


def parsed_miou(parser: SceneParser, queries: list[tuple[Path, Path]]) -> float:
    """Return the mIoU over all classes."""
    sums = np.zeros((2, VOID))
    for image, path in queries:
        truth = read_labels(path)
        target = np.where(truth == VOID, 255, truth).astype(np.uint8)
        sums += np.stack(intersection_and_union(confusion(parser.parse(image).labels, target, VOID)))
    return float((sums[0] / np.maximum(sums[1], 1)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, nargs="+", default=[5, 10, 20, 50, 100])
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument(
        "--train", type=int, metavar="STEPS", help="train MCIBI instead, once for each number of images"
    )
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    training, test = labelled(given.data, "train"), labelled(given.data, "test")
    queries = test[:: max(1, len(test) // given.queries)]
    result: dict[str, list[float]] = {}
    for count in given.images:
        for draw in range(1 if given.train else given.draws):
            chosen = [training[index] for index in np.random.default_rng(draw).permutation(len(training))[:count]]
            if given.train:
                with tempfile.TemporaryDirectory() as folder:
                    score = parsed_miou(train(chosen, Path(folder) / "data", given.train), queries)
            else:
                few_shot = FewShot(edges=False)
                score = miou(few_shot, learn(few_shot, chosen), queries)
            result.setdefault(str(count), []).append(round(score, 4))
            print(count, draw, result[str(count)][-1], flush=True)
            if given.out:
                given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
