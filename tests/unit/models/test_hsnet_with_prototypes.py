"""A narrower HSNet with prototypes joined in, and with those of the query itself."""

import pytest
import torch

from likewise.backbones.specs import backbone_spec
from likewise.backbones.taps import Backbone
from likewise.models import hsnet
from likewise.models.hsnet import CAUTION, DECODED_SHOTS, HSNetConfig
from likewise.models.hsnet_learned import learn, segment
from likewise.models.panet import PANet
from likewise.ops.features import resize
from likewise.ops.hypercorrelation.supports import stacked, unstacked
from likewise.ops.prototypes import (
    SCALE,
    Shown,
    likeness,
    show,
    together,
)
from support.hsnet_suite import HSNetSuite, some_episode

NARROW = HSNetConfig(channels=(16, 32, 64), prototype_taps=("blocks.4.2", "blocks.5.3"))


class TestNarrowHSNetWithPrototypes(HSNetSuite):
    def build(self):
        return hsnet.lite0(NARROW)


def test_with_a_silent_decoder_the_prototypes_of_one_shot_are_panet():
    model = hsnet.lite0(NARROW).eval()
    panet = PANet(Backbone(backbone_spec("lite0", taps=NARROW.prototype_taps))).eval()
    panet.backbone.load_state_dict(
        {name: value for name, value in model.backbone.state_dict().items() if name in panet.backbone.state_dict()}
    )
    torch.nn.init.zeros_(model.classifier[-1].weight)
    torch.nn.init.zeros_(model.classifier[-1].bias)
    episode = some_episode((96, 128), shots=1, support=(64, 96))
    images, mask, query = episode["support_images"], episode["foreground"], episode["query_images"]
    with torch.inference_mode():
        expected = panet(images[:, None], mask[:, None], 1 - mask[:, None], query[:, None])[:, 0]
        found = model(images, mask, query)
    torch.testing.assert_close(found, expected[:, None], rtol=1e-4, atol=1e-4)


def test_with_a_silent_decoder_those_of_several_are_their_likeness_but_for_the_caution():
    model = hsnet.lite0(NARROW).eval()
    torch.nn.init.zeros_(model.classifier[-1].weight)
    episode = some_episode((96, 128), shots=2, support=(64, 96))
    images, mask, query = episode["support_images"], episode["foreground"], episode["query_images"]
    with torch.inference_mode():
        found = model(images, mask, query)
        shown = show(model.compared(model.taps(images[0])), 1 - mask[0], mask[0])
        prototypes = together(Shown(*(part[None] for part in shown)), torch.full((1, 2, 2), 0.5))
        assert prototypes.whitening is not None
        cosines = likeness(model.look(query).compared, prototypes, self_support=False)
    expected = SCALE * resize(cosines, (96, 128), align_corners=False)
    expected[:, 1] -= CAUTION / 2
    torch.testing.assert_close(found, expected[:, None], rtol=1e-4, atol=1e-4)


def test_with_prototypes_shots_share_what_they_say():
    model = hsnet.lite0(NARROW).eval()
    torch.nn.init.normal_(model.classifier[-1].weight)  # so that the decoder has a say
    episode = some_episode((64, 96), shots=2)
    images, mask, query = episode["support_images"], episode["foreground"], episode["query_images"]
    with torch.inference_mode():
        both = model(images, mask, query)
        once = model(images[:, :1], mask[:, :1], query)
        swapped = model(images[:, [1, 0]], mask[:, [1, 0]], query)
    assert both.shape == (1, 1, 2, 64, 96)
    assert not torch.allclose(both, once, rtol=1e-2)
    torch.testing.assert_close(both, swapped, rtol=1e-3, atol=1e-3)


def test_what_the_decoder_adds_counts_less_the_more_shots_there_are():
    model = hsnet.lite0(NARROW).eval()
    torch.nn.init.normal_(model.classifier[-1].weight)
    encoded, alike = torch.randn(1, 1, 64, 8, 12), torch.rand(1, 2, 8, 12)
    with torch.inference_mode():
        once, twice = (
            model.decode_shots(
                encoded.expand(-1, shots, -1, -1, -1), (64, 96), alike, torch.full((1, shots, 2), 1 / shots)
            )
            for shots in (1, 2)
        )
    prior = SCALE * resize(alike, (64, 96), align_corners=False)
    lowered = torch.tensor([0, CAUTION / 2])[:, None, None]
    torch.testing.assert_close(twice - prior + lowered, (once - prior) / 4, rtol=1e-3, atol=1e-3)


def test_of_very_many_shots_prototypes_answer_alone():
    model = hsnet.lite0(NARROW).eval()
    few, many = (some_episode((64, 96), shots=shots) for shots in (DECODED_SHOTS, DECODED_SHOTS + 1))
    for episode in (few, many):
        del episode["query_labels"]
    answers = []
    for deviation in (0.0, 1.0):
        torch.nn.init.normal_(model.classifier[-1].weight, std=deviation)
        with torch.inference_mode():
            answers.append([model(**episode) for episode in (few, many)])
    assert (answers[0][0] - answers[1][0]).abs().max() > 1e-3
    torch.testing.assert_close(answers[0][1], answers[1][1])
    supports = learn(model, many["support_images"][0], many["foreground"][0])
    torch.testing.assert_close(
        segment(model, many["query_images"], supports), answers[1][1].clone(), rtol=1e-4, atol=1e-4
    )


def test_a_shot_of_a_larger_object_counts_for_more():
    model = hsnet.lite0(NARROW).eval()
    episode = some_episode((96, 128), shots=2)
    images, mask, query = episode["support_images"], episode["foreground"], episode["query_images"]
    mask[:, 0] = 0
    mask[:, 0, 30:50, 30:50] = 1
    mask[:, 1] = 0
    mask[:, 1, 10:80, 10:80] = 1
    with torch.inference_mode():
        small, large = (model(images[:, [shot]], mask[:, [shot]], query) for shot in (0, 1))
        both = model(images, mask, query)
    assert (both - large).norm() < (both - small).norm()


def test_learned_supports_carry_their_prototypes():
    model = hsnet.lite0(NARROW).eval()
    episode = some_episode((96, 128), shots=2)
    episode["foreground"][0, 0, :, 24:] = 0  # the shots' areas weigh, so they should differ
    supports = learn(model, episode["support_images"][0], episode["foreground"][0])
    exact = model(episode["support_images"], episode["foreground"], episode["query_images"])
    torch.testing.assert_close(segment(model, episode["query_images"], supports), exact, rtol=1e-4, atol=1e-4)
    halves = segment(model, episode["query_images"], unstacked(stacked(supports)))
    torch.testing.assert_close(halves, exact, rtol=0, atol=2e-2)


def test_what_is_known_to_be_background_makes_its_prototype():
    model = hsnet.lite0(NARROW).eval()
    episode = some_episode((64, 64), shots=1)
    images, foreground = episode["support_images"][0], episode["foreground"][0]
    background = torch.zeros_like(foreground)
    background[:, -8:] = 1
    assumed, known = (learn(model, images, foreground, given)[0].shown.means for given in (None, background))
    torch.testing.assert_close(known[1], assumed[1])
    assert not torch.allclose(known[0], assumed[0], rtol=1e-2)


def test_overlap_is_the_soft_iou_of_all_foreground_together_without_void():
    model = hsnet.lite0(NARROW).eval()
    episode = some_episode((64, 96))
    labels = episode["query_labels"]
    labels[:, :16] = 255
    inputs = {name: part for name, part in episode.items() if name != "query_labels"}
    with torch.no_grad():
        told = model.loss(**episode).overlap.item()
        probability = model(**inputs).softmax(dim=2)[:, :, 1, 16:]
    truth = (labels[:, None, 16:] == 1).float()
    shared = (probability * truth).sum()
    expected = shared / (probability + truth - probability * truth).sum()
    assert told == pytest.approx(1 - expected.item(), rel=1e-5)


SELF_SUPPORTED = HSNetConfig(channels=(8, 8, 16), prototype_taps=("blocks.4.2", "blocks.5.3"), self_support=True)


class TestHSNetWithSelfSupport(HSNetSuite):
    def build(self):
        return hsnet.lite0(SELF_SUPPORTED)


def test_with_self_support_learned_shots_answer_as_the_whole_episode_does():
    model = hsnet.lite0(SELF_SUPPORTED).eval()
    episode = some_episode((96, 128), shots=3)
    supports = learn(model, episode["support_images"][0], episode["foreground"][0])
    exact = model(episode["support_images"], episode["foreground"], episode["query_images"])
    torch.testing.assert_close(segment(model, episode["query_images"], supports), exact, rtol=1e-4, atol=1e-4)


def test_self_support_without_prototypes_is_refused():
    with pytest.raises(ValueError, match="there are none: name `prototype_taps`"):
        hsnet.lite0(HSNetConfig(self_support=True))


def test_a_prototype_tap_that_the_backbone_lacks_is_refused():
    with pytest.raises(ValueError, match=r"lite0 has no tap 'blocks\.9'; it has: "):
        hsnet.lite0(HSNetConfig(prototype_taps=("blocks.9",)))
