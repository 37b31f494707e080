"""Measure the memory of `likewise jobs work` over many small images: it must not grow with their number.

    python benchmarks/jobs_memory.py FOLDER [--images 100000] [--engine here] [--size 64]

FOLDER keeps the images, the job and memory-ENGINE.csv, which has a row for each finished thousand: images, seconds of
this run, and resident memory in MB of the processes of the job, now and at most since the row before. An interrupted
run resumes and appends. The model sees images at their own size, so that 100,000 take half an hour on one quiet core; a
larger --size costs time and memory for each image, not for their number.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from likewise import Example, FewShot
from likewise.jobs.shards.plan import plan_job

SHARD = 1000


def make_images(folder: Path, count: int, size: int) -> None:
    """Write smooth random JPEGs, a thousand in a folder; those that are there stay."""
    for index in range(count):
        path = folder / f"{index // SHARD:04d}/{index:07d}.jpg"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        small = np.random.default_rng(index).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(small).resize((size, size * 3 // 4), Image.Resampling.BICUBIC).save(path)


def resident(process: psutil.Process) -> float:
    """Return MB of a process and its children."""
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 1e6


def measure(command: list[str], out: Path) -> Iterator[tuple[int, float, float, float]]:
    """Run a job; yield a row of memory.csv when the number of its finished shards changes."""
    start, peak, last = time.monotonic(), 0.0, -1
    process = psutil.Popen(command)
    while True:
        try:
            now = resident(process)
        except psutil.NoSuchProcess:
            now = 0.0
        peak = max(peak, now)
        ended = process.poll() is not None
        done = len(list((out / "shards").glob("[0-9]*.parquet"))) if (out / "shards").exists() else 0
        if done != last and now:
            yield done * SHARD, time.monotonic() - start, now, peak
            last, peak = done, 0.0
        if ended:
            break
        time.sleep(0.5)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}; run again to resume")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--engine", default="here")
    parser.add_argument("--size", type=int, default=64, help="width in pixels, and side of the model")
    given = parser.parse_args()
    photos, out = given.folder / "photos", given.folder / f"job-{given.engine}"
    make_images(photos, given.images, given.size)
    few_shot = FewShot(side=given.size)
    mask = np.zeros((given.size * 3 // 4, given.size), bool)
    mask[mask.shape[0] // 4 : -mask.shape[0] // 4, given.size // 4 : -given.size // 4] = True
    concept = few_shot.learn(Example(photos / "0000/0000000.jpg", mask=mask))
    plan_job(str(photos), concept, str(out), few_shot=few_shot, size=SHARD)
    command = [sys.executable, "-m", "likewise", "jobs", "work", str(out), "--engine", given.engine]
    record = given.folder / f"memory-{given.engine}.csv"
    fresh = not record.exists()
    with record.open("a", newline="") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(["images", "seconds", "mb", "mb at most"])
        for images, seconds, now, peak in measure(command, out):
            writer.writerow([images, f"{seconds:.0f}", f"{now:.0f}", f"{peak:.0f}"])
            file.flush()
    rows = [(int(row["images"]), float(row["mb at most"])) for row in csv.DictReader(record.open())]
    edges = (given.images // 10, given.images - given.images // 10)
    for name, own in (
        ("first", [mb for images, mb in rows if SHARD < images <= edges[0]]),
        ("last", [mb for images, mb in rows if images > edges[1]]),
    ):
        if own:
            print(f"{name} tenth: {min(own):.0f} to {max(own):.0f} MB at most in each thousand")


if __name__ == "__main__":
    main()
