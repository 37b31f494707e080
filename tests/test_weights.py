"""Weights load strictly and safely, and their absence is told at once."""

import json
import pickle
from dataclasses import replace

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from fake_runs import FIRST_TAP, make_hsnet_run
from likewise import weights
from likewise.backbones import BACKBONES, backbone_spec
from likewise.models import hsnet, panet
from likewise.weights import (
    WeightsError,
    fingerprint,
    load_backbone,
    load_state,
    load_trained,
    read_state,
    recipe_name,
)


def test_the_bundled_backbone_recognises_a_cat():
    from skimage import data, transform

    net = timm.create_model("tf_efficientnet_lite0").eval()
    net.load_state_dict(weights._lite0_state()[0], strict=True)
    backbone = load_backbone(backbone_spec("lite0"))
    cat = transform.resize(data.chelsea(), (224, 224), preserve_range=True).astype("uint8")
    with torch.no_grad():
        scores = net(backbone.normalise(torch.from_numpy(cat)[None]))
    assert scores.argmax().item() in {281, 282, 285}  # tabby, tiger cat, Egyptian cat


def test_a_damaged_bundled_file_is_told(monkeypatch):
    monkeypatch.setattr(weights, "LITE0_SHA256", "0" * 64)
    with pytest.raises(WeightsError, match=r"is damaged .* reinstall"):
        load_backbone(backbone_spec("lite0"))


def test_without_network_or_cache_the_missing_file_is_named_after_one_attempt(monkeypatch, tmp_path):
    attempts = []

    def refuse(*arguments, **more):
        attempts.append(arguments)
        raise ConnectionError("no route")

    monkeypatch.setattr(weights, "try_to_load_from_cache", lambda *arguments: None)
    monkeypatch.setattr(weights, "get_hf_file_metadata", refuse)
    with pytest.raises(WeightsError, match=r"resnet50 needs model\.safetensors of timm/resnet50\.tv_in1k.*pass a file"):
        load_backbone(backbone_spec("resnet50"))
    assert len(attempts) == 1


def test_a_backbone_without_public_weights_asks_for_a_file():
    with pytest.raises(WeightsError, match=r"resnet50-deep has no public ImageNet weights; pass a file"):
        load_backbone(backbone_spec("resnet50-deep"))


@pytest.mark.parametrize("name", ["resnet50", "vgg16"])
def test_torchvision_checkpoints_load_into_timm_networks(name, tmp_path):
    import torchvision

    theirs = getattr(torchvision.models, name)().eval()
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    backbone = load_backbone(backbone_spec(name), weights=tmp_path / "weights.pth")
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        deepest = backbone(images)[-1]
        if name == "vgg16":
            expected = theirs.features(images)
        else:
            body = nn.Sequential(*list(theirs.children())[:-2])
            expected, deepest = body(images), deepest.relu()
    torch.testing.assert_close(deepest, expected)


def test_a_timm_vision_transformer_loads_from_a_file(tmp_path):
    net = timm.create_model("vit_tiny_patch16_224", num_classes=0).eval()
    save_file(net.state_dict(), tmp_path / "vit.safetensors")
    backbone = load_backbone(backbone_spec("vit_tiny_patch16_224"), weights=tmp_path / "vit.safetensors")
    with torch.no_grad():
        (features,) = backbone(torch.zeros(1, 3, 224, 224))
        (expected,) = net.forward_intermediates(torch.zeros(1, 3, 224, 224), indices=1, intermediates_only=True)
    torch.testing.assert_close(features, expected)


def test_branches_load_from_a_file_of_the_whole_network_without_a_word(tmp_path, caplog):
    net = timm.create_model("hrnet_w18_small")
    save_file(net.state_dict(), tmp_path / "hrnet.safetensors")
    spec = replace(BACKBONES["hrnet-w48"], timm="hrnet_w18_small")
    backbone = load_backbone(spec, weights=tmp_path / "hrnet.safetensors")
    whole = net.state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in backbone.net.state_dict().items())
    assert not caplog.records


@pytest.mark.parametrize("name", ["resnet50", "convnext_atto"])
def test_weights_of_another_network_say_what_does_not_fit(name, tmp_path):
    save_file({"layer9.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"other\.safetensors: does not fit"):
        load_backbone(backbone_spec(name), weights=tmp_path / "other.safetensors")


def test_missing_unexpected_and_misshapen_entries_are_named():
    layer = nn.Linear(2, 3)
    with pytest.raises(WeightsError, match=r"x\.pt: does not fit this network; 1 missing: bias; 1 unexpected: other"):
        load_state(layer, {"weight": torch.zeros(3, 2), "other": torch.zeros(1)}, source="x.pt")
    with pytest.raises(WeightsError, match=r"weight is \(2, 3\), needed is \(3, 2\)"):
        load_state(layer, {"weight": torch.zeros(2, 3), "bias": torch.zeros(3)}, source="x.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_entries_that_are_no_numbers_are_named_and_change_nothing(value):
    layer = nn.Linear(2, 3)
    before = layer.weight.clone()
    with pytest.raises(
        WeightsError, match=r"x\.pt: holds NaN or infinity; 1 broken: bias; .* take an earlier checkpoint"
    ):
        load_state(layer, {"weight": torch.zeros(3, 2), "bias": torch.tensor([0.0, value, 1.0])}, source="x.pt")
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("wrapping", [None, "state_dict", "model"])
def test_wrappings_and_the_prefix_of_parallel_training_are_taken_off(wrapping, tmp_path):
    state = {"module.weight": torch.ones(2)}
    torch.save({wrapping: state, "epoch": 3} if wrapping else state, tmp_path / "best.pt")
    assert set(read_state(tmp_path / "best.pt")) == {"weight"}


class Opens:
    def __reduce__(self):
        return (open, ("/dev/null",))


def test_files_that_are_no_checkpoint_are_refused_by_name(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.pt: there is no such file"):
        read_state(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(WeightsError, match=r"text\.pt: "):
        read_state(tmp_path / "text.pt")
    (tmp_path / "empty.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"empty\.safetensors: not a readable checkpoint"):
        read_state(tmp_path / "empty.safetensors")
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Opens()))
    with pytest.raises(WeightsError, match=r"evil\.pt: cannot be read safely"):
        read_state(tmp_path / "evil.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(WeightsError, match=r"list\.pt: holds no state dict"):
        read_state(tmp_path / "list.pt")


def test_the_fingerprint_changes_with_any_weight():
    layer = nn.Linear(4, 4)
    before = fingerprint(layer)
    assert before == fingerprint(layer)
    with torch.no_grad():
        layer.bias[3] += 1e-6
    assert fingerprint(layer) != before


def test_the_weights_of_a_training_run_say_what_network_they_are_for(tmp_path):
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


def test_the_name_of_a_bundled_model_stands_for_its_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, classes = load_trained("panet-lite0")
    assert isinstance(model, panet.PANet)
    assert len(classes) == 20
    elsewhere = make_hsnet_run(tmp_path / "runs/panet-lite0", classes=("cat",))
    assert load_trained(elsewhere)[1] == ("cat",)


def test_a_run_of_hsnet_is_rebuilt_with_its_own_width_and_prototypes(tmp_path):
    run = make_hsnet_run(tmp_path, classes=("cat", "dog"), prototype_taps=("blocks.4.2", "blocks.6.0"))
    model, classes = load_trained(run)
    assert classes == ("cat", "dog")
    assert isinstance(model, hsnet.HSNet)
    assert model.config == hsnet.HSNetConfig(channels=(4, 8, 8), prototype_taps=("blocks.4.2", "blocks.6.0"))
    assert model.backbone.taps[0].module == FIRST_TAP
    torch.testing.assert_close(dict(model.state_dict()), read_state(run / "weights.safetensors"), rtol=0, atol=0)


def test_a_run_is_called_as_its_recipe_or_else_as_its_folder(tmp_path):
    run = make_hsnet_run(tmp_path / "run")
    assert recipe_name(run) == recipe_name(run / "weights.safetensors") == "hsnet-small"
    (tmp_path / "other").mkdir()
    save_file({"x": torch.zeros(1)}, tmp_path / "other" / "weights.safetensors")
    assert recipe_name(tmp_path / "other") == "other"


def test_files_that_no_training_run_left_are_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"weights\.safetensors: there is no such file"):
        load_trained(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "weights.safetensors")
    with pytest.raises(WeightsError, match="not the weights of a training run"):
        load_trained(tmp_path)
    recipe = {"model": {"name": "panet", "backbone": "lite0", "taps": ["blocks.4.2"]}}
    save_file(
        {"x": torch.zeros(1)},
        tmp_path / "weights.safetensors",
        metadata={"recipe": json.dumps(recipe), "classes": "[]"},
    )
    with pytest.raises(WeightsError, match="does not fit this network"):
        load_trained(tmp_path)
