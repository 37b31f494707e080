"""Measure the speed of `likewise cosegment` and the memory of its two passes.

    python benchmarks/cosegment.py speed --data DATA/VOC-coseg
    python benchmarks/cosegment.py memory

`speed` runs one group through the code of `likewise cosegment`, saliency maps and mask files included. `memory` prints
the resident memory of the process after each quarter of both passes over a group of small generated images. Accuracy
is measured by `experiments/09-groups-held-out`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image

from likewise.data.groups import cosaliency_groups
from likewise.io.paths import ImageFile, find_images
from likewise.jobs.pipeline import process_images
from likewise.predict.co_saliency import COMMON, CoSaliency

MEGABYTE = 1 << 20


def speed(arguments: argparse.Namespace) -> None:
    """One group through the code of `likewise cosegment`, saliency maps and masks on disk included."""
    torch.set_num_threads(arguments.threads)
    whole = cosaliency_groups(arguments.data)
    files = [whole.image_path(group, name) for group, names in whole.groups.items() for name in names]
    files = files[:: len(files) // arguments.images][: arguments.images]
    images = [ImageFile(path, f"{index}.jpg") for index, path in enumerate(files)]
    rates = []
    for _ in range(arguments.rounds):
        cosaliency = CoSaliency(arguments.model, maps=arguments.maps, device="cpu")  # a new one remembers no maps
        cosaliency.learn(images[:4])
        with tempfile.TemporaryDirectory() as out:
            began = time.perf_counter()
            group = cosaliency.learn(images)
            learned = time.perf_counter()
            report = process_images(
                images,
                lambda pixels, _, cosaliency=cosaliency, group=group: cosaliency.segment(pixels, group),
                out,
                classes=COMMON,
                settings={},
            )
            ended = time.perf_counter()
        assert report.done == len(images)
        rates.append(len(images) / (ended - began))
        print(
            f"{len(images)} images, {arguments.threads} threads: {rates[-1]:.1f} a second "
            f"(first pass {1000 * (learned - began) / len(images):.0f} ms, second "
            f"{1000 * (ended - learned) / len(images):.0f} ms an image)"
        )
    peak = psutil.Process().memory_info().rss / MEGABYTE
    print(f"best of {arguments.rounds}: {max(rates):.1f} images a second; the process holds {peak:.0f} MB")


def memory(arguments: argparse.Namespace) -> None:
    """A group of many small images: what the process holds after each quarter of both passes."""
    generator = np.random.default_rng(0)
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as folder:
        for index in range(arguments.images):
            small = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(small).resize((96, 72)).save(Path(folder) / f"{index}.jpg")
        images = find_images([folder])
        cosaliency = CoSaliency(arguments.model, maps=arguments.maps, device="cpu")

        def report(settled: int, of: int) -> None:
            if settled % (of // 4) == 0:
                print(f"  {settled:5} of {of}: {process.memory_info().rss / MEGABYTE:.0f} MB")

        print("first pass")
        group = cosaliency.learn(images, progress=report)
        numbers = sum(vector.numel() * vector.element_size() for vector in group.vectors.values())
        print(f"the vectors take {numbers / MEGABYTE:.1f} MB, {numbers / len(group) / 1024:.1f} KB an image")
        print("second pass")
        for index, image in enumerate(images):
            cosaliency.segment(image, group)
            report(index + 1, len(images))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for run in (speed, memory):
        command = commands.add_parser(run.__name__)
        command.set_defaults(run=run)
        command.add_argument("--model", default="icnet-lite0")
        command.add_argument("--maps", default="saliency-lite0")
        command.add_argument("--images", type=int, default=100 if run is speed else 1000)
        if run is speed:
            command.add_argument("--data", type=Path, required=True, help="folder with image/<group>/ and gt/<group>/")
            command.add_argument("--threads", type=int, default=2)
            command.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
