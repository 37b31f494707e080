"""Ablate what ICNet knows of a group, and compare it with its saliency maps, `--then segment` and `--then consensus`.

    python experiments/16-icnet-group/run.py --data DATA/VOC-coseg --every 5 --then -o held-out.json
    python experiments/16-icnet-group/run.py --data PASTED --then -o pasted.json     # of two_things.py
    python experiments/16-icnet-group/run.py --data DATA/VOC-coseg --groups Aero Bird --maps runs/saliency-fold0 \
        --features prototypes --consensus-only -o unseen.json         # maps of 10-groups-unseen-classes

For each image the vectors of the other images are replaced: by noise with the mean and spread of the group's, by noise
of any direction, by those of another group, or by nothing. Or the map is constant after the vectors were pooled.
`other prototypes` are a consensus learned from another group. Outlines are refined in the rows "edges" only. Jaccard:
masks at 0.5, mean over the images of a group, then over groups. Intervals: 95% paired bootstrap over the images of each
group. Images whose names start with "alone-" join their group and are not scored.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8
from two_things import CONTEXT

from likewise.data.groups import GroupSet, cosaliency_groups
from likewise.data.held_out import held_out_groups
from likewise.engine.protocol import Vectors
from likewise.io.images import read_image, read_scaled
from likewise.io.paths import ImageFile
from likewise.metrics.scores import interval
from likewise.ops.bilinear import resize_bilinear
from likewise.predict.co_saliency import BEST_MASK_MODEL, CoSaliency, Group, average_results
from likewise.predict.consensus import Consensus
from likewise.predict.edges import refine_edges
from likewise.predict.few_shot import FewShot

CHOSEN_ON = ("Aero", "Bicycle", "Bird", "Boat", "Bottle")
"""Groups that chose the constants of the consensus; a summary is of the others."""
RESAMPLES = 1000
MAPS, CONSENSUS = "saliency maps", "consensus"
Jaccards = dict[str, dict[str, list[float]]]
"""By way and group."""


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=2, keepdims=True).clip(1e-12)).astype(np.float32)


def replaced(own: int, group: Vectors, others: Vectors, seed: int) -> Iterator[tuple[str, Vectors]]:
    """Yield the vectors that an image is compared with: unchanged, and the variants of all but its own."""
    random = np.random.default_rng(seed)
    around, white, another, alone = {}, {}, {}, {}
    for stride, vectors in group.items():
        mine = (np.arange(len(vectors)) == own)[:, None, None]
        noise = random.standard_normal(vectors.shape)
        around[stride] = np.where(mine, vectors, unit(vectors.mean(axis=0) + vectors.std(axis=0) * noise))
        white[stride] = np.where(mine, vectors, unit(noise))
        another[stride] = np.where(mine, vectors, others[stride][np.arange(len(vectors)) % len(others[stride])])
        alone[stride] = vectors[[own]]
    yield "ICNet", group
    yield "others: noise around the group's mean", around
    yield "others: noise of any direction", white
    yield "others: another group's", another
    yield "others: none", alone


def ablated(
    cosaliency: CoSaliency, pixels: UInt8[np.ndarray, "h w 3"], own: int, group: Group, others: Group
) -> dict[str, Float32[np.ndarray, "h w"]]:
    """Return the probability of ICNet and of each variant at the size of the image."""
    image, sism = cosaliency.network_input(pixels), cosaliency.sism(read_scaled(pixels))
    segment = cosaliency.network.segment
    planes = {name: segment(image, sism, each) for name, each in replaced(own, group.vectors, others.vectors, own)}
    planes["map: constant in the decoder"] = segment(image, np.full_like(sism, sism.mean()), group.vectors)
    size = pixels.shape[0], pixels.shape[1]
    return {name: resize_bilinear(plane, size, align_corners=True) for name, plane in planes.items()}


def along_edges(probability: Float32[np.ndarray, "h w"], image: UInt8[np.ndarray, "h w 3"]) -> np.ndarray:
    return refine_edges(np.stack([1 - probability, probability]).clip(0, 1), image)[1]


def jaccard(probability: Float[np.ndarray, "h w"], truth: Bool[np.ndarray, "h w"]) -> float:
    mask = probability > 0.5
    union = int((mask | truth).sum())
    return int((mask & truth).sum()) / union if union else 1.0


def measure(arguments: argparse.Namespace, scored: GroupSet) -> Jaccards:
    cosaliency = CoSaliency(arguments.model, maps=arguments.maps, device="cpu", edges=False)
    consensus = Consensus(cosaliency, FewShot(arguments.features, device="cpu", edges=False))
    few_shot = FewShot(arguments.then, device="cpu") if arguments.then else None
    refined = CoSaliency(arguments.model, maps=arguments.maps, device="cpu")
    files = {
        name: [ImageFile(scored.image_path(name, each), each) for each in images]
        for name, images in scored.groups.items()
    }
    names = list(files)
    groups = {} if arguments.consensus_only else {name: cosaliency.learn(files[name]) for name in names}
    shared = {name: consensus.learn(files[name]) for name in names}
    found: Jaccards = {}
    for place, name in enumerate(names):
        before = names[place - 1]
        if groups and few_shot is not None:
            best = refined.examples(files[name], groups[name], count=5)
            segmenter = few_shot.prepare(few_shot.learn(best))
        for index, file in enumerate(files[name]):
            if file.name.startswith(CONTEXT):
                continue
            pixels, truth = read_image(file.path), scored.read_mask(name, file.name)
            planes = {
                MAPS: consensus.segment(pixels, None).probability,
                CONSENSUS: consensus.segment(pixels, shared[name]).probability,
                "consensus: other prototypes": consensus.segment(pixels, shared[before]).probability,
            }
            if groups:
                planes |= ablated(cosaliency, pixels, index, groups[name], groups[before])
                if few_shot is not None:
                    result = average_results(refined.segment(pixels, groups[name]), segmenter(pixels))
                    planes["then segment, edges"] = result.probability
            for way in [each for each in (MAPS, "ICNet", CONSENSUS) if each in planes]:
                planes[f"{way}, edges"] = along_edges(planes[way], pixels)
            for way, plane in planes.items():
                found.setdefault(way, {}).setdefault(name, []).append(jaccard(plane, truth))
        print(f"{name}: {len(files[name])} images", flush=True)
    return found


def summary(found: Jaccards, groups: list[str]) -> dict[str, dict[str, float | list[float]]]:
    """Return for each way the mean Jaccard over the groups, and the gains over maps and ICNet with intervals."""
    generator = np.random.default_rng(0)
    counts = {name: len(found[MAPS][name]) for name in groups}
    draws = [{name: generator.integers(count, size=count) for name, count in counts.items()} for _ in range(RESAMPLES)]

    def mean(way: str, chosen: dict[str, np.ndarray] | None = None) -> float:
        rows = {name: np.array(found[way][name]) for name in groups}
        return float(np.mean([(row if chosen is None else row[chosen[name]]).mean() for name, row in rows.items()]))

    resampled = {way: np.array([mean(way, chosen) for chosen in draws]) for way in found}
    table: dict[str, dict[str, float | list[float]]] = {}
    for way in found:
        suffix = ", edges" if way.endswith(", edges") else ""
        row: dict[str, float | list[float]] = {"Jaccard": round(mean(way), 3)}
        for title, base in ("over the maps", f"{MAPS}{suffix}"), ("over ICNet", f"ICNet{suffix}"):
            if base in found:
                gains = interval(resampled[way] - resampled[base])
                row[title] = [round(number, 3) + 0.0 for number in (mean(way) - mean(base), *gains)]
        table[way] = row
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with image/<group>/ and gt/<group>/")
    parser.add_argument("--model", default="icnet-lite0")
    parser.add_argument("--maps", default="saliency-lite0")
    parser.add_argument("--features", default="prototypes-lite0", help="few-shot model, for the consensus")
    parser.add_argument("--every", type=int, metavar="N", help="use every Nth image of each group")
    parser.add_argument("--groups", nargs="*", default=(), help="use these groups, whole")
    parser.add_argument("--then", nargs="?", const=BEST_MASK_MODEL, help="also `--then segment`")
    parser.add_argument("--consensus-only", action="store_true", help="maps and consensus only")
    parser.add_argument("-o", "--out", type=Path, required=True, help="is extended if it exists")
    arguments = parser.parse_args()
    whole = cosaliency_groups(arguments.data)
    kept = arguments.every or arguments.groups
    scored = held_out_groups(whole, every=arguments.every, whole=arguments.groups) if kept else whole
    found: Jaccards = json.loads(arguments.out.read_text())["images"] if arguments.out.is_file() else {}
    for way, of_groups in measure(arguments, scored).items():
        found.setdefault(way, {}).update(of_groups)
    groups = list(found[MAPS])
    tables = {"all groups": groups, "groups that chose nothing": [name for name in groups if name not in CHOSEN_ON]}
    summaries = {title: summary(found, names) for title, names in tables.items() if names}
    for title, table in summaries.items():
        print(title)
        for way, row in table.items():
            print(f"  {way:40} {row}")
    arguments.out.write_text(json.dumps({"summary": summaries, "images": found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
