"""Episodes half of whose queries lack the class, and the model's evidence for each."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from likewise import Example, FewShot
from likewise.data.class_names import CAMVID
from likewise.io.class_lists import PASCAL
from likewise.io.images import read_image
from likewise.io.labels import IGNORE
from likewise.io.masks import read_labels
from likewise.ops.presence import World, measure_world
from likewise.predict.concept import Concept
from likewise.predict.presence import Judge

sys.path.append(str(Path(__file__).resolve().parents[1]))
from cached_extractor import CachedExtractor as CachedExtractor

SMALLEST_OBJECT = 2048
"""Pixels of a class in an image from which the image counts as showing it, as in the lists of PASCAL-5i."""
SHOTS = (1, 5, 10)
KINDS = {
    "animal": ("bird", "cat", "cow", "dog", "horse", "sheep"),
    "vehicle": ("aeroplane", "bicycle", "boat", "bus", "car", "motorbike", "train"),
    "indoor": ("bottle", "chair", "diningtable", "pottedplant", "sofa", "tvmonitor"),
    "person": ("person",),
}
"""PASCAL's super-classes."""
KIND_OF = {name: kind for kind, names in KINDS.items() for name in names}


class Labelled(NamedTuple):
    """An image with its label image, the label of a class there, and another that is ignored."""

    image: Path
    labels: Path
    label: int
    ignored: int | None = None

    def masks(self) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
        """Return the object's mask and that of the pixels that count."""
        labels = read_labels(self.labels)
        return labels == self.label, labels != self.ignored


class Episode(NamedTuple):
    """A class, its examples, an image with it and images without it: of the same set, and of another one."""

    set_name: str
    class_name: str
    examples: list[Labelled]
    present: Labelled
    absent: dict[str, Path]
    excluded: tuple[str, ...] = ()


class VOC:
    """The images of a PASCAL list that are at hand, with the classes that they show."""

    def __init__(self, root: Path, split: str) -> None:
        self.home = root / "VOC2012"
        lists = (root / f"splits/pascal/{split}/fold{fold}.txt" for fold in range(4))
        names = sorted({line.rpartition("__")[0] for path in lists for line in path.read_text().split()})
        self.images = [name for name in names if self.image(name).is_file()]
        counts = [np.bincount(read_labels(self.labels(name)).ravel(), minlength=256) for name in self.images]
        self.shown = [{PASCAL[at] for at in range(20) if own[at + 1] >= SMALLEST_OBJECT} for own in counts]
        self.any = [{PASCAL[at] for at in range(20) if own[at + 1]} for own in counts]

    def image(self, name: str) -> Path:
        return self.home / f"JPEGImages/{name}.jpg"

    def labels(self, name: str) -> Path:
        return self.home / f"SegmentationClassAug/{name}.png"

    def without(self, classes: tuple[str, ...]) -> list[Path]:
        return [self.image(name) for name, own in zip(self.images, self.any, strict=True) if not own & {*classes}]

    def episodes(self, queries: int) -> Iterator[Episode]:
        """Yield episodes; every second absent image is of the same super-class."""
        for at, name in enumerate(PASCAL):
            random = np.random.default_rng([0, zlib.crc32(name.encode())])
            own = [image for image, shown in zip(self.images, self.shown, strict=True) if name in shown]
            rest = [index for index, any_ in enumerate(self.any) if name not in any_]
            similar = [index for index in rest if {KIND_OF[other] for other in self.any[index]} & {KIND_OF[name]}]
            fold = tuple(PASCAL[at // 5 * 5 : at // 5 * 5 + 5])
            for turn, query in enumerate(random.permutation(own)[:queries]):
                chosen = [image for image in random.permutation(own) if image != query][: max(SHOTS)]
                pool = similar if turn % 2 and similar else rest
                label = [Labelled(self.image(i), self.labels(i), at + 1, IGNORE) for i in (*chosen, query)]
                absent = {"same": self.image(self.images[random.choice(pool)])}
                yield Episode("voc", name, label[:-1], label[-1], absent, fold)


def other_sets(root: Path, half: int, elsewhere: list[Path], queries: int) -> Iterator[Episode]:
    """Yield episodes of DAVIS, CCP and CamVid; half 0 chose, half 1 is measured.

    Halves: every second sequence of DAVIS, every second photograph of CCP, and CamVid's train and val. `elsewhere` are
    images of another set.
    """
    for set_name, classes in (("davis", davis(root, half)), ("ccp", ccp(root, half)), ("camvid", camvid(root, half))):
        every = {one.image for images in classes.values() for one in images}
        for name, images in classes.items():
            random = np.random.default_rng([half, zlib.crc32(f"{set_name} {name}".encode())])
            without = sorted(every - {one.image for one in images if one.masks()[0].any()})
            for index in random.permutation(len(images))[: queries if set_name != "ccp" else max(1, queries // 2)]:
                rest = [images[other] for other in random.permutation(len(images)) if other != index]
                absent = {"other": elsewhere[random.integers(len(elsewhere))]}
                if without:
                    absent["same"] = without[random.integers(len(without))]
                yield Episode(set_name, name, rest[: max(SHOTS)], images[index], absent)


def davis(root: Path, half: int) -> dict[str, list[Labelled]]:
    home = root / "DAVIS"
    sequences = sorted((home / "JPEGImages/480p").iterdir())[half::2]
    masks = {folder.name: home / "Annotations/480p" / folder.name for folder in sequences}
    return {
        folder.name: [Labelled(f, masks[folder.name] / f"{f.stem}.png", 255) for f in sorted(folder.glob("*.jpg"))]
        for folder in sequences
    }


def ccp(root: Path, half: int) -> dict[str, list[Labelled]]:
    home = root / "CCP"
    pairs = [(home / f"photos/{path.stem}.jpg", path) for path in sorted((home / "labels").glob("*.png"))[half::2]]
    return by_pixels(pairs, {str(label): label for label in range(1, 59)}, None)


def camvid(root: Path, half: int) -> dict[str, list[Labelled]]:
    home, part = root / "CamVid", ("train", "val")[half]
    pairs = [(image, home / f"{part}annot/{image.stem}.png") for image in sorted((home / part).iterdir())]
    return by_pixels(pairs, {name: label for label, name in enumerate(CAMVID)}, len(CAMVID))


def by_pixels(pairs: list[tuple[Path, Path]], labels: dict[str, int], ignored: int | None) -> dict[str, list[Labelled]]:
    """Return the classes that enough images show."""
    classes: dict[str, list[Labelled]] = {name: [] for name in labels}
    for image, path in pairs:
        counts = np.bincount(read_labels(path).ravel(), minlength=256)
        for name, label in labels.items():
            if counts[label] >= SMALLEST_OBJECT:
                classes[name].append(Labelled(image, path, label, ignored))
    return {name: images for name, images in classes.items() if len(images) > max(SHOTS) + 1}


class Worlds:
    """Worlds without some classes, so that a class is measured as one that the world does not hold."""

    def __init__(self, few_shot: FewShot, voc: VOC, images: int) -> None:
        self.few_shot, self.voc, self.images = few_shot, voc, images
        self.made: dict[tuple[str, ...], World] = {}

    def __call__(self, excluded: tuple[str, ...]) -> World:
        if excluded not in self.made:
            paths = self.voc.without(excluded)
            places = np.linspace(0, len(paths) - 1, min(self.images, len(paths))).round().astype(int)
            self.made[excluded] = measure_world(self.few_shot.semantic_map(paths[place]) for place in places)
        return self.made[excluded]


def example(labelled: Labelled) -> Example:
    mask, known = labelled.masks()
    return Example(labelled.image, mask=mask, ignore=None if known.all() else ~known)


def first(concept: Concept, shots: int) -> Concept:
    """Return the concept of the first examples."""
    rows = {name: values[:shots] for name, values in concept.rows.items()}
    return replace(
        concept,
        rows=rows,
        class_of=concept.class_of[:shots],
        names=concept.names[:shots],
        thumbnails=concept.thumbnails[:shots],
    )


def answers(few_shot: FewShot, episode: Episode, world: World) -> Iterator[dict[str, Any]]:
    """Yield for each query the evidence, the presence, and the mask's counts, as if nothing were held absent."""
    concept = few_shot.learn([example(one) for one in episode.examples])
    queries: list[tuple[str, Path]] = [("present", episode.present.image), *episode.absent.items()]
    for shots in (own for own in SHOTS if own <= len(concept)):
        own = first(concept, shots)
        prepared = few_shot.head.prepare(own)._replace(judge=Judge(own, world))
        for kind, path in queries:
            image = read_image(path)
            (found,) = few_shot.head.segment(few_shot.inputs.resize(image)[None], prepared, [image.shape[:2]], 0.0)
            mask = found.probabilities[1] > found.probabilities[0]
            truth, known = np.zeros_like(mask), np.ones_like(mask)
            if kind == "present":
                truth, known = episode.present.masks()
            (judged,) = found.judged
            yield {
                "set": episode.set_name,
                "class": episode.class_name,
                "shots": shots,
                "query": kind,
                "projection": judged.evidence.projection,
                "cosine": judged.evidence.cosine,
                "agreement": judged.examples.agreement,
                "probability": float(found.probabilities[1][mask].mean()) if mask.any() else 0.0,
                "area": float(mask.mean()),
                "intersection": int((mask & truth & known).sum()),
                "found": int((mask & known).sum()),
                "truth": int((truth & known).sum()),
            }
