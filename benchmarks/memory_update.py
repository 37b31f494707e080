"""Measure the speed and memory of the dataset memory's update against the update as the paper writes it.

    python benchmarks/memory_update.py [--threads 2]

Both sides get the same features (2 images, 512 channels, 64x64 positions, not negative), labels (512x512, 150 classes
in irregular regions, some pixels ignored) and filled memory. The plain form resizes the features to the size of the
labels and loops over the classes. They take turns in one process; the speed is the median ratio of times. Memory is
the peak of the resident memory during the first update of a process, minus what was resident before. Both must agree
to 1e-5.
"""

import argparse
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from likewise.io.labels import IGNORE
from likewise.models.blocks.dataset_memory import DatasetMemory

IMAGES, CHANNELS, CLASSES, PLANE, SIDE, MOMENTUM = 2, 512, 150, 64, 512, 0.5
FASTER, SMALLER, DIFFERENCE = 10, 20, 1e-5


def inputs() -> tuple[DatasetMemory, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    memory = DatasetMemory(tuple(map(str, range(CLASSES))), CHANNELS)
    memory.fill(torch.randn(CLASSES, 1, CHANNELS, generator=generator).relu())
    features = torch.randn(IMAGES, CHANNELS, PLANE, PLANE, generator=generator).relu()
    # each pixel has the class of the nearest of 400 points; one point in 20 is ignored
    points = torch.rand(IMAGES, 400, 2, generator=generator) * SIDE
    label_of_point = torch.randint(0, CLASSES, (IMAGES, 400), generator=generator)
    label_of_point[:, :CLASSES] = torch.arange(CLASSES)
    label_of_point[:, ::20] = IGNORE
    steps = torch.arange(SIDE) + 0.5
    labels = torch.empty(IMAGES, SIDE, SIDE, dtype=torch.long)
    for image in range(IMAGES):
        for row, y in enumerate(steps.tolist()):
            pixels = torch.stack([torch.full_like(steps, y), steps], dim=1)
            labels[image, row] = label_of_point[image][torch.cdist(pixels, points[image]).argmin(dim=1)]
    return memory, features, labels


@torch.no_grad()
def plain_update(memory: DatasetMemory, features: torch.Tensor, labels: torch.Tensor, momentum: float) -> None:
    """The paper, line by line, for a memory of one slot whose classes have all been seen."""
    features = F.interpolate(features, size=labels.shape[1:], mode="bilinear", align_corners=False)
    features = features.permute(0, 2, 3, 1)
    for index in labels.unique().tolist():
        if index == IGNORE:
            continue
        pixels = features[labels == index]
        vector = memory.vectors[index, 0]
        weights = 1 - F.cosine_similarity(pixels, vector[None], dim=1)
        new = (pixels * (weights / weights.sum())[:, None]).sum(dim=0)
        memory.vectors[index, 0] = (1 - momentum) * vector + momentum * new


FORMS = {"ours": DatasetMemory.update, "plain": plain_update}


def peak_of(form: str) -> float:
    """Return the MiB that the first update of a process needs beyond its resident memory. Linux only."""
    memory, features, labels = inputs()

    def status(entry: str) -> int:
        found = re.search(rf"{entry}:\s+(\d+) kB", Path("/proc/self/status").read_text())
        assert found is not None
        return int(found[1])

    Path("/proc/self/clear_refs").write_text("5")  # reset the peak
    before = status("VmRSS")
    FORMS[form](memory, features, labels, MOMENTUM)
    return (status("VmHWM") - before) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peak", choices=FORMS, help="print the peak memory of one form alone")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.peak:
        print(peak_of(arguments.peak))
        return
    memory, features, labels = inputs()
    start = memory.vectors.clone()
    found, seconds = {}, {form: [] for form in FORMS}
    for _ in range(arguments.rounds + 1):
        for form, update in FORMS.items():
            memory.vectors.copy_(start)
            began = time.perf_counter()
            update(memory, features, labels, MOMENTUM)
            seconds[form].append(time.perf_counter() - began)
            found[form] = memory.vectors.clone()
    ratios = [plain / ours for ours, plain in zip(seconds["ours"][1:], seconds["plain"][1:], strict=True)]
    faster = statistics.median(ratios)
    difference = (found["ours"] - found["plain"]).abs().max().item()
    peaks = {}
    for form in FORMS:
        command = [sys.executable, __file__, "--peak", form, "--threads", str(arguments.threads)]
        peaks[form] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    smaller = peaks["plain"] / peaks["ours"]
    present = len(labels.unique()) - 1
    print(f"threads {torch.get_num_threads()}, torch {torch.__version__}, {present} of {CLASSES} classes present")
    for form in FORMS:
        milliseconds = 1000 * statistics.median(seconds[form][1:])
        print(f"{form:>5}: {milliseconds:.0f} ms, peak {peaks[form]:.0f} MiB")
    print(f"faster than the plain form: {faster:.1f}x ({min(ratios):.1f}-{max(ratios):.1f}), required {FASTER}x")
    print(f"smaller than the plain form: {smaller:.1f}x, required {SMALLER}x")
    print(f"largest difference of the vectors: {difference:.1e}, allowed {DIFFERENCE:.0e}")
    if faster < FASTER or smaller < SMALLER or difference > DIFFERENCE:
        sys.exit("the update is too slow, too large or inexact")


if __name__ == "__main__":
    main()
