"""Seconds to read 10,000 annotations of COCO, and to compute all their masks.

python benchmarks/annotations.py
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import likewise


def write_coco(folder: Path, images: int, annotations: int) -> Path:
    """Write images of 64 x 48 pixels and a file of polygons with 30 corners in images of 640 x 480; return the file."""
    generator = np.random.default_rng(0)
    for index in range(images):
        Image.new("RGB", (64, 48)).save(folder / f"{index:06d}.jpg")
    angles = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    entries = []
    for index in range(annotations):
        ring = generator.uniform((100, 100), (540, 380)) + generator.uniform(10, 90) * circle
        entries.append({"id": index, "image_id": index % images, "category_id": index % 80,
                        "segmentation": [ring.ravel().round(2).tolist()], "iscrowd": 0})  # fmt: skip
    named = [{"id": index, "file_name": f"{index:06d}.jpg", "height": 480, "width": 640} for index in range(images)]
    categories = [{"id": index, "name": f"class {index}"} for index in range(80)]
    path = folder / "instances.json"
    path.write_text(json.dumps({"images": named, "annotations": entries, "categories": categories}))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = write_coco(Path(folder), options.annotations // 4, options.annotations)
        seconds = []
        for _ in range(options.rounds):
            start = time.perf_counter(), time.process_time()
            dataset = likewise.read_annotations(path)
            seconds.append((time.perf_counter() - start[0], time.process_time() - start[1]))
        taken, computed = np.median(seconds, axis=0)
        print(
            f"reading {options.annotations} annotations: {taken:.2f} s, {computed:.2f} s of processor time, "
            f"medians of {options.rounds}"
        )
        begun = time.process_time()
        for image in dataset.images:
            for one in image.objects:
                image.mask_of(one)
        print(f"all their masks: {time.process_time() - begun:.2f} s of processor time")


if __name__ == "__main__":
    main()
