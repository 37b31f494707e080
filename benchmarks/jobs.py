"""Measure `likewise jobs`: images per second of each executor on the same images, one after the other.

    python benchmarks/jobs.py [--images 400] [--size 640]

Starting is part of each figure: a process opens the model in about a second. Parts are two `likewise jobs work --shard`
at the same time. The row of Ray needs the extra `ray`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from likewise import Example, FewShot, segment_folder
from likewise.jobs.shards.executors import run_shards
from likewise.jobs.shards.plan import plan_job


def make_images(folder: Path, count: int, size: int) -> None:
    """Write smooth random JPEGs."""
    folder.mkdir()
    for index in range(count):
        small = np.random.default_rng(index).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(small).resize((size, size * 3 // 4), Image.Resampling.BICUBIC).save(folder / f"{index}.jpg")


def in_parts(out: str) -> None:
    """Run two commands, each on every second shard."""
    command = [sys.executable, "-m", "likewise", "jobs", "work", out, "--shard"]
    for process in [subprocess.Popen([*command, f"{index}/2", "-q"]) for index in range(2)]:
        if process.wait():
            raise SystemExit(f"a part of {out} failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--size", type=int, default=640, help="width in pixels")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        make_images(root / "photos", given.images, given.size)
        few_shot = FewShot()
        mask = np.zeros((given.size * 3 // 4, given.size), bool)
        mask[mask.shape[0] // 4 : -mask.shape[0] // 4, given.size // 4 : -given.size // 4] = True
        concept = few_shot.learn(Example(root / "photos/0.jpg", mask=mask))

        def planned(name: str) -> str:
            plan_job(
                str(root / "photos"), concept, str(root / name), few_shot=few_shot, size=max(1, given.images // 20)
            )
            return str(root / name)

        runs: dict[str, Callable[[], object]] = {
            "likewise segment": lambda: segment_folder(
                str(root / "photos"), concept, root / "folder", few_shot=few_shot, formats=["coco"]
            ),
            "--engine here": lambda: run_shards(planned("here")),
            "--engine processes --workers 2": lambda: run_shards(planned("processes"), engine="processes", workers=2),
            "--shard 0/2 and 1/2": lambda: in_parts(planned("parts")),
        }
        if find_spec("ray"):
            runs["--engine ray --workers 2"] = lambda: run_shards(planned("ray"), engine="ray", workers=2)
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds = time.perf_counter() - start
            print(f"{name:34}{given.images / seconds:8.1f} images/s{seconds:8.1f} s", flush=True)


if __name__ == "__main__":
    main()
