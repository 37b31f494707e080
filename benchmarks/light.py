"""Measure what a user waits for without torch, and both engines on one image with one thread.

    python benchmarks/light.py [start] [image]

start: the median time of fresh processes from start to exit, files cached, on the clock and of the processor:
`likewise models`, `likewise segment` of one photograph by one example, and `FewShot()`, with the memory of the last. On
a busy machine read the processor's. image: an image in, its mask out, outlines
refined, for each bundled model; the engines take turns in one process, on one processor; printed are the medians of
processor time and of the ratio. The photographs are scikit-image's. Linux only.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

READY = "import resource; from likewise import FewShot; FewShot(); print(resource.getrusage(0).ru_maxrss)"
SIZES = ((375, 500), (480, 640))
"""Heights and widths, in pixels, of the images of `image`."""
SETTINGS = (
    ("panet-lite0", "fast"),
    ("panet-lite0", "balanced"),
    ("prototypes-lite0", "fast"),
    ("prototypes-lite0", "balanced"),
    ("hsnet-lite0", "fast"),
)
"""Model and quality."""


def scene(height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a photograph, moved by `seed` pixels, and the mask of its middle."""
    photograph = np.roll(data.astronaut(), 7 * seed, axis=1)
    image = np.asarray(Image.fromarray(photograph).resize((width, height), Image.Resampling.BILINEAR))
    mask = np.zeros((height, width), bool)
    mask[height // 5 : 3 * height // 5, width // 4 : 3 * width // 4] = True
    return image, mask


def measure_start(turns: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        image, mask = scene(480, 640, 0)
        Image.fromarray(image).save(Path(folder) / "cat.jpg")
        Image.fromarray(mask).save(Path(folder) / "cat.png")
        Image.fromarray(scene(480, 640, 5)[0]).save(Path(folder) / "one.jpg")
        likewise = [sys.executable, "-m", "likewise"]
        commands = {
            "likewise models": [*likewise, "models"],
            "likewise segment one.jpg": [*likewise, "segment", "one.jpg", "--like", "cat.jpg=cat.png", "-o", "out"],
            "FewShot()": [sys.executable, "-c", READY],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        busy: dict[str, list[float]] = {name: [] for name in commands}
        memory = 0
        for turn in range(turns + 1):
            for name, command in commands.items():
                begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
                done = subprocess.run([*command, *(["--force"] if "out" in command else [])], cwd=folder, check=True,
                                      capture_output=True, text=True)  # fmt: skip
                if turn:  # the first reads files from the disk
                    seconds[name].append(time.perf_counter() - begin)
                    after = resource.getrusage(resource.RUSAGE_CHILDREN)
                    busy[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
                if command[-1] == READY:
                    memory = int(done.stdout)
    for name, own in seconds.items():
        spent = f"{statistics.median(busy[name]):.2f} s of processor time"
        print(f"{name:26} median {statistics.median(own):.2f} s, least {min(own):.2f} s; {spent}")
    print(f"memory of the process after FewShot(): {memory / 1000:.0f} MB at most")


def measure_image(turns: int) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import torch

    from likewise import Example, FewShot

    torch.set_num_threads(1)
    for model, quality in SETTINGS:
        engines = [FewShot(model, engine=engine, device="cpu", quality=quality) for engine in ("torch", "onnx")]
        for height, width in SIZES:
            image, mask = scene(height, width, 0)
            concept = engines[0].learn(Example(image, mask=mask))
            segmenters = [few_shot.prepare(concept) for few_shot in engines]
            times = []
            for turn in range(turns + 2):
                query, _ = scene(height, width, turn)
                spent = []
                for segment in segmenters:
                    begin = time.process_time()
                    segment(query).mask  # noqa: B018
                    spent.append(1000 * (time.process_time() - begin))
                times.append(spent)
            own = times[2:]  # the first passes are slow
            by_torch, by_onnx = (statistics.median(each) for each in zip(*own, strict=True))
            ratio = statistics.median(first / second for first, second in own)
            print(
                f"{model:17} {quality:9} {width}x{height}: torch {by_torch:6.1f} ms, ONNX Runtime {by_onnx:6.1f} ms, "
                f"ratio {ratio:.2f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="start, image [both]")
    parser.add_argument("--turns", type=int, default=15)
    arguments = parser.parse_args()
    for part in arguments.parts or ("start", "image"):
        {"start": measure_start, "image": measure_image}[part](arguments.turns)


if __name__ == "__main__":
    main()
