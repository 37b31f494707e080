"""Models open by name, by the folder of a run or by a file."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import save_file

from likewise.backbones.specs import backbone_spec
from likewise.errors import ModelError, WeightsError
from likewise.models import hsnet, panet
from likewise.weights import PRETRAINED
from likewise.weights.checkpoint import find_misfits, read_header, read_state
from likewise.weights.imagenet import load_backbone
from likewise.weights.load import load_trained, open_model
from likewise.weights.names import FEW_SHOT, MODELS, SALIENCY
from support.fake_runs import FIRST_TAP, make_hsnet_run


def test_the_weights_of_a_training_run_name_their_network(tmp_path):
    model = panet.PANet(load_backbone(backbone_spec("lite0", taps=("blocks.4.2",))))
    state = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    recipe = {"model": {"name": "panet", "backbone": "lite0", "taps": ["blocks.4.2"]}}
    save_file(state, tmp_path / "weights.safetensors", metadata={"recipe": json.dumps(recipe), "classes": '["cat"]'})
    for path in (tmp_path, tmp_path / "weights.safetensors"):
        loaded, classes = load_trained(path)
        assert classes == ("cat",)
        assert [tap.module for tap in loaded.backbone.taps] == ["blocks.4.2"]
        torch.testing.assert_close(loaded.state_dict(), model.state_dict(), rtol=1e-3, atol=1e-3)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


@pytest.mark.parametrize("name", [name for name, entry in MODELS.items() if entry.file])
def test_bundled_models_open_by_name_whatever_the_working_folder_holds(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_hsnet_run(tmp_path / name, classes=("cat",))
    opened = open_model(name, [MODELS[name].method])
    assert (opened.name, opened.method, opened.authors) == (name, MODELS[name].method, False)
    assert len(opened.trained_classes) >= 20
    assert not opened.network.training


def test_a_file_without_a_backbone_has_that_of_the_bundled_model_it_names(tmp_path):
    names = {name: MODELS[name].file for name in ("panet-lite0", "hsnet-lite0")}
    (panet_lite0, _), (found, _) = (load_trained(file) for file in names.values())
    assert "backbone.net.blocks.5.0.conv_dw.weight" not in read_state(names["hsnet-lite0"])
    for part in ("blocks.0.0.conv_dw", "blocks.5.0.conv_dw"):
        own, other = (model.backbone.net.get_submodule(part).weight for model in (found, panet_lite0))
        torch.testing.assert_close(own, other, rtol=0, atol=0)
    assert find_misfits(panet_lite0.backbone.state_dict(), found.backbone.state_dict()).keys() == {"unexpected"}

    damaged = tmp_path / "weights.safetensors"
    header = read_header(names["hsnet-lite0"]) | {"backbone": "panet-lite7"}
    save_file(read_state(names["hsnet-lite0"]), damaged, metadata=header)
    with pytest.raises(WeightsError, match="panet-lite7"):
        load_trained(damaged)


def test_every_bundled_file_has_a_card_that_states_its_licence_and_its_hash():
    files = [path for path in PRETRAINED.iterdir() if path.suffix in (".safetensors", ".onnx")]
    assert {entry.file for entry in MODELS.values() if entry.file} <= set(files)
    for path in files:
        card = json.loads((PRETRAINED / f"{path.name.partition('.')[0]}.json").read_text())
        hashes = {card["weights"]["file"]: card["weights"]["sha256"], **card["exported"]}
        assert hashes[path.name] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert card["licence"]
        assert {"recipe", "data", "commit", "numbers"} <= card.keys()


def test_a_model_of_another_method_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"icnet-lite0.*prototypes, panet, hsnet"):
        open_model("icnet-lite0", FEW_SHOT)
    with pytest.raises(ModelError, match="HSNet"):
        open_model(make_hsnet_run(tmp_path), SALIENCY)


def test_arguments_of_another_model_are_refused(tmp_path):
    with pytest.raises(ModelError, match="panet-lite0"):
        open_model("panet-lite0", FEW_SHOT, weights=tmp_path / "x.pth")
    for name in ("panet-lite0", "panet-vgg16"):
        with pytest.raises(ModelError, match=name):
            open_model(name, FEW_SHOT, backbone="resnet50", weights=tmp_path / "x.pth")
    with pytest.raises(ModelError, match="hsnet-vgg16"):
        open_model("hsnet-vgg16", FEW_SHOT)
    with pytest.raises(ModelError, match=r"panet-lite\b.*panet-lite0"):
        open_model("panet-lite", FEW_SHOT)


def test_a_run_of_hsnet_is_rebuilt_with_its_own_width(tmp_path):
    run = make_hsnet_run(tmp_path, classes=("cat", "dog"))
    model, classes = load_trained(run)
    assert classes == ("cat", "dog")
    assert isinstance(model, hsnet.HSNet)
    assert model.config == hsnet.HSNetConfig(channels=(4, 8, 8))
    assert model.backbone.taps[0].module == FIRST_TAP
    torch.testing.assert_close(dict(model.state_dict()), read_state(run / "weights.safetensors"), rtol=0, atol=0)


def test_a_run_has_the_name_of_its_recipe(tmp_path):
    run = make_hsnet_run(tmp_path / "run")
    assert open_model(run, FEW_SHOT).name == open_model(run / "weights.safetensors", FEW_SHOT).name == "hsnet-small"


def test_files_that_are_not_of_a_training_run_are_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"weights\.safetensors"):
        load_trained(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "weights.safetensors")
    with pytest.raises(WeightsError, match=r"weights\.safetensors"):
        load_trained(tmp_path)
    recipe = {"model": {"name": "panet", "backbone": "lite0", "taps": ["blocks.4.2"]}}
    save_file(
        {"x": torch.zeros(1)},
        tmp_path / "weights.safetensors",
        metadata={"recipe": json.dumps(recipe), "classes": "[]"},
    )
    with pytest.raises(WeightsError, match=r"weights\.safetensors"):
        load_trained(tmp_path)


RECIPES = {
    "negative channels": ("hsnet", {"channels": [-4, 8, 8]}),
    "huge channels": ("hsnet", {"channels": [4, 8, 10**12]}),
    "other channels": ("hsnet", {"channels": [4, 8, 16]}),
    "no number": ("hsnet", {"channels": [4, 8, None]}),
    "too few": ("hsnet", {"channels": [4]}),
    "text": ("hsnet", {"channels": "many"}),
    "infinite": ("hsnet", {"channels": [4, 8, float("inf")]}),
    "huge backbone": ("hsnet", {"backbone": "vit_giant_patch14_dinov2"}),
    "backbone of the network": ("hsnet", {"backbone": "hf-hub:evil/model"}),
    "unknown tap": ("hsnet", {"first_tap": "x"}),
    "other model": ("saliency", {"width": 10**12}),
    "endless layers": ("fcn", {"taps": ["blocks.2.0"], "convolutions": 10**9}),
    "unknown model": ("__class__", {}),
}


@pytest.mark.parametrize("kind", RECIPES)
def test_weights_whose_header_describes_another_network_are_refused(kind, tmp_path):
    run = make_hsnet_run(tmp_path)
    path = run / "weights.safetensors"
    state, header = read_state(path), read_header(path)
    name, changes = RECIPES[kind]
    recipe = json.loads(header["recipe"])
    recipe["model"] |= {"name": name, **changes}
    save_file(state, path, metadata={**header, "recipe": json.dumps(recipe)})
    with pytest.raises(WeightsError, match=r"weights\.safetensors"):
        load_trained(run)


@pytest.mark.parametrize(
    "damage",
    [
        {"recipe": "[" * 20_000},
        {"recipe": "[]"},
        {"recipe": "{}"},
        {"recipe": '{"model": 1}'},
        {"recipe": '{"model": {"name": []}}'},
        {"classes": "1"},
        {"classes": "[1]"},
        {"classes": "null"},
        {"likewise": "weights"},
        {"likewise": "weights", "format": "x", "model": "hsnet-vgg16"},
        {"likewise": "weights", "format": "1", "model": "\x1b[2J"},
    ],
)
def test_weights_with_a_damaged_header_are_refused(damage, tmp_path):
    path = make_hsnet_run(tmp_path) / "weights.safetensors"
    state, header = read_state(path), read_header(path)
    save_file(state, path, metadata={**header, **damage})
    with pytest.raises(WeightsError, match=r"weights\.safetensors"):
        open_model(path, FEW_SHOT)


def test_prototypes_take_the_backbone_of_a_run_of_panet_and_of_no_other(tmp_path):
    run = PRETRAINED / "panet-lite0.safetensors"
    opened = open_model("prototypes", FEW_SHOT, weights=run)
    assert opened.method == "prototypes"
    assert opened.name == "prototypes of panet-lite0"
    with pytest.raises(ModelError, match="hsnet"):
        open_model("prototypes", FEW_SHOT, weights=make_hsnet_run(tmp_path))
