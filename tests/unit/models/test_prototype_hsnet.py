"""PrototypeHSNet with and without self-support, and the shipped weights' logits."""

import numpy as np
import pytest
import torch

from likewise.backbones.specs import backbone_spec
from likewise.backbones.taps import Backbone
from likewise.errors import ModelError
from likewise.models import prototype_hsnet
from likewise.models.hsnet_inference import encode_support, segment
from likewise.models.panet import PANet
from likewise.models.prototype_hsnet import PrototypeHSNet, PrototypeHSNetConfig
from likewise.ops.features import resize
from likewise.ops.hypercorrelation.supports import pack_supports, unpack_supports
from likewise.ops.prototypes import (
    Prototypes,
    SupportStatistics,
    cosine_maps,
    merge_shots,
    support_statistics,
)
from likewise.weights.load import load_trained
from support.hsnet_suite import HSNetSuite, some_episode

PLAIN = PrototypeHSNetConfig(self_support=False)
TAPS = ("blocks.4.2", "blocks.5.3")


class TestPrototypeHSNetWithoutSelfSupport(HSNetSuite):
    def build(self):
        return prototype_hsnet.lite0(PLAIN)


def test_without_a_correction_one_shot_gives_the_logits_of_panet():
    model = prototype_hsnet.lite0(PLAIN).eval()
    panet = PANet(Backbone(backbone_spec("lite0", taps=TAPS))).eval()
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


def test_without_a_correction_several_shots_give_scaled_cosines_with_a_foreground_bias():
    model = prototype_hsnet.lite0(PLAIN).eval()
    torch.nn.init.zeros_(model.classifier[-1].weight)
    episode = some_episode((96, 128), shots=2, support=(64, 96))
    images, mask, query = episode["support_images"], episode["foreground"], episode["query_images"]
    with torch.inference_mode():
        found = model(images, mask, query)
        statistics = support_statistics(model.prototype_features(model.taps(images[0])), 1 - mask[0], mask[0])
        prototypes = merge_shots(SupportStatistics(*(part[None] for part in statistics)), torch.full((1, 2, 2), 0.5))
        assert prototypes.whitening is not None
        cosines = cosine_maps(model.prototype_features(model.taps(query)), prototypes, self_support=False)
    expected = 20.0 * resize(cosines, (96, 128), align_corners=False)
    expected[:, 1] -= 0.25 * (1 - 1 / 2)
    torch.testing.assert_close(found, expected[:, None], rtol=1e-4, atol=1e-4)


def test_shots_give_one_pair_of_logits_in_any_order():
    model = prototype_hsnet.lite0(PLAIN).eval()
    torch.nn.init.normal_(model.classifier[-1].weight)
    episode = some_episode((64, 96), shots=2)
    images, mask, query = episode["support_images"], episode["foreground"], episode["query_images"]
    with torch.inference_mode():
        both = model(images, mask, query)
        once = model(images[:, :1], mask[:, :1], query)
        swapped = model(images[:, [1, 0]], mask[:, [1, 0]], query)
    assert both.shape == (1, 1, 2, 64, 96)
    assert not torch.allclose(both, once, rtol=1e-2)
    torch.testing.assert_close(both, swapped, rtol=1e-3, atol=1e-3)


def test_the_correction_is_divided_by_the_square_of_the_number_of_shots():
    model = prototype_hsnet.lite0(PLAIN).eval()
    torch.nn.init.normal_(model.classifier[-1].weight)
    encoded, cosines = torch.randn(1, 1, 64, 8, 12), torch.rand(1, 2, 8, 12)
    with torch.inference_mode():
        once, twice = (
            model.decode(encoded.expand(-1, shots, -1, -1, -1), cosines, of_equal_shots(shots), (64, 96))
            for shots in (1, 2)
        )
    prior = 20.0 * resize(cosines, (64, 96), align_corners=False)
    bias = torch.tensor([0, 0.25 * (1 - 1 / 2)])[:, None, None]
    torch.testing.assert_close(twice - prior + bias, (once - prior) / 4, rtol=1e-3, atol=1e-3)


def of_equal_shots(shots: int) -> Prototypes:
    return Prototypes(torch.zeros(1, 2, 3), None, torch.full((1, shots, 2), 1 / shots))


def test_above_five_shots_the_decoder_does_not_run():
    model = prototype_hsnet.lite0(PLAIN).eval()
    few, many = (some_episode((64, 96), shots=shots) for shots in (5, 6))
    for episode in (few, many):
        del episode["query_labels"]
    logits = []
    for deviation in (0.0, 1.0):
        torch.nn.init.normal_(model.classifier[-1].weight, std=deviation)
        with torch.inference_mode():
            logits.append([model(**episode) for episode in (few, many)])
    assert (logits[0][0] - logits[1][0]).abs().max() > 1e-3
    torch.testing.assert_close(logits[0][1], logits[1][1])
    supports = encode_support(model, many["support_images"][0], many["foreground"][0])
    torch.testing.assert_close(
        segment(model, many["query_images"], supports), logits[1][1].clone(), rtol=1e-4, atol=1e-4
    )


def test_a_shot_of_a_larger_object_has_more_weight():
    model = prototype_hsnet.lite0(PLAIN).eval()
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


def test_encoded_supports_give_the_logits_of_forward():
    model = prototype_hsnet.lite0(PLAIN).eval()
    episode = some_episode((96, 128), shots=2)
    episode["foreground"][0, 0, :, 24:] = 0  # unequal areas have unequal weights
    supports = encode_support(model, episode["support_images"][0], episode["foreground"][0])
    exact = model(episode["support_images"], episode["foreground"], episode["query_images"])
    torch.testing.assert_close(segment(model, episode["query_images"], supports), exact, rtol=1e-4, atol=1e-4)
    halves = segment(model, episode["query_images"], unpack_supports(pack_supports(supports)))
    torch.testing.assert_close(halves, exact, rtol=0, atol=2e-2)


def test_only_known_background_forms_its_prototype():
    model = prototype_hsnet.lite0(PLAIN).eval()
    episode = some_episode((64, 64), shots=1)
    images, foreground = episode["support_images"][0], episode["foreground"][0]
    background = torch.zeros_like(foreground)
    background[:, -8:] = 1
    assumed, known = (
        encode_support(model, images, foreground, given)[0].statistics.means for given in (None, background)
    )
    torch.testing.assert_close(known[1], assumed[1])
    assert not torch.allclose(known[0], assumed[0], rtol=1e-2)


def test_overlap_is_the_soft_iou_over_all_pixels_but_void():
    model = prototype_hsnet.lite0(PLAIN).eval()
    episode = some_episode((64, 96))
    labels = episode["query_labels"]
    labels[:, :16] = 255
    inputs = {name: part for name, part in episode.items() if name != "query_labels"}
    with torch.no_grad():
        loss = model.loss(**episode).overlap.item()
        probability = model(**inputs).softmax(dim=2)[:, :, 1, 16:]
    truth = (labels[:, None, 16:] == 1).float()
    shared = (probability * truth).sum()
    expected = shared / (probability + truth - probability * truth).sum()
    assert loss == pytest.approx(1 - expected.item(), rel=1e-5)


SELF_SUPPORTED = PrototypeHSNetConfig(channels=(8, 8, 16))


class TestPrototypeHSNet(HSNetSuite):
    def build(self):
        return prototype_hsnet.lite0(SELF_SUPPORTED)


def test_with_self_support_encoded_supports_give_the_logits_of_forward():
    model = prototype_hsnet.lite0(SELF_SUPPORTED).eval()
    episode = some_episode((96, 128), shots=3)
    supports = encode_support(model, episode["support_images"][0], episode["foreground"][0])
    exact = model(episode["support_images"], episode["foreground"], episode["query_images"])
    torch.testing.assert_close(segment(model, episode["query_images"], supports), exact, rtol=1e-4, atol=1e-4)


def test_no_prototype_taps_raises():
    with pytest.raises(ModelError):
        prototype_hsnet.lite0(PrototypeHSNetConfig(prototype_taps=()))


def test_an_unknown_prototype_tap_raises():
    with pytest.raises(ValueError, match=r"'blocks\.9'"):
        prototype_hsnet.lite0(PrototypeHSNetConfig(prototype_taps=("blocks.9",)))


SHIPPED = {
    1: [
        [-5.97709, -4.99617, -4.98229, -5.4145],
        [-3.28612, -3.66928, -4.05694, -4.57957],
        [4.4991, 3.71861, -3.121, -4.35675],
        [-0.0215, 0.22034, -3.94774, -5.56822],
    ],
    3: [
        [-2.43815, -1.84956, -1.83049, -2.08688],
        [-1.23755, -1.25595, -1.41989, -1.57969],
        [1.79977, 1.87226, -1.15921, -1.52418],
        [0.19272, 0.48444, -1.42627, -2.03655],
    ],
    6: [
        [-1.79713, -1.43408, -1.44103, -1.57292],
        [-1.015, -1.091, -1.22319, -1.25083],
        [1.33117, 1.18788, -1.01567, -1.28563],
        [0.14263, 0.27183, -1.20475, -1.52096],
    ],
}
"""Foreground minus background logits of the shipped weights for `waves`, by number of shots, every 32 x 24 pixels."""


def waves(height: int, width: int, seed: int, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """An image of coloured waves with a disc on it, and the disc's mask."""
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    planes = [127 + 90 * np.sin(rows / (5 + seed) + shift) * np.cos(columns / (7 + shift) + seed) for shift in range(3)]
    image = np.stack(planes, axis=2)
    mask = (rows - height / 2 - 3 * seed) ** 2 + (columns - width / 2 + 4 * seed) ** 2 < radius**2
    image[mask] = image[mask] * 0.3 + np.array([150.0, 60.0, 20.0])
    return image.round().astype(np.uint8), mask


@pytest.mark.filterwarnings("ignore:a support mask is too small")
@pytest.mark.parametrize("shots", SHIPPED)
def test_the_shipped_weights_give_their_recorded_logits(shots):
    model, _ = load_trained("hsnet-lite0")
    assert isinstance(model, PrototypeHSNet)
    images, masks = zip(*(waves(96, 128, shot, 16 + 4 * shot) for shot in range(shots)), strict=True)
    normalise = model.backbone.normalise
    support, foreground = normalise(torch.from_numpy(np.stack(images))), torch.from_numpy(np.stack(masks)).float()
    query = normalise(torch.from_numpy(waves(128, 96, 7, 24)[0])[None])
    with torch.inference_mode():
        logits = model(support[None], foreground[None], query)
    difference = (logits[0, 0, 1] - logits[0, 0, 0])[8::32, 8::24]
    torch.testing.assert_close(difference, torch.tensor(SHIPPED[shots]), rtol=0, atol=1e-4)
    encoded = segment(model, query, encode_support(model, support, foreground))
    torch.testing.assert_close(encoded, logits.clone(), rtol=0, atol=1e-3)
