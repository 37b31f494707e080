"""The bundled models on ONNX Runtime against torch: features, probabilities, masks."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from likewise import Concept, CoSaliency, Example, FewShot, Saliency
from likewise.data.groups import cosaliency_groups
from likewise.engine.protocol import CorrelationNetwork
from likewise.jobs.demo import Task, coins, motorcycle
from likewise.predict.heads.hsnet import HSNetHead

RELATIVE = 1e-5
MODELS = ("prototypes-lite0", "panet-lite0", "hsnet-lite0")


@cache
def opened(model: str, engine: str, *, edges: bool = True, side: int | None = None) -> FewShot:
    """Return a model on an engine, loaded once."""
    return FewShot(model, engine=engine, device="cpu", edges=edges, side=side)


@pytest.fixture(scope="module", params=MODELS)
def engines(request: pytest.FixtureRequest) -> tuple[FewShot, FewShot]:
    """One model on ONNX Runtime and on torch, with fewer pixels than by default; the masks of the demo have all."""
    by_onnx, by_torch = (opened(request.param, engine, edges=False, side=224) for engine in ("onnx", "torch"))
    assert (by_onnx.engine, by_torch.engine) == ("onnx", "torch")
    assert by_onnx.settings == by_torch.settings
    return by_onnx, by_torch


def photograph(height: int, width: int, seed: int) -> np.ndarray:
    """A smooth image with noise and a bright block."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / (7 + 3 * c + seed) + columns / (11 + c)) for c in range(3)]
    image = 120 + 60 * np.stack(waves, axis=2) + generator.normal(0, 12, (height, width, 3))
    image[height // 4 : height // 2, width // 4 : width // 2] += (70, -40, -60)
    return image.clip(0, 255).astype(np.uint8)


def block(height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height // 2, width // 4 : width // 2] = True
    return mask


@pytest.mark.parametrize("model", ["prototypes-lite0", "panet-lite0"])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (96, 160), (224, 288), (256, 448), (288, 384), (320, 320)])
def test_features_agree_at_every_size(model: str, height: int, width: int) -> None:
    images = photograph(height, width, 1)[None]
    found, expected = (opened(model, engine).extractor.features(images) for engine in ("onnx", "torch"))
    for own, reference in zip([*found.levels, found.semantic], [*expected.levels, expected.semantic], strict=True):
        assert abs(own - reference).max() <= RELATIVE * abs(reference).max()


@pytest.fixture(scope="module")
def correlations() -> list[CorrelationNetwork]:
    """HSNet on ONNX Runtime and on torch."""
    heads = [opened("hsnet-lite0", engine).head for engine in ("onnx", "torch")]
    assert all(isinstance(head, HSNetHead) for head in heads)
    return [head.network for head in heads if isinstance(head, HSNetHead)]


@pytest.mark.parametrize("query", [(32, 32), (48, 400), (224, 304), (256, 256), (400, 400)])
def test_logits_agree_at_every_size(correlations: list[CorrelationNetwork], query: tuple[int, int]) -> None:
    images = photograph(*query, 1)[None]
    for seed, size in enumerate([(32, 32), (336, 112), (208, 304), (256, 256)]):
        support = correlations[1].encode_support(photograph(*size, seed), block(*size))
        (found,), (expected,) = (
            each.logits(each.encode_query(images)[0], [each.prepare(support)]) for each in correlations
        )
        assert abs(found - expected).max() <= RELATIVE * abs(expected).max()


def test_probabilities_agree_for_shots_and_classes(engines: tuple[FewShot, FewShot]) -> None:
    examples = [
        Example(
            image := photograph(200 + 10 * shot, 260, 10 * index + shot), block(*image.shape[:2]), class_name=f"{index}"
        )
        for index, most in enumerate((7, 2, 2))
        for shot in range(most)
    ]
    learned = learn_equally(engines, examples)
    shot_of = [0, 1, 2, 3, 4, 5, 6, 0, 1, 0, 1]
    for classes, shots in ((1, 1), (1, 2), (1, 5), (1, 7), (3, 1), (3, 2)):
        kept = [at for at, own in enumerate(learned.class_of) if own < classes and shot_of[at] < shots]
        concept = replace(
            learned,
            classes=learned.classes[:classes],
            class_of=tuple(learned.class_of[index] for index in kept),
            names=tuple(learned.names[index] for index in kept),
            rows={name: values[kept] for name, values in learned.rows.items()},
            thumbnails=learned.thumbnails[kept],
        )
        compare_probabilities(engines, concept, [photograph(180, 320, 99) if shots % 2 else photograph(131, 77, 98)])


def test_probabilities_agree_for_tiny_masks(engines: tuple[FewShot, FewShot]) -> None:
    examples = []
    for seed, side in enumerate((1, 3)):
        mask = np.zeros((240, 240), bool)
        mask[100 : 100 + side, 60 : 60 + side] = True
        examples.append(Example(photograph(240, 240, seed), mask))
    for some in (examples[:1], examples):
        compare_probabilities(engines, learn_equally(engines, some), [photograph(240, 240, 5)])


def learn_equally(engines: tuple[FewShot, FewShot], examples: list[Example]) -> Concept:
    """Return the concept of the first engine, which that of the second equals."""
    concepts: list[Concept] = [few_shot.learn(examples) for few_shot in engines]
    for name, rows in concepts[0].rows.items():  # half precision rounds to 5e-4
        np.testing.assert_allclose(rows, concepts[1].rows[name], rtol=1e-3, atol=1e-3 * abs(rows).max())
    return concepts[0]


def compare_probabilities(engines: tuple[FewShot, FewShot], concept: Concept, images: list[np.ndarray]) -> None:
    steep = 6 if engines[0].model_name == "prototypes-lite0" else 1  # an image's own discriminant multiplies rounding
    for image in images:
        found, expected = (few_shot.segment(image, concept).probability for few_shot in engines)
        assert abs(found - expected).max() <= 5 * RELATIVE * steep


@pytest.mark.parametrize("task", [motorcycle, coins])
@pytest.mark.parametrize("model", MODELS)
def test_masks_of_the_demo_differ_by_at_most_ten_pixels(model: str, task: type[Task]) -> None:
    shown = task()
    results = []
    for engine in ("onnx", "torch"):
        few_shot = opened(model, engine)
        results.append(few_shot.segment(shown.query, few_shot.learn(shown.example)))
    assert (results[0].mask != results[1].mask).sum() <= 10


def test_groups_and_saliency_agree(shared_data: Path) -> None:
    groups = cosaliency_groups(shared_data / "VOC-coseg")
    groups = replace(groups, groups={name: groups.groups[name][:3] for name in list(groups.groups)[:2]})
    detectors = [Saliency(engine=engine, edges=False, device="cpu") for engine in ("onnx", "torch")]
    both = [CoSaliency(engine=engine, device="cpu") for engine in ("onnx", "torch")]
    for group, images in groups.groups.items():
        paths = [groups.image_path(group, image) for image in images]
        saliency = [[detector.segment(path) for path in paths] for detector in detectors]
        for own, reference in zip(*saliency, strict=True):
            assert abs(own.probability - reference.probability).max() <= RELATIVE
        learned = [cosaliency.learn(paths) for cosaliency in both]
        for stride, vectors in learned[0].vectors.items():
            assert abs(vectors - learned[1].vectors[stride]).max() <= RELATIVE
        for path in paths:
            own, reference = (each.segment(path, group) for each, group in zip(both, learned, strict=True))
            # positions of nearly equal attention may swap
            assert (own.mask != reference.mask).sum() <= 10
