"""Large jobs in tests: a small model, photographs with one that is damaged, and what shards hold."""

from pathlib import Path

import numpy as np
from PIL import Image

from likewise import Concept, Example, FewShot
from likewise.jobs.shards.plan import read_plan
from likewise.jobs.shards.storage import Storage
from likewise.jobs.shards.work import read_rows
from support.fakes import noise


def open_small() -> FewShot:
    return FewShot(side=96, presence=0.0)


def learn_cat(few_shot: FewShot) -> Concept:
    mask = np.zeros((60, 80), bool)
    mask[20:50, 20:60] = True
    return few_shot.learn(Example(noise(0), mask=mask, class_name="cat"))


def make_photos(folder: Path, count: int) -> Path:
    """Return a folder with as many files in its folders a and b; b/damaged.jpg is no image."""
    for index in range(count - 1):
        path = folder / ("a" if index % 2 else "b") / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(index)).save(path)
    (folder / "b/damaged.jpg").write_bytes(b"no image")
    return folder


def outputs(out: Path) -> dict[str, bytes]:
    """Return the content of each finished shard."""
    return {path.name: path.read_bytes() for path in (out / "shards").glob("[0-9]*")}


def names_of(out: str | Path) -> list[str]:
    """Return the name of each image as often as it has results."""
    storage = Storage(str(out))
    plan = read_plan(storage)
    return [name for shard in range(plan.shards) for name in {row["name"] for row in read_rows(storage, plan, shard)}]
