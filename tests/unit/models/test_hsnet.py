"""HSNet's variants: any image size, any backbone, any number of shots, and the suite of all models."""

import pytest
import torch

from likewise.backbones.specs import BACKBONES, backbone_spec
from likewise.backbones.taps import Backbone
from likewise.errors import ModelError
from likewise.models import hsnet
from likewise.models.hsnet import HSNet
from support.hsnet_suite import HSNetSuite, some_episode


class TestHSNet(HSNetSuite):
    def build(self):
        return hsnet.lite0()


@pytest.mark.parametrize(("query", "support"), [((96, 160), (200, 64)), ((33, 47), (65, 97)), ((64, 64), (400, 300))])
def test_query_and_support_may_have_any_sizes(query, support):
    model = hsnet.lite0().eval()
    episode = some_episode(query, shots=1, support=support)
    del episode["query_labels"]
    with torch.inference_mode():
        logits = model(**episode)
    assert logits.shape == (1, 1, 2, *query)
    assert logits.isfinite().all()


@pytest.mark.slow
def test_support_planes_that_round_to_different_sizes_still_mix():
    # VGG rounds 264 / 32 down to 8: the levels squeeze to 2x2, 1x1 and 1x1.
    model = hsnet.vgg16().eval()
    episode = some_episode((64, 64), shots=1, support=(264, 264))
    del episode["query_labels"]
    with torch.inference_mode():
        assert model(**episode).isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("build", [hsnet.lite0, hsnet.vgg16], ids=["lite0", "vgg16"])
def test_an_image_smaller_than_32_pixels_is_enlarged_and_its_logits_have_its_own_size(build):
    model = build().eval()
    episode = some_episode((20, 70), shots=1, support=(9, 11))
    del episode["query_labels"]
    with torch.inference_mode():
        logits = model(**episode)
    assert logits.shape == (1, 1, 2, 20, 70)
    assert logits.isfinite().all()


def test_shots_and_episodes_do_not_influence_each_other():
    model = hsnet.lite0().eval()
    first, second = some_episode((64, 96), shots=3), some_episode((64, 96), shots=3)
    second["query_images"] = second["query_images"].flip(-1)
    second["foreground"] = second["foreground"].flip(-1)
    batch = {key: torch.cat([first[key], second[key]]) for key in first if key != "query_labels"}
    with torch.inference_mode():
        logits = model(**batch)
        for index, episode in enumerate((first, second)):
            for shot in range(3):
                alone = model(
                    episode["support_images"][:, [shot]], episode["foreground"][:, [shot]], episode["query_images"]
                )
                torch.testing.assert_close(logits[index, shot], alone[0, 0], rtol=1e-4, atol=1e-5)


def test_any_feature_pyramid_of_timm_works():
    spec = backbone_spec("regnetx_002", taps=("2", "3", "4"))
    model = HSNet(Backbone(spec)).eval()
    episode = some_episode((64, 96), shots=1)
    del episode["query_labels"]
    with torch.inference_mode():
        assert model(**episode).shape == (1, 1, 2, 64, 96)


def test_a_backbone_without_the_three_strides_raises():
    spec = BACKBONES["lite0"].with_taps("blocks.1.0", "blocks.5.3")
    with pytest.raises(ModelError, match=r"lite0 .* 4, 32;"):
        HSNet(Backbone(spec))


def test_lite0_has_two_six_and_five_taps():
    model = hsnet.lite0()
    assert [model.squeeze8[0].query.in_channels, model.squeeze16[0].query.in_channels] == [2, 6]
    assert model.squeeze32[0].query.in_channels == 5
    assert [tap.module for tap in model.backbone.taps][:2] == ["blocks.2.0", "blocks.2.1"]


def test_void_pixels_count_as_background_in_the_cross_entropy():
    model = hsnet.lite0()
    episode = some_episode((64, 64))
    labels = episode.pop("query_labels")
    void = labels.clone()
    void[labels == 0] = 255
    with torch.no_grad():
        assert model.loss(**episode, query_labels=labels) == model.loss(**episode, query_labels=void)
