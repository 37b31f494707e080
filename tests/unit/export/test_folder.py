"""Exported folders: what they hold, what they compute, and what is refused."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from likewise import Concept, Example, FewShot, SceneParser
from likewise.errors import ConceptError, ModelError, OutputError, WeightsError
from likewise.export.check import sample
from likewise.export.folder import export_baked, export_model
from support.fake_runs import make_hsnet_run
from support.scene_runs import CLASSES, write_run

pytestmark = pytest.mark.slow
CHOICE = {"backbone": "lite0", "taps": ("blocks.2.1", "blocks.3.2")}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exports")


@pytest.fixture(scope="module")
def panet(work: Path) -> Path:
    done = export_model("panet", work / "panet", **CHOICE, check=True)
    assert [graph for graph, _ in done.differences] == ["backbone.onnx"]
    assert done.differences[0].largest < 1e-5
    return work / "panet"


@pytest.fixture(scope="module")
def scenes(work: Path) -> tuple[Path, Path]:
    """A run and its export."""
    run = write_run(work / "run", side=64)
    done = export_model(run, work / "scenes", check=True)
    assert done.differences[0].largest < 1e-5
    return run, work / "scenes"


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    mask = np.zeros((96, 128), bool)
    mask[20:70, 30:90] = True
    images = [np.where(mask[..., None], (210, 40, 30), sample(96, 128, seed)).astype(np.uint8) for seed in range(3)]
    return [Example(image, mask=mask, class_name=name) for image, name in zip(images, "aab", strict=True)]


def test_a_card_states_inputs_outputs_hash_and_use(panet: Path) -> None:
    card = json.loads((panet / "card.json").read_text())
    (graph,) = card["graphs"].values()
    assert card["method"] == "panet"
    assert graph["inputs"] == ["images: uint8 (b, h, w, 3)"]
    assert [line.partition(":")[0] for line in graph["outputs"]] == ["blocks.2.1", "blocks.3.2"]
    assert graph["sha256"] == hashlib.sha256((panet / graph["file"]).read_bytes()).hexdigest()
    readme = (panet / "README.md").read_text()
    for part in (graph["sha256"], graph["use"], "multiples of 16"):
        assert part in readme


def test_a_few_shot_model_segments_as_on_torch_and_shares_its_concepts(panet: Path, examples: list[Example]) -> None:
    by_torch = FewShot("panet", **CHOICE, engine="torch", device="cpu")
    by_onnx = FewShot(str(panet))
    assert by_onnx.engine == "onnx"
    concept = by_torch.learn(examples)
    own, reference = by_onnx.segment(sample(101, 77), concept), by_torch.segment(sample(101, 77), concept)
    np.testing.assert_allclose(own.probability, reference.probability, atol=1e-4)
    by_torch.check(by_onnx.learn(examples))


def test_a_scene_network_parses_as_on_torch(scenes: tuple[Path, Path]) -> None:
    run, folder = scenes
    by_torch, by_onnx = SceneParser(run, device="cpu", mirror=True), SceneParser(folder, mirror=True)
    assert (by_onnx.classes, by_onnx.side, by_onnx.settings) == (CLASSES, 64, by_torch.settings)
    for size in ((75, 101), (64, 64)):
        image = sample(*size)
        np.testing.assert_allclose(by_onnx.probabilities(image), by_torch.probabilities(image), atol=1e-5)


@pytest.mark.parametrize("model", ["prototypes-lite0", "panet-lite0"])
def test_a_baked_concept_needs_an_image_only(model: str, work: Path, examples: list[Example]) -> None:
    few_shot = FewShot(model, quality="fast", edges=False, presence=0.0)
    concept = few_shot.learn(examples)
    concept.save(work / "ab.concept")
    done = export_baked(work / "ab.concept", work / f"baked-{model}", check=True)
    assert done.differences[0].largest < 0.05  # Pillow and ONNX Runtime resize single pixels differently
    session = onnxruntime.InferenceSession(done.files[0])
    for size in ((96, 64), (33, 47)):  # both resize equally here
        (found,) = session.run(None, {"images": sample(*size)[None]})
        assert found.shape == (1, 3, *size)
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
        probability = few_shot.segment(sample(*size), concept).probability
        np.testing.assert_allclose(1 - found[0, 0], probability, atol=1e-3)
    with pytest.raises(ModelError, match="concept"):
        FewShot(str(work / f"baked-{model}"))


def test_an_hsnet_runs_from_its_folder(work: Path, examples: list[Example]) -> None:
    run = make_hsnet_run(work / "hsnet")
    done = export_model(run, work / "hsnet-onnx", check=True)
    assert [graph for graph, _ in done.differences] == ["units.onnx", "logits.onnx"]
    assert max(largest for _, largest in done.differences) < 1e-5
    by_onnx, by_torch = FewShot(str(work / "hsnet-onnx")), FewShot(str(run), device="cpu")
    assert by_onnx.engine == "onnx"
    concept = by_torch.learn(examples)
    query = sample(150, 200)
    found, expected = (few_shot.segment(query, concept).probability for few_shot in (by_onnx, by_torch))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    concept.save(work / "hsnet.concept")
    with pytest.raises(ModelError, match="HSNet"):
        export_baked(work / "hsnet.concept", work / "never", model=run)


def test_a_concept_of_other_weights_is_refused(work: Path, examples: list[Example]) -> None:
    concept = FewShot("panet-lite0").learn(examples)
    concept.save(work / "own.concept")
    with pytest.raises(ConceptError, match="prototypes-lite0"):
        export_baked(work / "own.concept", work / "never", model="prototypes-lite0")
    Concept(**{**vars(concept), "fingerprint": "0123456789abcdef"}).save(work / "foreign.concept")
    with pytest.raises(ConceptError, match="0123456789abcdef"):
        export_baked(work / "foreign.concept", work / "never")
    Concept(**{**vars(concept), "model": "mine"}).save(work / "unknown.concept")
    with pytest.raises(ModelError, match="mine"):
        export_baked(work / "unknown.concept", work / "never")
    assert not (work / "never").exists()


def test_exported_models_and_full_folders_are_refused(panet: Path, work: Path) -> None:
    with pytest.raises(ModelError, match="exported model"):
        export_model(panet, work / "never")
    (work / "full").mkdir()
    (work / "full/notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="full"):
        export_model("panet", work / "full", force=True)
    assert not (work / "never").exists()


def test_a_network_that_the_exporter_cannot_express_is_named(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such operator")

    monkeypatch.setattr("torch.onnx.export", fail)
    with pytest.raises(ModelError, match=r"panet.*no such operator"):
        export_model("panet", work / "failed")


def test_damaged_files_of_a_folder_are_named_with_their_hash(panet: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(panet, folder)
    graph, card = folder / "backbone.onnx", folder / "card.json"
    whole, text = graph.read_bytes(), card.read_text()
    graph.write_bytes(whole[:-7])
    with pytest.raises(WeightsError, match=rf"backbone\.onnx.*{hashlib.sha256(whole[:-7]).hexdigest()[:16]}"):
        FewShot(str(folder))
    graph.unlink()
    with pytest.raises(WeightsError, match=r"backbone\.onnx"):
        FewShot(str(folder))
    foreign = onnx.load_from_string(whole)
    del foreign.metadata_props[:]
    graph.write_bytes(foreign.SerializeToString())
    stated = json.loads(text)["graphs"]["backbone"]["sha256"]
    card.write_text(text.replace(stated, hashlib.sha256(graph.read_bytes()).hexdigest()))
    with pytest.raises(WeightsError, match=r"backbone\.onnx.*not export"):
        FewShot(str(folder))
    for broken in ("{", "{}", text.replace('"format": 1', '"format": 99')):
        card.write_text(broken)
        with pytest.raises(WeightsError, match=r"card\.json"):
            FewShot(str(folder))


def test_an_exported_model_runs_on_onnx_runtime_only(panet: Path, scenes: tuple[Path, Path]) -> None:
    with pytest.raises(ModelError, match="torch"):
        FewShot(str(panet), engine="torch")
    with pytest.raises(ModelError, match="bfloat16"):
        FewShot(str(panet), precision="bfloat16")
    with pytest.raises(ModelError, match="mcibi"):
        FewShot(str(scenes[1]))
    with pytest.raises(ModelError, match="panet"):
        SceneParser(panet)
