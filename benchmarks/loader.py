"""Measure how many episodes one worker reads during one training step.

    python benchmarks/loader.py [--images 60] [--rounds 5]

Images are crops of scikit-image's photographs, in JPEG files of PASCAL VOC's usual size with PNG masks. The step is
that of `panet-voc-small`. Loader and step take turns; printed is the median ratio of their rates. With a ratio of 3 one
worker suffices for larger images too.
"""

import argparse
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data

from likewise.io.class_lists import PASCAL
from likewise.train.recipes.load import load_recipe
from likewise.train.recipes.schema import Recipe
from likewise.train.samples.episodes import Batch
from likewise.train.samples.training_data import Progress, loader
from likewise.train.tasks.task import TASKS, TrainingModule

HEIGHT, WIDTH = 375, 500


def pascal_of_photographs(root: Path, images: int) -> Path:
    """PASCAL VOC's layout without lists: each image shows one of the base classes of fold 0, as an ellipse."""
    sources = [data.astronaut(), data.coffee(), data.rocket(), data.stereo_motorcycle()[0]]
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    for folder in ("JPEGImages", "SegmentationClassAug"):
        (root / "VOC2012" / folder).mkdir(parents=True)
    for index in range(images):
        generator = np.random.default_rng(index)
        source = sources[index % len(sources)]
        top, left = (
            generator.integers(0, have - want + 1) for have, want in zip(source.shape[:2], (HEIGHT, WIDTH), strict=True)
        )
        centre, radius = generator.uniform(0.3, 0.7, 2), generator.uniform(0.15, 0.3)
        inside = ((rows / HEIGHT - centre[0]) ** 2 + (columns / WIDTH - centre[1]) ** 2) < radius**2
        label = 6 + index % (len(PASCAL) - 5)
        name = f"2007_{index:06d}"
        crop = Image.fromarray(source[top : top + HEIGHT, left : left + WIDTH])
        crop.save(root / "VOC2012/JPEGImages" / f"{name}.jpg", quality=90)
        Image.fromarray((inside * label).astype(np.uint8)).save(root / "VOC2012/SegmentationClassAug" / f"{name}.png")
    return root


def episodes_per_second_of_loader(recipe: Recipe, steps: int) -> float:
    """Of one worker that runs already; what it has read ahead by then is not counted."""
    episodes = TASKS[recipe.model.name].data(recipe)
    batches = iter(loader(episodes, recipe.batch, range(steps + 4), slice(None), workers=1))
    list(islice(batches, 4))
    began = time.perf_counter()
    list(batches)
    return steps * recipe.batch / (time.perf_counter() - began)


def read_batches(recipe: Recipe, steps: int) -> list[Batch]:
    episodes = TASKS[recipe.model.name].data(recipe)
    return list(loader(episodes, recipe.batch, range(steps), slice(None), workers=0))


def episodes_per_second_of_step(objective: TrainingModule, batches: list[Batch]) -> float:
    """Forward and backward; the first batch is for warming up."""
    objective.train()
    for index, batch in enumerate(batches):
        if index == 1:
            began = time.perf_counter()
        torch.stack(list(objective(batch, Progress(0, 1)).values())).sum().backward()
        objective.zero_grad()
    return sum(len(batch.queries) for batch in batches[1:]) / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = pascal_of_photographs(Path(folder) / "voc", arguments.images)
        recipe = load_recipe("panet-voc-small", [f"data.root={root}"])
        batches, objective = read_batches(recipe, 5), TrainingModule(recipe, ())
        episodes_per_second_of_step(objective, batches)
        rates = [
            (episodes_per_second_of_loader(recipe, 12), episodes_per_second_of_step(objective, batches))
            for _ in range(arguments.rounds)
        ]
    ratio = statistics.median(read / used for read, used in rates)
    read, used = (statistics.median(rate) for rate in zip(*rates, strict=True))
    print(f"one worker reads {read:.1f} episodes/s, the step takes {used:.1f}: ratio {ratio:.1f}")


if __name__ == "__main__":
    main()
