"""Score co-saliency on groups of images, against the saliency maps that it starts from.

    python experiments/09-groups-held-out/run.py --data DATA/VOC-coseg --every 5 --then     # the held-out fifth
    python experiments/09-groups-held-out/run.py --data DATA/VOC-coseg --groups Aero Bird \
        --model runs/icnet-fold0 --maps runs/saliency-fold0                                 # groups of unseen classes

Each method is scored on the same images: the saliency maps alone, the maps refined to image edges, ICNet without edge
refinement, ICNet as shipped, and, with --then, the mean of ICNet and few-shot segmentation by the best masks, which is
what `likewise cosegment --then segment` writes. A group consists of the scored images only, or, with --whole, of all
images of the group. Maps are scored as 8-bit values; --out saves them as PNG for `likewise evaluate groups`.

Jaccard: mask at threshold 0.5 against the truth, mean over the images of a group, then over groups. Max F: beta^2 0.3,
maximum of the curve averaged over all images. Intervals: 95% bootstrap over the images of each group.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from likewise.data.groups import GroupSet, cosaliency_groups
from likewise.data.held_out import held_out_groups
from likewise.io.images import save_image
from likewise.io.paths import ImageFile
from likewise.metrics.saliency import icnet_f_curve
from likewise.metrics.scores import interval
from likewise.predict.co_saliency import BEST_MASK_MODEL, CoSaliency, average_results
from likewise.predict.few_shot import FewShot
from likewise.predict.saliency import Saliency

RESAMPLES = 1000


def predictions(arguments: argparse.Namespace, scored: GroupSet, whole: GroupSet) -> dict[str, Callable]:
    """For each way, what gives the probability map of an image of a group."""
    cosaliency = CoSaliency(arguments.model, maps=arguments.maps, device="cpu")
    own = CoSaliency(arguments.model, maps=arguments.maps, device="cpu", edges=False)
    saliency, along = (Saliency(arguments.maps, device="cpu", edges=edges) for edges in (False, True))
    members = whole if arguments.whole else scored
    groups, concepts = {}, {}
    few_shot = FewShot(arguments.then, device="cpu", quality="fast", presence=0) if arguments.then else None
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
            average_results(
                cosaliency.segment(path, groups[group]), few_shot.segment(path, concepts[group])
            ).probability
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with image/<group>/ and gt/<group>/")
    parser.add_argument("--model", default="icnet-lite0")
    parser.add_argument("--maps", default="saliency-lite0")
    parser.add_argument("--every", type=int, metavar="N", help="score every Nth image of each group")
    parser.add_argument("--groups", nargs="*", default=(), help="score all images of these groups")
    parser.add_argument("--whole", action="store_true", help="images that are not scored still join their group")
    parser.add_argument(
        "--then", nargs="?", const=BEST_MASK_MODEL, help="also score few-shot segmentation by best masks"
    )
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--out", type=Path, help="folder for the scored maps")
    scores(parser.parse_args())


if __name__ == "__main__":
    main()
