"""Every part of the few-shot default counts: replaced by another class's, by noise or by nothing, it costs accuracy.

The shipped file segments real images that took no part in training: CamVid's test split, DAVIS, and the validation
images of PASCAL-5i. mIoU in percent, 320 pixels, edges not refined. Each threshold lies well inside the effect on these
images. `experiments/01-ablation` measures the effects on more images, with intervals.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image

from likewise import Example, FewShot
from likewise.data.pascal import pascal5i
from likewise.data.scene_benchmarks import camvid_scenes
from likewise.io.images import read_image
from likewise.io.labels import IGNORE
from likewise.io.masks import read_mask
from likewise.ops import prototypes
from likewise.ops.discriminant import LearnedClass, class_odds
from likewise.ops.prototypes import Prototypes, probabilities
from likewise.predict.heads.features import features_of

QUERIES = 2
"""Queries of a class."""
EXAMPLES = 5


class Labelled(NamedTuple):
    image: Path
    mask: np.ndarray
    ignored: np.ndarray


Classes = dict[str, list[Labelled]]
"""The images of each class: its queries, then five examples."""


def camvid(root: Path) -> Classes:
    scenes = camvid_scenes(root / "CamVid", "test")
    chosen = [(scene.image, scenes.read_labels(scene.labels)) for scene in scenes.scenes[::9]]
    classes = {
        name: [
            Labelled(image, labels == index, labels == IGNORE)
            for image, labels in chosen
            if (labels == index).mean() > 0.01
        ]
        for index, name in enumerate(scenes.classes)
    }
    return spread_out(classes)


def davis(root: Path) -> Classes:
    home = root / "DAVIS"
    classes = {}
    for folder in sorted((home / "JPEGImages/480p").iterdir()):
        masks = home / "Annotations/480p" / folder.name
        frames = [(frame, read_mask(masks / f"{frame.stem}.png")) for frame in sorted(folder.glob("*.jpg"))]
        classes[folder.name] = [Labelled(frame, mask, np.zeros_like(mask)) for frame, mask in frames if mask.any()]
    return spread_out(classes)


def voc(root: Path) -> Classes:
    classes = {}
    for fold in range(4):
        images = pascal5i(root, fold)
        for name in images.classes:
            named = [entry.image for entry in images.entries if entry.class_name == name]
            labels = [(images.image_path(image), images.read_class(image, name)) for image in named]
            classes[name] = [Labelled(path, mask == 1, mask == IGNORE) for path, mask in labels]
    return spread_out(classes)


def spread_out(classes: Classes) -> Classes:
    """Return images at equal steps; every second of the first ones is a query. Classes with too few are left out."""
    count = QUERIES + EXAMPLES
    chosen = {name: images[:: len(images) // count][:count] for name, images in classes.items() if len(images) >= count}
    return {
        name: [*images[: 2 * QUERIES : 2], *images[1 : 2 * QUERIES : 2], *images[2 * QUERIES :]]
        for name, images in chosen.items()
    }


def variants(own: LearnedClass, other: LearnedClass) -> Iterator[tuple[str, LearnedClass]]:
    """Yield the whole model, what another class learned, and the variants of each part."""
    yield "whole", own
    yield "another class", other
    yield "no discriminant", own._replace(discriminant=None)
    yield "discriminant of another class", own._replace(discriminant=other.discriminant)
    for name, changed in prototype_variants(own.prototypes, other.prototypes):
        yield name, own._replace(prototypes=changed)


def prototype_variants(own: Prototypes, other: Prototypes) -> Iterator[tuple[str, Prototypes]]:
    random = np.random.default_rng(0)
    noise = random.standard_normal(own.means.shape).astype(np.float32)
    yield "noise as prototypes", own._replace(means=own.means.std(axis=1, keepdims=True) * noise)
    mine, theirs = unwhitened(own), unwhitened(other)
    if own.whitening is None:
        yield "prototypes of another class", own._replace(means=theirs)
    else:
        yield "prototypes of another class", own._replace(means=theirs @ own.whitening.T)
        yield "no whitening", own._replace(means=mine, whitening=None)
        gains = np.linalg.norm(own.whitening, axis=1, keepdims=True)
        rotated = gains * np.linalg.qr(random.standard_normal(own.whitening.shape))[0].astype(np.float32)
        yield "whitening of random directions", own._replace(means=mine @ rotated.T, whitening=rotated)


def unwhitened(merged: Prototypes) -> np.ndarray:
    return merged.means if merged.whitening is None else np.linalg.solve(merged.whitening, merged.means.T).T


def scores(few_shot: FewShot, classes: Classes, shots: int) -> dict[str, float]:
    """Return the mIoU of each variant in percent; the other class is the one before in the list."""
    names = list(classes)
    learned = {name: learn(few_shot, images[QUERIES : QUERIES + shots]) for name, images in classes.items()}
    ious: dict[str, list[float]] = {}
    for place, name in enumerate(names):
        own, other = learned[name], learned[names[place - 1]]
        models = dict(variants(own, other))
        found = [masks(few_shot, query, models) for query in classes[name][:QUERIES]]
        truth = np.concatenate([query.mask.ravel() for query in classes[name][:QUERIES]])
        for variant in found[0]:
            mask = np.concatenate([of_query[variant].ravel() for of_query in found])
            ious.setdefault(variant, []).append(100 * (mask & truth).sum() / (mask | truth).sum())
    result = {variant: float(np.mean(of_classes)) for variant, of_classes in ious.items()}
    print({variant: f"{score - result['whole']:+.1f}" for variant, score in result.items()}, result["whole"])
    return result


def learn(few_shot: FewShot, examples: list[Labelled]) -> LearnedClass:
    concept = few_shot.learn([Example(one.image, mask=one.mask, ignore=one.ignored) for one in examples], finer=False)
    (learned,) = few_shot.head.prepare(concept).own
    return learned


def masks(few_shot: FewShot, query: Labelled, models: dict[str, LearnedClass]) -> dict[str, np.ndarray]:
    """Return the query's mask by each variant, without its ignored pixels."""
    image = read_image(query.image)
    height, width = few_shot.inputs.size(*image.shape[:2])
    resized = np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    ((features, _),) = features_of(few_shot.head.extractor.features(resized[None]))
    odds = {name: class_odds(features, variant) for name, variant in models.items()}
    with patch.object(prototypes, "self_support_prototypes", lambda query, means, cosines, shots: means):
        odds["no self support"] = class_odds(features, models["whole"])
    return {name: (probabilities([plane], query.mask.shape)[1] > 0.5) & ~query.ignored for name, plane in odds.items()}


@pytest.fixture(scope="module")
def few_shot() -> FewShot:
    return FewShot("prototypes-lite0", edges=False, quality="fast")


def check_losses(result: dict[str, float], **thresholds: float) -> None:
    """Assert that each variant scores that number of points below the whole model; "_" stands for a blank."""
    losses = {variant: result["whole"] - score for variant, score in result.items()}
    for variant, points in thresholds.items():
        assert losses[variant.replace("_", " ")] >= points, losses


def test_one_example_of_camvid_needs_both_readings(few_shot: FewShot, shared_data: Path) -> None:
    result = scores(few_shot, camvid(shared_data), shots=1)
    check_losses(result, another_class=30, noise_as_prototypes=20, no_discriminant=2)
    check_losses(result, discriminant_of_another_class=15)


def test_five_examples_of_camvid_need_those_of_the_class(few_shot: FewShot, shared_data: Path) -> None:
    """Each reading alone is nearly enough here."""
    result = scores(few_shot, camvid(shared_data), shots=5)
    check_losses(result, another_class=30, discriminant_of_another_class=30)


def test_one_example_of_davis_needs_both_readings(few_shot: FewShot, shared_data: Path) -> None:
    """Another sequence's prototypes cost less here: an object differs from its scene in what all objects share."""
    result = scores(few_shot, davis(shared_data), shots=1)
    check_losses(result, another_class=10, noise_as_prototypes=4, no_discriminant=2.5)


def test_five_examples_of_davis_need_both_readings(few_shot: FewShot, shared_data: Path) -> None:
    result = scores(few_shot, davis(shared_data), shots=5)
    check_losses(result, another_class=30, no_discriminant=1)


def test_one_example_of_voc_gains_from_self_support(few_shot: FewShot, shared_data: Path) -> None:
    """The images of a class differ here; in one scene, or with five examples, self-support changes little."""
    check_losses(scores(few_shot, voc(shared_data), shots=1), no_self_support=1)
