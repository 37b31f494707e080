"""Measure `likewise segment` on a folder of photographs with both engines, in turns in one process.

    python benchmarks/engines.py --photos FOLDER [--images 500]

The photographs are repeated until there are enough. Each turn segments the next part of them by one example through the
code of `likewise segment`, edges and writing included, with the default model; the engines change places every turn.
Printed are images per second over all turns and the ratio.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from likewise import Example, FewShot, segment_folder
from likewise.io.images import read_image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of JPEG files")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--turns", type=int, default=10)
    arguments = parser.parse_args()
    photos = sorted(arguments.photos.glob("*.jpg"))
    engines = {name: FewShot(engine=name, device="cpu") for name in ("onnx", "torch")}
    image = read_image(photos[0])
    mask = np.zeros(image.shape[:2], bool)
    mask[100:250, 150:350] = True
    concept = engines["onnx"].learn(Example(image, mask=mask))
    with tempfile.TemporaryDirectory() as folder:
        parts = [Path(folder) / f"{turn}" for turn in range(arguments.turns)]
        for index, photo in enumerate(islice(cycle(photos), arguments.images)):
            part = parts[index % len(parts)]
            part.mkdir(exist_ok=True)
            shutil.copyfile(photo, part / f"{index}.jpg")
        seconds, processor = dict.fromkeys(engines, 0.0), dict.fromkeys(engines, 0.0)
        for turn, part in enumerate(parts):
            for name in list(engines)[:: 1 if turn % 2 else -1]:
                start, busy = time.perf_counter(), time.process_time()
                report = segment_folder(part, concept, f"{part}-{name}", few_shot=engines[name])
                seconds[name] += time.perf_counter() - start
                processor[name] += time.process_time() - busy
                assert not report.failed
    for name, own in seconds.items():
        rate, each = arguments.images / own, 1000 * processor[name] / arguments.images
        print(f"{name:6} {rate:6.2f} images/s  {each:6.0f} ms of processor time an image")
    ratio, busy_ratio = seconds["torch"] / seconds["onnx"], processor["torch"] / processor["onnx"]
    print(f"ONNX Runtime over torch: {ratio:.2f} in wall time, {busy_ratio:.2f} in processor time")


if __name__ == "__main__":
    main()
