import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from likewise import Concept, Example, FewShot, find_examples
from likewise.errors import ArgumentError, HubError, MissingExtraError, WeightsError
from likewise.ops.presence import measure_world
from likewise.predict.pretrained import CONFIG, model_card
from likewise.predict.worlds import save_world
from support.fake_hub import fake_hub
from support.fakes import noise


@pytest.fixture(scope="module")
def few_shot() -> FewShot:
    return FewShot(side=96, presence=0.25, edges=False)


@pytest.fixture(scope="module")
def concept(few_shot) -> Concept:
    mask = np.zeros((60, 80), bool)
    mask[20:50, 20:60] = True
    return few_shot.learn(Example(noise(0), mask=mask, class_name="cat"))


@pytest.fixture
def hub(monkeypatch, tmp_path):
    pytest.importorskip("huggingface_hub")
    with fake_hub(monkeypatch, tmp_path / "cache") as served:
        yield served


def test_a_saved_model_gives_the_same_results(few_shot, concept, tmp_path):
    few_shot.save_pretrained(tmp_path / "x")
    again = FewShot.from_pretrained(tmp_path / "x")
    assert again.settings == few_shot.settings
    assert not again.edges
    assert again.segment(noise(1), concept) == few_shot.segment(noise(1), concept)


def test_the_quality_is_saved_and_older_folders_have_the_default(few_shot, tmp_path):
    FewShot(side=96, quality="fast").save_pretrained(tmp_path)
    assert FewShot.from_pretrained(tmp_path).quality == "fast"
    config = json.loads((tmp_path / CONFIG).read_text())
    del config["quality"]
    (tmp_path / CONFIG).write_text(json.dumps(config))
    assert FewShot.from_pretrained(tmp_path).quality == few_shot.quality


def test_arguments_replace_saved_ones(few_shot, tmp_path):
    few_shot.save_pretrained(tmp_path)
    assert FewShot.from_pretrained(tmp_path, presence=0.0, edges=True).presence == 0


def test_the_card_states_licence_recipe_and_settings(few_shot, tmp_path):
    few_shot.save_pretrained(tmp_path / "mine")
    text = (tmp_path / "mine/README.md").read_text()
    head = yaml.safe_load(text.split("---")[1])
    assert head["library_name"] == "likewise"
    assert "PASCAL VOC 2012" in text
    assert few_shot.fingerprint in text
    assert "learning_rate: 0.0003" in text


def test_a_model_travels_over_the_hub(few_shot, concept, hub):
    address = few_shot.push_to_hub("ann/few", token=hub.token)
    assert "ann/few" in address
    assert set(hub.files["ann/few"]) == {CONFIG, "README.md"}
    assert 'from_pretrained("ann/few")' in hub.files["ann/few"]["README.md"].decode()
    again = FewShot.from_pretrained("ann/few")
    assert again.segment(noise(1), concept) == few_shot.segment(noise(1), concept)
    hub.files.clear()
    assert FewShot.from_pretrained("ann/few", local_files_only=True).settings == few_shot.settings


def test_a_concept_travels_over_the_hub(concept, hub):
    concept.push_to_hub("hf://ann/pets/cat.concept", token=hub.token)
    assert Concept.load("hf://ann/pets/cat.concept") == concept
    assert find_examples(["hf://ann/pets/cat.concept"])[1][0].name == "cat.concept"
    card = hub.files["ann/pets"]["README.md"].decode()
    assert "--like hf://ann/pets/cat.concept" in card


def test_weights_that_are_not_the_saved_ones_are_refused(few_shot, tmp_path):
    few_shot.save_pretrained(tmp_path)
    change(tmp_path, fingerprint="0" * 16)
    with pytest.raises(WeightsError, match=f"0000.*{few_shot.fingerprint}"):
        FewShot.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"likewise": "export"},
        {"format": 2},
        {"side": "big"},
        {"quality": 1},
        {"taps": [1]},
        {"model": None},
        {"model": "../secret"},
        {"model": "/etc/passwd"},
        {"weights": "weights.safetensors"},
        {"world": ["x"]},
    ],
)
def test_a_damaged_or_hostile_config_is_refused(few_shot, tmp_path, changes):
    few_shot.save_pretrained(tmp_path)
    change(tmp_path, **changes)
    with pytest.raises(HubError, match=str(tmp_path)):
        FewShot.from_pretrained(tmp_path)


def test_a_folder_without_a_config_is_refused(tmp_path):
    with pytest.raises(HubError, match=CONFIG):
        FewShot.from_pretrained(tmp_path)


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"likewise\[hub\]"):
        FewShot.from_pretrained("ann/few")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["convnext_atto", "vit_tiny_patch16_224", "lite0"])
def test_presence_whitening_and_instances_work_on_another_backbone(name, tmp_path):
    torch, timm = pytest.importorskip("torch"), pytest.importorskip("timm")
    from safetensors.torch import save_file

    torch.manual_seed(0)
    weights = None  # lite0 carries those of ImageNet
    if name != "lite0":
        weights = tmp_path / "random.safetensors"
        save_file(timm.create_model(name, num_classes=0).state_dict(), weights)
    few_shot = FewShot("prototypes", name, weights=weights, side=96)
    world = measure_world(few_shot.semantic_map(noise(seed)) for seed in range(9))
    save_world(tmp_path / "x.world", world, few_shot.extractor, images=9)
    few_shot = FewShot("prototypes", name, weights=weights, world=tmp_path / "x.world", side=96, presence=0.0)
    mask = np.zeros((60, 80), bool)
    mask[20:50, 20:60] = True
    concept = few_shot.learn([Example(noise(seed), mask=mask) for seed in range(5)])  # several are whitened
    result = few_shot.segment(noise(0), concept)
    assert 0 <= result.presence <= 1
    assert result.mask.any()
    assert len(result.instances)
    assert not (result.instances.ids > 0)[~result.mask].any()


def change(folder: Path, **changes: object) -> None:
    path = folder / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["convnext_atto", "vit_tiny_patch16_224"])
def test_a_model_on_another_backbone_takes_its_weights_and_its_world_along(name, tmp_path):
    torch, timm = pytest.importorskip("torch"), pytest.importorskip("timm")
    from safetensors.torch import save_file

    torch.manual_seed(0)
    save_file(timm.create_model(name, num_classes=0).state_dict(), tmp_path / "mine.safetensors")
    few_shot = FewShot("prototypes", name, weights=tmp_path / "mine.safetensors", side=96)
    world = measure_world(few_shot.semantic_map(noise(seed)) for seed in range(9))
    save_world(tmp_path / "mine.world", world, few_shot.extractor, images=9)
    few_shot = FewShot(
        "prototypes", name, weights=tmp_path / "mine.safetensors", world=tmp_path / "mine.world", side=96
    )
    few_shot.save_pretrained(tmp_path / "x")
    (tmp_path / "mine.safetensors").unlink()
    (tmp_path / "mine.world").unlink()
    moved = (tmp_path / "x").rename(tmp_path / "y")
    again = FewShot.from_pretrained(moved)
    assert again.settings == few_shot.settings
    mask = np.zeros((60, 80), bool)
    mask[20:50, 20:60] = True
    concept = again.learn([Example(noise(seed), mask=mask) for seed in range(5)])  # several are whitened
    assert 0 <= again.segment(noise(9), concept).presence <= 1
    assert "terms of the training data" in model_card(again, "y")
    with pytest.raises(ArgumentError, match="another folder"):
        again.save_pretrained(moved)
