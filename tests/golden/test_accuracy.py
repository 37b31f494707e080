"""Accuracy of every shipped model on a small fixed set of real images.

Each test compares one mean with the value measured when the model was shipped; it may fall short of it by two standard
errors (bootstrap over the images). No image was in the model's training set. The sets are too small to rank models:
`docs/results.md` reports the accuracy on larger sets, with intervals.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from likewise import Example, FewShot
from likewise.data.groups import GroupSet, cosaliency_groups
from likewise.data.held_out import held_out_groups
from likewise.data.scene_benchmarks import camvid_scenes
from likewise.io.masks import read_mask
from likewise.io.paths import ImageFile
from likewise.predict.co_saliency import CoSaliency
from likewise.predict.saliency import Saliency


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


def check_accuracy(ious: list[float], count: int, measured: float, margin: float) -> None:
    """Assert that `count` images were scored and that their mean IoU reaches `measured - margin`."""
    print(summary(ious))
    assert len(ious) == count
    assert np.mean(ious) >= measured - margin, f"mean IoU {np.mean(ious):.3f}; {measured} when the model was shipped"


def summary(ious: list[float]) -> str:
    """Return the numbers to write into the tests: the mean and twice its bootstrap standard error."""
    drawn = np.random.default_rng(0).choice(ious, (1000, len(ious)))
    return f"mean IoU {np.mean(ious):.3f}, two standard errors {2 * drawn.mean(axis=1).std():.3f}"


def few_shot_ious(few_shot: FewShot, pairs: Iterator[tuple[Path, np.ndarray, Path, np.ndarray]]) -> list[float]:
    """Return the IoU of each query, segmented by one example."""
    return [
        iou(few_shot.segment(query, few_shot.learn(Example(image, mask=mask))).mask, truth)
        for image, mask, query, truth in pairs
    ]


def davis_pairs(root: Path) -> Iterator[tuple[Path, np.ndarray, Path, np.ndarray]]:
    """Yield two pairs from each sequence: its frames 0 and 1 as examples, those half a sequence later as queries."""
    for sequence in sorted((root / "JPEGImages/480p").iterdir()):
        frames = sorted(sequence.glob("*.jpg"))
        masks = [read_mask(root / f"Annotations/480p/{sequence.name}/{frame.stem}.png") for frame in frames]
        for example in range(2):
            query = example + len(frames) // 2
            yield frames[example], masks[example], frames[query], masks[query]


def camvid_pairs(root: Path) -> Iterator[tuple[Path, np.ndarray, Path, np.ndarray]]:
    """Yield three pairs of each class of CamVid's test split, from images where it covers more than one percent."""
    scenes = camvid_scenes(root, "test")
    chosen = scenes.scenes[::10]
    labels = [scenes.read_labels(scene.labels) for scene in chosen]
    for index in range(len(scenes.classes)):
        shown = [place for place, own in enumerate(labels) if (own == index).mean() > 0.01]
        for example, query in list(zip(shown[::2], shown[1::2], strict=False))[:3] if len(shown) >= 6 else ():
            yield chosen[example].image, labels[example] == index, chosen[query].image, labels[query] == index


def held_out(root: Path) -> GroupSet:
    """Every second co-segmentation group: the first five images of its held-out fifth."""
    groups = held_out_groups(cosaliency_groups(root), every=5)
    return replace(groups, groups={name: groups.groups[name][:5] for name in list(groups.groups)[::2]})


def test_prototypes_lite0_segments_classes_of_camvid(shared_data: Path) -> None:
    ious = few_shot_ious(FewShot("prototypes-lite0"), camvid_pairs(shared_data / "CamVid"))
    check_accuracy(ious, 27, 0.502, 0.109)


def test_panet_lite0_segments_the_objects_of_davis(shared_data: Path) -> None:
    ious = few_shot_ious(FewShot("panet-lite0", device="cpu"), davis_pairs(shared_data / "DAVIS"))
    check_accuracy(ious, 24, 0.649, 0.080)


def test_saliency_lite0_finds_the_objects_of_held_out_images(shared_data: Path) -> None:
    groups, saliency = held_out(shared_data / "VOC-coseg"), Saliency("saliency-lite0", device="cpu")
    ious = [
        iou(saliency.segment(groups.image_path(group, image)).mask, groups.read_mask(group, image))
        for group, images in groups.groups.items()
        for image in images
    ]
    check_accuracy(ious, 47, 0.609, 0.087)


def test_icnet_lite0_finds_the_common_object_of_held_out_groups(shared_data: Path) -> None:
    groups, cosaliency = held_out(shared_data / "VOC-coseg"), CoSaliency("icnet-lite0", device="cpu")
    ious = []
    for group, images in groups.groups.items():
        files = [ImageFile(groups.image_path(group, image), image) for image in images]
        learned = cosaliency.learn(files)
        ious += [iou(cosaliency.segment(file, learned).mask, groups.read_mask(group, file.name)) for file in files]
    check_accuracy(ious, 47, 0.548, 0.089)
