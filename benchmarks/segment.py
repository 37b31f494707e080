"""Measure the speed and memory of segmenting a folder, against PANet as its paper's program runs.

    python benchmarks/segment.py [--images 2000]

Both sides process the same images (320x320 crops of scikit-image's photographs, in JPEG files), in turns in one
process; printed is the median ratio of times. The plain reference treats each image as an episode: it computes the
support's features again, resizes them to the mask's size before pooling, and keeps the default memory layout. Its
logits must equal ours. The default model takes turns with both, with one example and with five. Then one run over all
images through the code of `likewise segment`, with the memory of the process at four points.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import torch
import torch.nn.functional as F
from skimage import data

from likewise.io.images import read_image, save_image
from likewise.jobs.segment import segment_folder
from likewise.predict.examples import Example
from likewise.predict.few_shot import FewShot
from likewise.weights.load import open_model
from likewise.weights.names import FEW_SHOT

SIDE = 320


def crops(count: int) -> list[np.ndarray]:
    """Different 320x320 crops of photographs."""
    sources = [data.astronaut(), data.coffee(), data.rocket(), data.stereo_motorcycle()[0]]
    generator = np.random.default_rng(0)
    made = []
    for index in range(count):
        source = sources[index % len(sources)]
        top, left = (generator.integers(0, length - SIDE + 1) for length in source.shape[:2])
        made.append(source[top : top + SIDE, left : left + SIDE])
    return made


@torch.inference_mode()
def plain(network: torch.nn.Module, support: torch.Tensor, mask: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """PANet's paper, line by line."""
    features = F.interpolate(network.features(support), size=mask.shape[-2:], mode="bilinear", align_corners=False)
    prototypes = [(features * m).sum((2, 3)) / (m.sum((2, 3)) + 1e-5) for m in (1 - mask, mask)]
    found = network.features(query)
    logits = [20 * F.cosine_similarity(found, prototype[..., None, None], dim=1) for prototype in prototypes]
    return F.interpolate(torch.stack(logits, dim=1), size=mask.shape[-2:], mode="bilinear", align_corners=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    few_shot = FewShot("panet-lite0", device="cpu", quality="fast")
    exact = FewShot("panet-lite0", device="cpu", quality="fast", edges=False)
    reference = open_model("panet-lite0", FEW_SHOT).network.eval()
    images = crops(40)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[80:240, 80:240] = True
    concept = few_shot.learn(Example(images[0], mask=mask))
    default = FewShot(device="cpu")
    learned = {shots: default.learn([Example(image, mask=mask) for image in images[:shots]]) for shots in (1, 5)}

    def tensor(image: np.ndarray) -> torch.Tensor:
        return reference.backbone.normalise(torch.from_numpy(image.copy())[None]).contiguous()

    weights = torch.from_numpy(mask)[None, None].float()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / "photos" / f"{index}.jpg" for index in range(arguments.images)]
        for index, path in enumerate(paths):
            save_image(images[index % len(images)], path)
        support = tensor(images[0])
        ratios, ours, theirs = [], [], []
        times_by_default: dict[int, list[float]] = {shots: [] for shots in learned}
        for _ in range(arguments.rounds):
            started = time.perf_counter()
            for path in paths[:8]:
                few_shot.segment(path, concept)
            between = time.perf_counter()
            for path in paths[:8]:
                plain(reference, support, weights, tensor(read_image(path))).softmax(dim=1)
            ended = time.perf_counter()
            ours.append((between - started) / 8)
            theirs.append((ended - between) / 8)
            ratios.append(theirs[-1] / ours[-1])
            for shots, taken in times_by_default.items():
                started = time.perf_counter()
                for path in paths[:8]:
                    default.segment(path, learned[shots])
                taken.append((time.perf_counter() - started) / 8)
        probability = exact.segment(images[1], concept).probability
        by_reference = plain(reference, support, weights, tensor(images[1])).softmax(dim=1)[0, 1].numpy()
        difference = abs(probability - by_reference).max()
        spread = statistics.quantiles(ratios, n=4)
        print(f"threads {torch.get_num_threads()}, torch {torch.__version__}, median of {arguments.rounds} rounds of 8")
        print(f"one image, learned concept: {1 / statistics.median(ours):.1f} images a second")
        quartiles = f"(quartiles {spread[0]:.2f}-{spread[2]:.2f})"
        print(f"faster than the plain reference: {statistics.median(ratios):.2f}x {quartiles}")
        for shots, taken in times_by_default.items():
            rate, times = 1 / statistics.median(taken), statistics.median(taken) / statistics.median(ours)
            print(f"{default.model_name}, examples: {shots}: {rate:.1f} images a second, {times:.1f} times as long")
        print(f"largest difference of the probabilities: {difference:.1e}")

        process, noted = psutil.Process(), {}

        def note(settled: int, of: int) -> None:
            if settled in {100, of // 4, of // 2, of}:
                noted[settled] = process.memory_info().rss / 2**20

        report = segment_folder(
            Path(folder) / "photos", concept, Path(folder) / "masks", few_shot=few_shot, progress=note
        )
        rate = report.done / report.seconds
        print(f"folder of {arguments.images}: {rate:.1f} images a second, reading and writing included")
        print("memory (MiB) by number of images: " + ", ".join(f"{n}: {mib:.0f}" for n, mib in noted.items()))


if __name__ == "__main__":
    main()
