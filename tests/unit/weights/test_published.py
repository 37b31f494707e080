"""The authors' checkpoints: the network is found from the entries, and imported files name it."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from likewise import Example, FewShot
from likewise.errors import ModelError, WeightsError
from likewise.models import panet
from likewise.models.hsnet import from_checkpoint
from likewise.weights.checkpoint import read_header
from likewise.weights.load import PUBLISHED, load_published
from likewise.weights.names import MODELS
from likewise.weights.published import find_network, import_checkpoint

GOLDEN = {
    "panet-vgg16": "panet_vgg16",
    "panet-resnet50": "panet_resnet50",
    "hsnet-vgg16": "hsnet_vgg16",
    "hsnet-resnet50": "hsnet_resnet50",
    "hsnet-resnet101": "hsnet_resnet101",
    "icnet-vgg16": "icnet",
}


def entries(golden, name: str) -> dict[str, torch.Tensor]:
    """The names and shapes of a published checkpoint, without values."""
    shapes = golden(GOLDEN[name])[0]["entries"]
    return {entry: torch.empty(shape, device="meta") for entry, shape in shapes.items()}


@pytest.fixture
def best_model(rule, golden, tmp_path: Path) -> Path:
    """The checkpoint of HSNet on VGG-16 as its program leaves it, of random weights."""
    meta, _ = golden("hsnet_vgg16")
    state = rule.make_state(meta["entries"], meta["gain"])
    torch.save({f"module.{name}": torch.from_numpy(value) for name, value in state.items()}, tmp_path / "best_model.pt")
    return tmp_path / "best_model.pt"


@pytest.mark.parametrize("name", list(GOLDEN))
def test_the_network_is_found_from_the_entries(name, golden):
    found, renamed = find_network(MODELS[name].method, entries(golden, name), source="best.pt")
    assert found == name
    with torch.device("meta"):
        assert renamed.keys() == PUBLISHED[name].build().state_dict().keys()


@pytest.mark.slow
def test_a_checkpoint_loads_with_its_authors_entry_names(rule, golden, tmp_path):
    meta, _ = golden("panet_vgg16")
    state = {f"module.{k}": torch.from_numpy(v) for k, v in rule.make_state(meta["entries"], meta["gain"]).items()}
    torch.save({"state_dict": state}, tmp_path / "panet.pth")
    model = load_published("panet-vgg16", tmp_path / "panet.pth")
    first = state["module.encoder.backbone.features.0.0.weight"]
    torch.testing.assert_close(model.backbone.net.features[0].weight, first, rtol=0, atol=0)


@pytest.mark.slow
def test_an_imported_checkpoint_names_its_network(best_model):
    name, path = import_checkpoint("hsnet", best_model)
    assert (name, path) == ("hsnet-vgg16", best_model.with_suffix(".safetensors"))
    header = read_header(path)
    assert header["source"] == "best_model.pt"
    assert header["source sha256"] == hashlib.sha256(best_model.read_bytes()).hexdigest()
    expected = from_checkpoint(torch.load(best_model, weights_only=True))
    torch.testing.assert_close(load_file(path), expected, rtol=0, atol=0)
    loaded = FewShot(str(path), side=64, device="cpu")
    named = FewShot("hsnet-vgg16", weights=best_model, side=64, device="cpu")
    by_both = FewShot("hsnet-vgg16", weights=path, side=64, device="cpu")
    assert loaded.fingerprint == named.fingerprint == by_both.fingerprint
    assert loaded.model_name == "hsnet-vgg16"
    image = np.random.default_rng(0).integers(0, 255, (80, 60, 3), dtype=np.uint8)
    concept = named.learn(Example(image, box=(10, 10, 50, 60)))
    assert loaded.segment(image, concept).mask.shape == (80, 60)


@pytest.mark.slow
def test_the_published_networks_take_the_papers_size(best_model):
    _, path = import_checkpoint("hsnet", best_model)
    few_shot = FewShot(str(path), device="cpu")
    assert few_shot.inputs.size(400, 400) == (400, 400)


def test_existing_files_are_not_overwritten(best_model, tmp_path):
    import_checkpoint("hsnet", best_model)
    with pytest.raises(WeightsError, match=r"best_model\.safetensors"):
        import_checkpoint("hsnet", best_model)
    _, path = import_checkpoint("hsnet", best_model, tmp_path / "new" / "other.safetensors")
    with pytest.raises(WeightsError, match=r"other\.safetensors.*hsnet-vgg16.*hsnet-resnet50"):
        load_published("hsnet-resnet50", path)


def test_a_checkpoint_of_another_method_or_depth_is_refused(golden, tmp_path):
    state = entries(golden, "hsnet-resnet50")
    with pytest.raises(WeightsError, match=r"best\.pt.*panet.*backbone"):
        find_network("panet", state, source="best.pt")
    with pytest.raises(WeightsError, match=r"pfenet.*panet, hsnet, icnet"):
        find_network("pfenet", state, source="best.pt")
    del state["hpn_learner.decoder2.2.bias"]
    with pytest.raises(WeightsError, match=r"hsnet-resnet50.*classifier\.2\.bias"):
        find_network("hsnet", state, source="best.pt")
    torch.save(panet.resnet(50).state_dict(), tmp_path / "ours.pt")
    with pytest.raises(WeightsError, match=r"panet-vgg16.*backbone"):
        load_published("panet-vgg16", tmp_path / "ours.pt")
    with pytest.raises(ModelError, match="panet-vgg16"):
        load_published("panet", tmp_path / "ours.pt")


def test_files_of_a_later_format_or_an_unknown_network_are_refused(tmp_path):
    for changed in ({"format": "9"}, {"model": "hsnet-vit"}):
        header = {"likewise": "weights", "format": "1", "model": "hsnet-vgg16", **changed}
        save_file({"x": torch.zeros(1)}, tmp_path / "later.safetensors", header)
        with pytest.raises(WeightsError, match=r"later\.safetensors"):
            load_published("hsnet-vgg16", tmp_path / "later.safetensors")


def test_the_error_for_a_checkpoint_given_as_a_model_says_how_to_import_it(best_model):
    with pytest.raises(WeightsError, match="likewise weights import"):
        FewShot(str(best_model))


def test_a_run_of_an_unknown_model_is_refused(tmp_path):
    header = {"recipe": json.dumps({"model": {"name": "unheard-of"}}), "classes": "[]"}
    save_file({"x": torch.zeros(1)}, tmp_path / "weights.safetensors", header)
    with pytest.raises(WeightsError, match=r"weights\.safetensors"):
        FewShot(str(tmp_path))
