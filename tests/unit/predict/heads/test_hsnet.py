"""HSNet in `FewShot`: rows, shots, classes, and the rules of the paper."""

import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from likewise import Concept, Example, FewShot
from likewise.engine.torch import TorchCorrelationNetwork, normalised
from likewise.errors import ConceptError
from likewise.models import hsnet
from likewise.models.hsnet import from_checkpoint
from likewise.models.hsnet_inference import segment
from likewise.ops.hypercorrelation.supports import unpack_supports
from likewise.ops.shots import compete, foreground_wins, vote
from likewise.predict.heads.hsnet import HSNetHead
from likewise.predict.heads.open import exported_head
from likewise.weights.exported import ExportedModel
from likewise.weights.load import open_model
from likewise.weights.names import MODELS
from support.fake_runs import make_hsnet_run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return make_hsnet_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def few_shot(run: Path) -> FewShot:
    """A small HSNet, its classifier moved so that about half of an image is foreground."""
    few_shot = FewShot(str(run), side=160, device="cpu", edges=False)
    image, mask = scene()
    probability = few_shot.segment(image, few_shot.learn(Example(image, mask=mask))).probability
    few_shot.head.network.network.classifier[2].bias.data[0] += float(
        np.log(np.median(probability / (1 - probability)))
    )
    return few_shot


def scene(size=(120, 160), at=(30, 40), seed=0) -> tuple[np.ndarray, np.ndarray]:
    """A red disc on a noisy grey ground, and its mask."""
    generator = np.random.default_rng(seed)
    image = generator.integers(60, 160, (*size, 1), dtype=np.uint8).repeat(3, axis=2)
    rows, columns = np.mgrid[: size[0], : size[1]]
    mask = (rows - at[0] - 25) ** 2 + (columns - at[1] - 25) ** 2 < 25**2
    image[mask] = 220, 40, 40
    return image, mask


def example(*arguments, class_name="disc", **more) -> Example:
    image, mask = scene(*arguments, **more)
    return Example(image, mask=mask, class_name=class_name)


def assert_close_in_half_precision(found: np.ndarray, expected: np.ndarray) -> None:
    """Within a hundredth of what the expected values span: rows are kept in half precision."""
    np.testing.assert_allclose(found, expected, atol=0.01 * float(np.ptp(expected)))


def test_the_prediction_equals_the_models_forward_pass(few_shot):
    image, mask = scene(size=(160, 160))
    query, _ = scene(size=(160, 160), at=(100, 60), seed=1)
    found = few_shot.segment(query, few_shot.learn(Example(image, mask=mask))).probability
    network = few_shot.head.network.network
    normalise = network.backbone.normalise
    with torch.no_grad():
        logits = network(
            normalise(torch.from_numpy(image)[None])[None],
            torch.from_numpy(mask)[None, None].float(),
            normalise(torch.from_numpy(query)[None]),
        )
    expected = logits.softmax(dim=2)[0, 0, 1].numpy()
    assert 0.2 < (expected > 0.5).mean() < 0.8
    assert_close_in_half_precision(found, expected)


def test_the_probability_is_the_mean_over_shots_of_any_size(few_shot):
    shots = [example(), example((200, 90), (100, 20), seed=1), example(at=(60, 90), seed=2)]
    query, _ = scene((90, 130), (20, 30), seed=3)
    together = few_shot.segment(query, few_shot.learn(shots))
    apart = [few_shot.segment(query, few_shot.learn(shot)).probability for shot in shots]
    np.testing.assert_allclose(together.probability, np.mean(apart, axis=0), atol=1e-5)
    assert together.mask.shape == (90, 130)


def test_classes_compete_by_their_own_probabilities(few_shot):
    one, other = example(class_name="one"), example(at=(60, 90), seed=2, class_name="other")
    query, _ = scene(seed=3)
    result = few_shot.segment(query, few_shot.learn([one, other]))
    apart = [few_shot.segment(query, few_shot.learn(each)).probability for each in (one, other)]
    expected = compete(np.stack(apart))
    np.testing.assert_allclose(result.probability, 1 - expected[0], atol=1e-5)
    labels = expected.argmax(axis=0)
    assert len(np.unique(labels)) == 3
    assert (result.labels == labels).mean() > 0.999


def test_merging_examples_of_unequal_masks_is_learning_them_together(few_shot):
    small = Example(scene()[0], box=(50, 40, 80, 60), class_name="small")
    examples = [small, example(), example((60, 200), (5, 100), seed=1)]
    together = few_shot.learn(examples)
    first, *others = (few_shot.learn(each) for each in examples)
    apart = first.merged(*others)
    torch.testing.assert_close(apart.rows, together.rows, rtol=0, atol=0)
    assert apart.classes == together.classes == ("small", "disc")
    query, _ = scene(seed=3)
    np.testing.assert_array_equal(
        few_shot.segment(query, together).probability, few_shot.segment(query, apart).probability
    )


def test_a_saved_concept_is_in_half_precision_and_segments_identically(few_shot, tmp_path):
    concept = few_shot.learn([example(), example((60, 200), (5, 100), seed=1)])
    concept.save(tmp_path / "disc.concept")
    again = Concept.load(tmp_path / "disc.concept")
    assert {rows.dtype for rows in again.rows.values() if rows.dtype.kind == "f"} == {np.dtype(np.float16)}
    query, _ = scene(seed=3)
    before, after = (few_shot.segment(query, each).probability for each in (concept, again))
    np.testing.assert_array_equal(before, after)


def test_as_published_the_shots_of_a_class_vote(few_shot, run):
    published = FewShot(str(run), side=160, device="cpu", edges=False, as_published=True)
    network = few_shot.head.network.network
    published.head.network.network.load_state_dict(network.state_dict())
    published.fingerprint = few_shot.fingerprint
    shots = [example(seed=seed, at=(5 * seed, 30 * seed)) for seed in range(3)]
    concept = few_shot.learn(shots)
    query, _ = scene((160, 160), seed=5)
    voted = published.segment(query, concept)
    logits = segment(network, normalised(network.backbone, query[None]), unpack_supports(concept.rows))
    np.testing.assert_array_equal(voted.mask, vote(foreground_wins(logits.numpy()))[0])
    by_mean = few_shot.segment(query, concept)
    assert (by_mean.mask != voted.mask).any()
    assert 0.1 < by_mean.probability.mean() < 0.9
    assert set(np.unique(voted.probability)) == {0.0, 1.0}


@pytest.mark.parametrize("as_published", [False, True])
@pytest.mark.parametrize("authors", [False, True])
def test_levels_without_mask_stay_empty_only_as_published_with_the_authors_weights(
    run, authors, as_published, monkeypatch
):
    monkeypatch.setattr(
        "likewise.predict.heads.torch.open_model",
        lambda *arguments, **options: replace(open_model(*arguments, **options), authors=authors),
    )
    by_torch = FewShot(str(run), device="cpu", as_published=as_published).head.network
    assert by_torch.network.config.rescue is not (authors and as_published)
    bundled = ExportedModel("hsnet-lite0", "hsnet", MODELS["hsnet-lite0"].onnx, {"authors": authors})
    assert exported_head(bundled, "cpu", as_published).network.rescue is not (authors and as_published)


def test_as_published_masks_equal_those_of_the_published_program(rule, golden, monkeypatch):
    meta, arrays = golden("hsnet_resnet50_vote")
    entries = golden("hsnet_resnet50")[0]["entries"]
    state = {name: torch.from_numpy(value) for name, value in rule.make_state(entries, meta["gain"]).items()}
    overrides = meta["cases"]["net_balanced"]["overrides"]
    state |= {name: torch.tensor(value) for name, value in overrides.items()}
    with torch.device("meta"):
        network = hsnet.resnet(50)
    network.load_state_dict(from_checkpoint(state), strict=True, assign=True)
    head = HSNetHead(
        TorchCorrelationNetwork(network.eval().requires_grad_(False), "", 400, rescue=False), as_published=True
    )
    query, images, masks = (
        torch.from_numpy(getattr(rule, function)(*arguments))
        for function, *arguments in (meta["inputs"][name] for name in ("query_img", "support_imgs", "support_masks"))
    )
    # The golden inputs are normalised already, and are no 8-bit images.
    inputs: list[torch.Tensor] = [*images[0][:, None]]
    monkeypatch.setattr("likewise.engine.torch.normalised", lambda backbone, images: inputs.pop(0))
    pixels = np.zeros((*query.shape[-2:], 3), np.uint8)
    shots = [one_shot(head.learn(pixels, mask, ~mask)) for mask in masks[0].numpy() == 1]
    five, two = (head.prepare(shots[0].merged(*shots[1:count])) for count in (5, 2))
    found = {}
    for case, ways, size in (
        ("net_balanced_final_5shot", five, (128, 128)),
        ("orig_size_final_5shot", five, (90, 150)),
        ("net_balanced_final_2shot", two, (128, 128)),
    ):
        inputs.append(query)
        found[case] = head.segment(pixels[None], ways, [size])[0].probabilities[1]
    for case, mask in found.items():
        expected = arrays[case][0]
        assert 0.1 < expected.mean() < 0.9
        assert (mask != expected).mean() < 2e-3  # rows are kept in half precision


def one_shot(rows: dict[str, np.ndarray]) -> Concept:
    return Concept("hsnet", "", "", 400, ("object",), (0,), ("",), rows, np.zeros((1, 96, 96, 3), np.uint8))


def test_one_warning_names_the_image_whose_object_vanishes_at_a_level(few_shot, tmp_path):
    image, _ = scene((160, 160))
    Image.fromarray(image).save(tmp_path / "ant.png")
    mask = np.zeros((160, 160), bool)
    mask[48:52, 48:52] = True
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        concept = few_shot.learn([Example(tmp_path / "ant.png", mask=mask), example()])
    messages = [str(each.message) for each in caught]
    assert len(messages) == 1
    assert messages[0].startswith(str(tmp_path / "ant.png"))
    assert "16 and 32" in messages[0]
    for stride in (8, 16, 32):
        assert concept.rows[f"{stride}.features.0"][0].any()
    assert few_shot.segment(image, concept).mask.shape == (160, 160)


@pytest.mark.parametrize("size", [(20, 20), (17, 300), (300, 31)])
def test_images_with_a_side_under_32_pixels_are_enlarged(few_shot, size):
    generator = np.random.default_rng(0)
    image = generator.integers(0, 255, (*size, 3), dtype=np.uint8)
    mask = np.zeros(size, bool)
    mask[5:15, 5:15] = True
    result = few_shot.segment(image, few_shot.learn(Example(image, mask=mask)))
    assert result.probability.shape == size
    assert np.isfinite(result.probability).all()
    assert min(few_shot.inputs.size(*size)) >= 32


def test_the_papers_size_stays_and_other_images_keep_their_aspect(run):
    few_shot = FewShot(str(run), side=400, device="cpu")
    assert few_shot.inputs.size(400, 400) == (400, 400)
    assert few_shot.inputs.size(375, 500) == (352, 464)
    assert FewShot(str(run), device="cpu").side == 256


def test_concepts_of_another_run_or_method_are_refused(few_shot, tmp_path):
    concept = few_shot.learn(example())
    other = FewShot(str(make_hsnet_run(tmp_path, seed=1)), side=160, device="cpu")
    image, _ = scene()
    with pytest.raises(ConceptError, match=other.fingerprint):
        other.segment(image, concept)
    with pytest.raises(ConceptError, match=r"hsnet-small.*panet-lite0"):
        FewShot("panet-lite0", side=160, device="cpu").segment(image, concept)


def test_a_concept_fits_its_run_after_the_folder_moves(run, tmp_path):
    image, _ = scene()
    concept = FewShot(str(run), side=64, device="cpu").learn(example())
    moved = shutil.copytree(run, tmp_path / "elsewhere")
    assert FewShot(str(moved), side=64, device="cpu").segment(image, concept).mask.shape == image.shape[:2]


def test_bfloat16_takes_the_same_concepts_and_stays_close(run, few_shot):
    coarse = FewShot(str(run), side=160, device="cpu", precision="bfloat16")
    exact = FewShot(str(run), side=160, device="cpu")
    assert next(coarse.head.network.network.parameters()).dtype == torch.bfloat16
    query, _ = scene(seed=3)
    concept = exact.learn(example())
    probabilities = [each.segment(query, concept).probability for each in (coarse, exact)]
    np.testing.assert_allclose(*probabilities, atol=5e-3)
    learned = coarse.segment(query, coarse.learn(example())).probability
    np.testing.assert_allclose(learned, probabilities[1], atol=5e-3)


def test_a_concept_with_positions_outside_its_image_is_refused(run):
    few_shot = FewShot(str(run), side=64, device="cpu")
    mask = np.zeros((64, 64), bool)
    mask[16:48, 16:48] = True
    concept = few_shot.learn(Example(np.zeros((64, 64, 3), np.uint8), mask=mask))
    concept.rows["8.positions"] = np.full_like(concept.rows["8.positions"], 3000)
    with pytest.raises(ConceptError, match="stride 8"):
        few_shot.check(concept)
