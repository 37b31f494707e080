"""Encoded supports give the logits of a whole episode, in any size and precision."""

import pytest
import torch

from likewise.backbones.specs import backbone_spec
from likewise.backbones.taps import Backbone
from likewise.errors import ConceptError
from likewise.models import hsnet
from likewise.models.hsnet import HSNet
from likewise.models.hsnet_inference import encode_support, segment
from likewise.ops.hypercorrelation.supports import pack_supports, unpack_supports
from support.hsnet_suite import some_episode


@pytest.mark.parametrize(("query", "support"), [((128, 96), (96, 160)), ((33, 47), (264, 264)), ((20, 70), (9, 11))])
def test_encoded_supports_give_the_logits_of_forward(query, support):
    model = hsnet.lite0().eval()
    episode = some_episode(query, shots=3, support=support)
    del episode["query_labels"]
    episode["foreground"][0, 1] = 1
    with torch.inference_mode():
        supports = encode_support(model, episode["support_images"][0], episode["foreground"][0])
        torch.testing.assert_close(
            segment(model, episode["query_images"], supports), model(**episode), rtol=1e-4, atol=1e-5
        )


def test_queries_and_encoded_shots_of_different_sizes_do_not_influence_each_other():
    model = hsnet.lite0().eval()
    first, second = some_episode((64, 96), support=(96, 64)), some_episode((64, 96), shots=1, support=(128, 128))
    supports = [
        support
        for episode in (first, second)
        for support in encode_support(model, episode["support_images"][0], episode["foreground"][0])
    ]
    queries = torch.cat([first["query_images"], first["query_images"].flip(-1)])
    batch = segment(model, queries, supports, size=(50, 40))
    assert batch.shape == (2, 3, 2, 50, 40)
    for query, shot in ((0, 2), (1, 0)):
        alone = segment(model, queries[[query]], [supports[shot]], size=(50, 40))
        torch.testing.assert_close(batch[query, shot], alone[0, 0], rtol=1e-4, atol=1e-5)


def test_supports_packed_in_half_precision_give_nearly_the_same_logits():
    model = hsnet.lite0().eval()
    episode = some_episode((128, 96), shots=1)
    supports = encode_support(model, episode["support_images"][0], episode["foreground"][0])
    halves = unpack_supports(pack_supports(supports))
    exact = segment(model, episode["query_images"], supports)
    torch.testing.assert_close(segment(model, episode["query_images"], halves), exact, rtol=0, atol=2e-3)


def test_supports_of_another_backbone_and_no_supports_raise():
    model, other = hsnet.lite0().eval(), HSNet(Backbone(backbone_spec("regnetx_002", taps=("2", "3", "4")))).eval()
    episode = some_episode((64, 64), shots=1)
    supports = encode_support(other, episode["support_images"][0], episode["foreground"][0])
    with pytest.raises(ConceptError, match=r"3 taps .* has 13"):
        segment(model, episode["query_images"], supports)
    with pytest.raises(ConceptError, match="no supports"):
        segment(model, episode["query_images"], [])


@pytest.mark.slow
def test_the_edge_of_a_mask_does_not_depend_on_the_precision():
    # 400 -> 50 samples every 57/7 of a pixel: the seventh sample is on pixel 57, or just beyond it by rounding.
    model = hsnet.lite0().eval()
    images, mask = torch.randn(1, 3, 400, 400), torch.zeros(1, 400, 400)
    mask[:, 58:, 58:] = 1
    with torch.inference_mode():
        exact = model.support_features(model.taps(images), mask)
        for ours, theirs in zip(
            model.double().support_features(model.taps(images.double()), mask.double()), exact, strict=True
        ):
            torch.testing.assert_close(ours.float(), theirs, rtol=0, atol=1e-5)


def test_bfloat16_gives_nearly_the_same_logits():
    model = hsnet.lite0().eval()
    episode = some_episode((128, 96), shots=1)
    supports = encode_support(model, episode["support_images"][0], episode["foreground"][0])
    exact = segment(model, episode["query_images"], supports)
    short = segment(model.bfloat16(), episode["query_images"].bfloat16(), supports)
    torch.testing.assert_close(short.float(), exact, rtol=0, atol=2e-2)
