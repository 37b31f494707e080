"""Time and memory of photographs of phones, against another checkout in turns.

    python benchmarks/photos.py [--before PATH] [--images 200]

Photographs of 4000x3000 pixels are made from scikit-image's by enlarging them and adding noise, and stored as JPEG of
quality 90. Every measurement is a process of its own, with one thread for numpy; those of both checkouts take turns.
Printed are the medians of

- processor time of one photograph and of one image of 500x375 pixels by `Segmenter`, read from a file;
- the largest memory of that process above the memory that it has before, with the model loaded and used once;
- photographs per second, processor time and the largest memory of `segment_folder` over a folder on all cores, reading
  and writing included;
- whether the masks of small images are equal.

With --sizes the table of docs/large-images.md is printed instead: time and memory by image size.
"""

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

PHOTO, SMALL = (4000, 3000), (500, 375)
ROUNDS = 5
SIZES = (SMALL, (1200, 900), PHOTO, (8000, 6000), (12_000, 9000), (10_000, 10_000), (20_000, 20_000))


def enlarged(index: int, size: tuple[int, int]) -> Image.Image:
    """A photograph enlarged to (width, height), with noise."""
    sources = [data.astronaut(), data.coffee(), data.rocket(), data.stereo_motorcycle()[0]]
    image = Image.fromarray(sources[index % len(sources)]).resize(size, Image.Resampling.BICUBIC)
    noise = np.random.default_rng(index).normal(0, 6, (size[1], size[0], 1)).astype(np.int16)
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def peak_above(work: object) -> float:
    """Largest memory of this process in MB during a call, above that before; sampled every 2 ms."""
    import psutil

    process, ended, most = psutil.Process(), threading.Event(), 0
    before = process.memory_info().rss

    def watch() -> None:
        nonlocal most
        while not ended.wait(0.002):
            most = max(most, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()  # type: ignore[operator]
    ended.set()
    watcher.join()
    return (most - before) / 1e6


def prepared(model: str, folder: Path):  # type: ignore[no-untyped-def]
    """A few-shot model, and a concept of the first small image, with presence and its mask."""
    from likewise import Example, FewShot

    few_shot = FewShot(model, quality="fast", presence=0)
    mask = np.zeros(SMALL[::-1], bool)
    mask[100:280, 120:330] = True
    return few_shot, few_shot.learn(Example(folder / "small" / "0.jpg", mask=mask))


def measure_one(model: str, folder: Path, path: Path) -> dict[str, object]:
    """Time and memory of one image by `Segmenter`."""
    few_shot, concept = prepared(model, folder)
    segmenter = few_shot.prepare(concept)
    segmenter(folder / "small" / "1.jpg")
    memory = peak_above(lambda: segmenter(path))
    times = []
    for _ in range(10 if path.parent.name == "small" else 3):
        start = time.process_time()
        result = segmenter(path)
        times.append(time.process_time() - start)
    digest = hashlib.sha256(np.ascontiguousarray(result.mask).tobytes()).hexdigest()
    return {"seconds": statistics.median(times), "memory": memory, "digest": digest}


def measure_folder(model: str, folder: Path) -> dict[str, object]:
    """Rate and memory of a folder."""
    from likewise.jobs.segment import segment_folder

    few_shot, concept = prepared(model, folder)
    few_shot.segment(folder / "small" / "1.jpg", concept)
    with tempfile.TemporaryDirectory() as out:
        reports, start = [], time.process_time()
        memory = peak_above(lambda: reports.append(segment_folder(folder / "photos", concept, out, few_shot=few_shot)))
    assert not reports[0].failed
    return {"rate": reports[0].done / reports[0].seconds, "memory": memory, "seconds": time.process_time() - start}


def run(checkout: Path, *arguments: str, threads: str = "1") -> dict[str, float]:
    """What a measurement prints, in a process that uses the sources of a checkout."""
    environment = os.environ | {"PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": threads}
    command = [sys.executable, __file__, "--measure", *arguments]
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def write_mosaic(path: Path, side: int) -> None:
    """A tiled TIFF of `side` x `side` pixels, in which a photograph with noise repeats."""
    import tifffile

    tile = np.asarray(enlarged(0, (2048, 2048)))
    tiles = [
        [tile[row : row + 256, column : column + 256] for column in range(0, 2048, 256)] for row in range(0, 2048, 256)
    ]
    count = -(-side // 256)
    tifffile.imwrite(
        path, (tiles[row % 8][column % 8] for row in range(count) for column in range(count)), shape=(side, side, 3),
        dtype=np.uint8, tile=(256, 256), compression="zlib", photometric="rgb", bigtiff=True,
    )  # fmt: skip


def print_sizes(model: str) -> None:
    """Print time and memory of `segment_folder` by image size."""
    checkout = Path(__file__).parents[1]
    print("| Image | File | Processor time, s | Memory above the idle process, MB |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "small").mkdir()
        for index in range(2):
            enlarged(index, SMALL).save(folder / "small" / f"{index}.jpg", quality=90)
        for size in SIZES:
            (folder / "photos").mkdir()
            kind = "tiled TIFF, in windows" if size[0] == size[1] else "JPEG"
            if kind == "JPEG":
                enlarged(1, size).save(folder / "photos" / "x.jpg", quality=90)
            else:
                write_mosaic(folder / "photos" / "x.tif", size[0])
            own = run(checkout, model, str(folder), "-")
            shutil.rmtree(folder / "photos")
            name = f"{size[0]}x{size[1]} ({size[0] * size[1] / 1e6:.1f} megapixels)"
            print(f"| {name} | {kind} | {own['seconds']:.2f} | {own['memory']:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="another checkout")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--model", default="panet-lite0")
    parser.add_argument("--sizes", action="store_true", help="print the table by image size")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.sizes:
        print_sizes(arguments.model)
        return
    if arguments.measure:
        model, folder, path = arguments.measure
        measured = measure_folder(model, Path(folder)) if path == "-" else measure_one(model, Path(folder), Path(path))
        print(json.dumps(measured))
        return
    checkouts = {"now": Path(__file__).parents[1]} | ({"before": arguments.before} if arguments.before else {})
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, size in (("photos", PHOTO), ("small", SMALL)):
            (folder / name).mkdir()
            for index in range(4):
                enlarged(index, size).save(folder / name / f"{index}.jpg", quality=90)
        for kind, name in (("12 megapixels", "photos"), ("500x375", "small")):
            found: dict[str, list[dict[str, float]]] = {each: [] for each in checkouts}
            for index in range(ROUNDS):
                for each, checkout in checkouts.items():
                    path = folder / name / f"{1 + index % 3}.jpg"
                    found[each].append(run(checkout, arguments.model, str(folder), str(path)))
            for each, own in found.items():
                seconds, memory = (statistics.median(one[key] for one in own) for key in ("seconds", "memory"))
                print(f"{kind}, {each}: {seconds:.3f} s of processor time, {memory:.0f} MB above the idle process")
            if "before" in found:
                pairs = list(zip(found["before"], found["now"], strict=True))
                times = statistics.median(one["seconds"] / other["seconds"] for one, other in pairs)
                equal = sum(one["digest"] == other["digest"] for one, other in pairs)
                print(f"{kind}: {times:.2f} times the speed of the other, {equal} of {len(pairs)} masks equal")
        for index in range(4, arguments.images):
            (folder / "photos" / f"{index}.jpg").hardlink_to(folder / "photos" / f"{index % 4}.jpg")
        for each, checkout in checkouts.items():
            own = run(checkout, arguments.model, str(folder), "-", threads=str(os.cpu_count()))
            each_image = own["seconds"] / arguments.images
            print(
                f"folder of {arguments.images}, {each}: {own['rate']:.1f} images a second, {each_image:.3f} s of "
                f"processor time an image, {own['memory']:.0f} MB"
            )


if __name__ == "__main__":
    main()
