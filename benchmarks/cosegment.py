"""How well and how fast groups of images are segmented without any example.

    python benchmarks/cosegment.py scores --data DATA/VOC-coseg --every 5            # the held-out fifth
    python benchmarks/cosegment.py scores --data DATA/VOC-coseg --groups Aero Bird \
        --model runs/icnet-fold0 --maps runs/saliency-fold0                          # groups whose class is unseen
    python benchmarks/cosegment.py speed --data DATA/VOC-coseg
    python benchmarks/cosegment.py memory

`scores` compares, on the same images, the saliency maps alone, as their network gives them, with what ICNet makes of
them and, with --then, with the mean of that and of few-shot segmentation by the best masks, as `likewise cosegment
--then segment` has it. The latter two follow the images' edges, as users get them; for comparison the maps do so too,
and ICNet does not. A group is made of the images that are scored and no others, or, with --whole, of all images of
the group, of which those are scored. Maps are stored as 8-bit PNG, with --out, so that `likewise evaluate groups` can
score them too. Jaccard: mask against truth at one half, mean over the images of a group, then over groups. Max F:
beta^2 0.3, of the curve averaged over all images. Intervals: 95%, bootstrap over the images of each group.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image

from likewise.data.groups import GroupSet, cosaliency_groups
from likewise.data.held_out import held_out_groups
from likewise.io.images import save_image
from likewise.io.paths import ImageFile, find_images
from likewise.jobs.folder import segment_folder
from likewise.metrics.saliency import icnet_f_curve
from likewise.metrics.segmentation import interval
from likewise.predict.co_saliency import BY_BEST_MASKS, COMMON, CoSaliency, joined
from likewise.predict.few_shot import FewShot
from likewise.predict.saliency import Saliency

RESAMPLES = 1000
MEGABYTE = 1 << 20


def predictions(arguments: argparse.Namespace, scored: GroupSet, whole: GroupSet) -> dict[str, Callable]:
    """For each way, what gives the probability map of an image of a group."""
    cosaliency = CoSaliency(arguments.model, maps=arguments.maps, device="cpu")
    own = CoSaliency(arguments.model, maps=arguments.maps, device="cpu", edges=False)
    saliency, along = (Saliency(arguments.maps, device="cpu", edges=edges) for edges in (False, True))
    members = whole if arguments.whole else scored
    groups, concepts = {}, {}
    few_shot = FewShot(arguments.then, device="cpu") if arguments.then else None
    for group in scored.groups:
        files = [ImageFile(members.image_path(group, name), name) for name in members.groups[group]]
        groups[group] = cosaliency.learn(files)
        if few_shot is not None:
            concepts[group] = few_shot.learn(cosaliency.examples(files, groups[group], count=arguments.shots))
    ways: dict[str, Callable] = {
        "saliency maps alone": lambda path, group: saliency.segment(path).probability,
        "the maps along edges": lambda path, group: along.segment(path).probability,
        "ICNet without edges": lambda path, group: own.segment(path, groups[group]).probability,
        "ICNet": lambda path, group: cosaliency.segment(path, groups[group]).probability,
    }
    if few_shot is not None:
        ways[f"then {few_shot.model_name}"] = lambda path, group: (
            joined(cosaliency.segment(path, groups[group]), few_shot.segment(path, concepts[group])).probability
        )
    return ways


def scores(arguments: argparse.Namespace) -> None:
    whole = cosaliency_groups(arguments.data)
    scored = held_out_groups(whole, every=arguments.every, whole=arguments.groups)
    ways = predictions(arguments, scored, whole)
    count = sum(map(len, scored.groups.values()))
    print(f"{count} images of {len(scored.groups)} groups of {whole.name}; model {arguments.model}")
    found = {}
    for way, predict in ways.items():
        jaccards, curves = {}, {}
        for group, images in scored.groups.items():
            jaccards[group], curves[group] = [], []
            for image in images:
                truth = scored.read_mask(group, image)
                stored = np.rint(predict(scored.image_path(group, image), group) * 255).astype(np.uint8)
                if arguments.out is not None:
                    save_image(stored, arguments.out / way.replace(" ", "-") / group / f"{image}.png")
                mask = stored >= 128
                union = int((mask | truth).sum())
                jaccards[group].append(int((mask & truth).sum()) / union if union else 1.0)
                curves[group].append(icnet_f_curve(stored.astype(np.float32) / 255, truth.astype(np.float32)))
        found[way] = jaccards, curves
    generator = np.random.default_rng(0)
    draws = [
        {group: generator.integers(len(images), size=len(images)) for group, images in scored.groups.items()}
        for _ in range(RESAMPLES)
    ]
    everything = {group: np.arange(len(images)) for group, images in scored.groups.items()}

    def jaccard(way: str, chosen: dict[str, np.ndarray]) -> float:
        return float(np.mean([np.array(found[way][0][group])[index].mean() for group, index in chosen.items()]))

    def max_f(way: str, chosen: dict[str, np.ndarray]) -> float:
        curves = [np.stack(found[way][1][group])[index] for group, index in chosen.items()]
        return float(np.concatenate(curves).mean(axis=0).max())

    first = next(iter(ways))
    print(f"{'':24}{'Jaccard':>8}{'95%':>16}{'max F':>9}{'95%':>16}{'max F over the maps':>22}{'95%':>17}")
    for way in ways:
        cells = [f"{way:24}"]
        for measure in (jaccard, max_f):
            low, high = interval(np.array([measure(way, chosen) for chosen in draws]))
            cells.append(f"{measure(way, everything):8.3f}   [{low:.3f}, {high:.3f}]")
        gains = np.array([max_f(way, chosen) - max_f(first, chosen) for chosen in draws])
        low, high = interval(gains)
        cells.append(f"{max_f(way, everything) - max_f(first, everything):+19.3f}  [{low:+.3f}, {high:+.3f}]")
        print(" ".join(cells))
    print("Jaccard of each group: " + ", ".join(ways))
    for group, images in scored.groups.items():
        cells = "".join(f"{np.mean(found[way][0][group]):8.3f}" for way in ways)
        print(f"  {group:24}{len(images):4} images{cells}")


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
            report = segment_folder(
                images,
                partial(cosaliency.segment, group=group),
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

        def told(settled: int, of: int) -> None:
            if settled % (of // 4) == 0:
                print(f"  {settled:5} of {of}: {process.memory_info().rss / MEGABYTE:.0f} MB")

        print("first pass")
        group = cosaliency.learn(images, progress=told)
        numbers = sum(vector.numel() * vector.element_size() for vector in group.vectors.values())
        print(f"the vectors take {numbers / MEGABYTE:.1f} MB, {numbers / len(group) / 1024:.1f} KB an image")
        print("second pass")
        for index, image in enumerate(images):
            cosaliency.segment(image, group)
            told(index + 1, len(images))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for run in (scores, speed, memory):
        command = commands.add_parser(run.__name__)
        command.set_defaults(run=run)
        command.add_argument("--model", default="icnet-lite0")
        command.add_argument("--maps", default="saliency-lite0")
        if run is not memory:
            command.add_argument("--data", type=Path, required=True, help="image/<group>/, gt/<group>/")
        if run is scores:
            command.add_argument("--every", type=int, help="score every so-manieth image of each group")
            command.add_argument("--groups", nargs="*", default=(), help="score these groups whole")
            command.add_argument("--whole", action="store_true", help="images that are not scored join their group")
            command.add_argument("--then", nargs="?", const=BY_BEST_MASKS, help="also few-shot, by the best masks")
            command.add_argument("--shots", type=int, default=5)
            command.add_argument("--out", type=Path, help="a folder for the maps")
        else:
            command.add_argument("--images", type=int, default=100 if run is speed else 1000)
            command.add_argument("--threads", type=int, default=2)
            command.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
