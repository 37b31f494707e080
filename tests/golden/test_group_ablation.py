"""What a group adds: the shipped ICNet with other vectors, and the consensus with another group's prototypes.

Jaccard in percent, 224 pixels for ICNet, edges not refined, on held-out images of five co-segmentation groups, up to
eight of a group: no image with this content was used to train `icnet-lite0` or `saliency-lite0`; their classes were.
Each threshold lies well inside the effect on these images. `experiments/16-icnet-group` measures the effects on more
groups, with intervals.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from likewise.data.groups import cosaliency_groups
from likewise.data.held_out import held_out_groups
from likewise.engine.protocol import Vectors
from likewise.io.images import read_image, read_scaled
from likewise.io.paths import ImageFile
from likewise.ops.bilinear import resize_bilinear
from likewise.predict.co_saliency import CoSaliency
from likewise.predict.consensus import Consensus

GROUPS = ("Car", "Cat", "Dog", "Mbike", "Person")
MOST = 8
"""Images of a group."""


@pytest.fixture(scope="module")
def cosaliency() -> CoSaliency:
    return CoSaliency("icnet-lite0", engine="onnx", edges=False)


@pytest.fixture(scope="module")
def files(shared_data: Path) -> dict[str, list[tuple[ImageFile, np.ndarray]]]:
    """The images of each group, and their masks."""
    held = held_out_groups(cosaliency_groups(shared_data / "VOC-coseg"), every=5)
    return {
        group: [
            (ImageFile(held.image_path(group, image), image), held.read_mask(group, image))
            for image in held.groups[group][:MOST]
        ]
        for group in GROUPS
    }


def variants(own: int, group: Vectors, others: Vectors) -> Iterator[tuple[str, Vectors]]:
    """Yield the group's vectors unchanged, and with those of all images but `own` replaced."""
    random = np.random.default_rng(own)
    yield "whole", group
    yield "own alone", {stride: vectors[[own]] for stride, vectors in group.items()}
    noise, another = {}, {}
    for stride, vectors in group.items():
        mine = (np.arange(len(vectors)) == own)[:, None, None]
        drawn = random.standard_normal(vectors.shape).astype(np.float32)
        noise[stride] = np.where(mine, vectors, drawn / np.linalg.norm(drawn, axis=2, keepdims=True))
        another[stride] = np.where(mine, vectors, others[stride][np.arange(len(vectors)) % len(others[stride])])
    yield "noise", noise
    yield "another group", another


def mean_jaccard(scores: dict[str, list[list[float]]]) -> dict[str, float]:
    result = {way: 100 * float(np.mean([np.mean(group) for group in groups])) for way, groups in scores.items()}
    print({way: round(score, 1) for way, score in result.items()})
    return result


def jaccard(probability: np.ndarray, truth: np.ndarray) -> float:
    mask = probability > 0.5
    return float((mask & truth).sum() / (mask | truth).sum())


def test_icnet_needs_vectors_of_its_kind_but_hardly_those_of_its_group(cosaliency: CoSaliency, files: dict) -> None:
    learned = {group: cosaliency.learn([file for file, _ in images]).vectors for group, images in files.items()}
    scores: dict[str, list[list[float]]] = {}
    for place, (group, images) in enumerate(files.items()):
        others = learned[GROUPS[place - 1]]
        of_group: dict[str, list[float]] = {}
        for index, (file, truth) in enumerate(images):
            pixels = read_image(file.path)
            image, sism = cosaliency.network_input(pixels), cosaliency.sism(read_scaled(pixels))
            for way, vectors in variants(index, learned[group], others):
                plane = cosaliency.network.segment(image, sism, vectors)
                of_group.setdefault(way, []).append(jaccard(resize_bilinear(plane, truth.shape), truth))
        for way, each in of_group.items():
            scores.setdefault(way, []).append(each)
    result = mean_jaccard(scores)
    assert result["whole"] - result["noise"] >= 8
    assert result["whole"] - result["another group"] >= 1
    assert abs(result["whole"] - result["own alone"]) <= 3


def test_the_consensus_gains_over_the_maps_and_needs_its_group(cosaliency: CoSaliency, files: dict) -> None:
    consensus = Consensus(cosaliency)
    learned = {group: consensus.learn([file for file, _ in images]) for group, images in files.items()}
    scores: dict[str, list[list[float]]] = {"maps": [], "consensus": [], "another group": []}
    for place, (group, images) in enumerate(files.items()):
        prototypes = {"maps": None, "consensus": learned[group], "another group": learned[GROUPS[place - 1]]}
        for way, shared in prototypes.items():
            found = [consensus.segment(read_image(file.path), shared).probability for file, _ in images]
            scores[way].append([jaccard(each, truth) for each, (_, truth) in zip(found, images, strict=True)])
    result = mean_jaccard(scores)
    assert result["consensus"] - result["maps"] >= 4
    assert result["consensus"] - result["another group"] >= 15
