"""Measure how much faster features and training steps are when frozen layers are read from the cache.

    python benchmarks/feature_cache.py [--rounds 9]

Both sides process the same episodes, in turns in one process: PANet as `panet-voc-small` trains it (stages 4 and 5 of
the backbone learn), and HSNet at 224x224 with a frozen backbone. The cache is warm.
Printed: the median ratio of times. Losses must agree to the half precision in which features are kept.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from loader import pascal_of_photographs, read_batches

from likewise.train.recipes.load import load_recipe
from likewise.train.recipes.schema import Recipe
from likewise.train.samples.episodes import Batch
from likewise.train.samples.training_data import Progress
from likewise.train.tasks.task import TrainingModule

HSNET = {"name": "hsnet", "backbone": "lite0", "first_tap": "blocks.2.0"}


def step(objective: TrainingModule, batch: Batch) -> float:
    loss = torch.stack(list(objective(batch, Progress(0, 1)).values())).sum()
    loss.backward()
    objective.zero_grad()
    return loss.item()


@torch.no_grad()
def frozen_features(objective: TrainingModule, batch: Batch) -> None:
    """What the cache stands in for: the whole backbone, or its layers up to those that learn."""
    backbone = objective.model.backbone
    features = backbone.normalise(torch.cat([batch.supports[:, 0, 0], batch.queries]))
    if objective.section.name == "hsnet":
        backbone(features)
        return
    for part in (backbone.net.conv_stem, backbone.net.bn1, *backbone.net.blocks[:4]):
        features = part(features)


def ratio(one: Callable[[], object], other: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Median of the ratios of their times, and the median milliseconds of each."""
    pairs = []
    for _ in range(rounds):
        times = []
        for work in (one, other):
            began = time.perf_counter()
            work()
            times.append(1000 * (time.perf_counter() - began))
        pairs.append(times)
    return (
        statistics.median(first / second for first, second in pairs),
        statistics.median(first for first, _ in pairs),
        statistics.median(second for _, second in pairs),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = pascal_of_photographs(Path(folder) / "voc", images=40)
        panet = load_recipe("panet-voc-small", [f"data.root={root}"])
        hsnet = load_recipe("panet-voc-small", [f"data.root={root}", "data.size=224", "batch=2"])
        hsnet = Recipe.model_validate(hsnet.model_dump() | {"model": HSNET})
        for recipe in (panet, hsnet):
            (batch,) = read_batches(recipe, 1)
            plain = TrainingModule(recipe, ()).train()
            cached = TrainingModule(recipe.model_copy(update={"cache": Path(folder) / "cache"}), ()).train()
            for _ in range(2):
                assert abs(step(plain, batch) - step(cached, batch)) < 0.02
            for what, work in (("frozen features", frozen_features), ("a whole step", step)):
                times, full, read = ratio(partial(work, plain, batch), partial(work, cached, batch), arguments.rounds)
                print(
                    f"{recipe.model.name}, {recipe.batch} episodes: {what} {full:.0f} ms computed, {read:.0f} ms with "
                    f"the cache: {times:.1f} times as quick",
                    flush=True,
                )


if __name__ == "__main__":
    main()
