"""Training in other processes."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import torch
from lightning_fabric import Fabric

from likewise.train import loop
from likewise.train.recipes.schema import Recipe
from likewise.train.run import Report


def train_and_kill(recipe: Recipe, run: Path, step: int) -> None:
    """Train in a process of its own, and kill it after the given step."""
    # the server imports torch once, and each process forks from it
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["likewise.train.loop"])
    process = context.Process(target=_train_json, args=(recipe.model_dump_json(), str(run)))
    process.start()
    deadline = time.monotonic() + 900
    metrics = run / "metrics.csv"
    while not metrics.is_file() or len(metrics.read_text().splitlines()) <= step:
        assert process.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL


def _train_json(recipe: str, run: str) -> None:
    loop.train(Recipe.model_validate_json(recipe), run)


def train_each(fabric: Fabric, recipe: Recipe, folder: Path, progress: Report | None) -> None:
    """Train in the folders beside `folder` by their recipes, in place of `likewise.train.loop._train`.

    Starting processes takes longer than small runs, so runs share them.
    """
    try:
        for path in sorted(folder.parent.glob("*/recipe.json")):
            with torch.random.fork_rng():
                loop._loop(fabric, Recipe.model_validate_json(path.read_text()), path.parent, progress)
    finally:
        torch.distributed.destroy_process_group()
