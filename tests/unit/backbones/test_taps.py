"""Taps read the stated features, and modules after the last tap do not run."""

import copy
from concurrent.futures import ThreadPoolExecutor
from math import ceil

import pytest
import timm
import torch
import torch.nn.functional as F

from likewise.backbones.specs import BACKBONES, BackboneSpec, Tap, backbone_spec
from likewise.backbones.taps import Backbone
from likewise.errors import ModelError


@pytest.mark.parametrize("name", BACKBONES)
def test_every_tap_has_the_stride_and_channels_it_states(name):
    backbone = Backbone(BACKBONES[name])
    for height, width in ((64, 96), (96, 64)):
        features = backbone(torch.randn(1, 3, height, width))
        assert len(features) == len(backbone.taps)
        for tap, feature in zip(backbone.taps, features, strict=True):
            assert feature.shape[1] == tap.channels
            assert abs(feature.shape[2] - height / tap.stride) <= 1
            assert abs(feature.shape[3] - width / tap.stride) <= 1


def test_lite0_taps_equal_the_features_of_the_whole_network():
    whole = timm.create_model("tf_efficientnet_lite0").eval()
    backbone = Backbone(BACKBONES["lite0"].with_taps("blocks.4.2", "blocks.5.3"))
    backbone.net.load_state_dict(whole.state_dict(), strict=False)
    images = torch.randn(2, 3, 64, 96)
    x = whole.bn1(whole.conv_stem(images))
    expected = []
    for stage in range(6):
        x = whole.blocks[stage](x)
        expected.append(x)
    for ours, theirs in zip(backbone(images), expected[4:], strict=True):
        torch.testing.assert_close(ours, theirs)
    assert "blocks.6" in backbone.left_out


def test_a_tap_before_the_activation_is_the_sum_before_the_relu():
    backbone = Backbone(BACKBONES["resnet50"].with_taps("layer1.0.act3"))
    block = backbone.net.layer1[0]
    sums = []
    block.act3.register_forward_pre_hook(lambda module, inputs: sums.append(inputs[0].clone()))
    (feature,) = backbone(torch.randn(1, 3, 64, 64))
    assert feature.min() < 0
    torch.testing.assert_close(feature, sums[0])


def test_a_frozen_backbone_stays_frozen_in_training():
    model = torch.nn.Sequential(Backbone(BACKBONES["lite0"].with_taps("blocks.2.1")))
    model.train()
    before = copy.deepcopy(model.state_dict())
    model(torch.randn(2, 3, 64, 64))
    assert not any(parameter.requires_grad for parameter in model.parameters())
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_two_threads_share_one_backbone_without_mixing_their_features():
    backbone = Backbone(BACKBONES["lite0"].with_taps("blocks.1.1", "blocks.2.1"))
    batches = [torch.randn(1, 3, 64, 32 * count) for count in (1, 2, 3, 4)] * 4
    with torch.no_grad():
        expected = [backbone(images) for images in batches]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(torch.no_grad()(backbone), batches))
    for ours, theirs in zip(found, expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other)


def test_a_backbone_can_be_copied():
    backbone = Backbone(BACKBONES["lite0"].with_taps("blocks.1.1"))
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(copy.deepcopy(backbone)(images), backbone(images))


@pytest.mark.parametrize(
    ("name", "taps", "size"),
    [
        ("resnet18", ("2", "3"), (96, 64)),
        ("convnext_atto", (), (64, 96)),
        ("vit_tiny_patch16_224", ("5", "-1"), (64, 96)),
        ("vit_small_patch14_dinov2", (), (56, 84)),
        ("vit_small_patch16_dinov3", (), (65, 97)),
        ("swin_tiny_patch4_window7_224", ("0", "-1"), (97, 63)),
        ("hrnet_w18_small", ("1", "4"), (33, 70)),
    ],
)
def test_any_timm_model_with_feature_maps_is_a_backbone_at_any_size(name, taps, size):
    backbone = Backbone(backbone_spec(name, taps=taps))
    features = backbone(torch.randn(1, 3, *size))
    assert len(features) == max(len(taps), 1)
    for tap, feature in zip(backbone.taps, features, strict=True):
        assert feature.shape[1:] == (tap.channels, ceil(size[0] / tap.stride), ceil(size[1] / tap.stride))
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_sides_that_do_not_divide_are_padded_with_the_mean_colour():
    backbone = Backbone(backbone_spec("vit_tiny_patch16_224"))
    images = torch.randn(1, 3, 40, 64)
    (found,), (expected,) = backbone(images), backbone(F.pad(images, (0, 0, 0, 8)))
    torch.testing.assert_close(found, expected)
    (cut,) = Backbone(backbone_spec("hrnet_w18_small", taps=("1",)))(torch.randn(1, 3, 33, 64))
    assert cut.shape[-2:] == (9, 16)


@pytest.mark.parametrize(
    ("name", "taps", "expected"),
    [
        ("resnet50-stride8", (), [(1024, 13, 9), (2048, 13, 9)]),
        ("resnet101-stride8", (), [(1024, 13, 9), (2048, 13, 9)]),
        ("resnest101-stride8", (), [(1024, 13, 9), (2048, 13, 9)]),
        ("hrnet-w48", (), [(720, 25, 17)]),
        ("vit_large_patch16_384", ("15", "-1"), [(1024, 7, 5), (1024, 7, 5)]),
    ],
)
def test_the_backbones_of_mcibi_have_the_planes_it_reads(name, taps, expected):
    with torch.device("meta"):
        features = Backbone(backbone_spec(name, taps=taps))(torch.empty(1, 3, 97, 65))
    assert [feature.shape[1:] for feature in features] == expected


def test_the_branches_of_hrnet_are_concatenated():
    branches = {"features_only": True, "feature_location": "", "out_indices": (1, 2, 3, 4)}
    spec = BackboneSpec("small", "hrnet_w18_small", (Tap("branches", 4, 240),), options=branches, joined=True)
    joined = Backbone(spec)
    images = torch.randn(1, 3, 64, 96)
    (found,) = joined(images)
    parts = joined.net(images)
    assert found.shape == (1, 240, 16, 24)
    torch.testing.assert_close(found[:, :16], parts[0])
    torch.testing.assert_close(found[:, -128:], F.interpolate(parts[3], size=(16, 24), mode="bilinear"))


def test_a_network_with_a_fixed_image_size_is_refused():
    with pytest.raises(ModelError, match="beit_base_patch16_224"):
        backbone_spec("beit_base_patch16_224")


def test_the_error_for_an_unknown_backbone_suggests_the_nearest():
    with pytest.raises(ModelError, match=r"resnet_50.*resnet50"):
        backbone_spec("resnet_50")
    with pytest.raises(ModelError, match="likewise backbones"):
        backbone_spec("qqqqqqqq")


def test_the_error_for_an_unknown_tap_lists_the_taps():
    with pytest.raises(ModelError, match=r"blocks\.9.*blocks\.1\.0"):
        backbone_spec("lite0", taps=("blocks.9",))
    with pytest.raises(ModelError, match=r"resnet18.*'x'"):
        backbone_spec("resnet18", taps=("x",))
    with pytest.raises(ModelError, match=r"resnet18.*'7'"):
        backbone_spec("resnet18", taps=("7",))


def test_images_are_normalised_with_the_statistics_of_the_weights():
    images = torch.tensor([[[[0, 127, 255]]]], dtype=torch.uint8)
    lite0 = Backbone(BACKBONES["lite0"].with_taps("blocks.1.0"))
    torch.testing.assert_close(lite0.normalise(images).flatten(), torch.tensor([-127 / 128, 0, 1.0]))
    resnet = Backbone(BACKBONES["resnet50"].with_taps("layer1.0.act3"))
    expected = (torch.tensor([0, 127, 255]) / 255 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor(
        [0.229, 0.224, 0.225]
    )
    torch.testing.assert_close(resnet.normalise(images).flatten(), expected)
