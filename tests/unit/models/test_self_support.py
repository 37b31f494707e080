"""Self-support prototypes against PANet, and against the prototypes of PrototypeHSNet."""

import torch

from likewise.backbones.specs import backbone_spec
from likewise.backbones.taps import Backbone
from likewise.models import prototype_hsnet
from likewise.models.panet import PANet
from likewise.models.self_support import SelfSupport, SelfSupportConfig
from likewise.weights.load import load_trained
from support.hsnet_suite import some_episode
from support.model_suite import ModelSuite

TAPS = ("blocks.4.2", "blocks.5.3")


def built(config: SelfSupportConfig | None = None) -> SelfSupport:
    return SelfSupport(Backbone(backbone_spec("lite0", taps=TAPS), frozen=False), config)


def inputs_of(size: tuple[int, int], shots: int) -> dict:
    episode = some_episode(size, shots=shots)
    del episode["query_labels"]
    return episode


class TestSelfSupport(ModelSuite):
    def build(self):
        return built()

    def run(self, model, size):
        return model(**inputs_of(size, 2))

    def loss(self, model, size):
        return model(**inputs_of(size, 2)).square().mean()


def test_trained_weights_of_panet_load_strictly():
    panet, _ = load_trained("panet-lite0")
    model = SelfSupport(Backbone(panet.backbone.spec))
    model.load_state_dict(panet.state_dict(), strict=True)


def test_without_self_support_and_margin_one_shot_gives_the_logits_of_panet():
    model = built(SelfSupportConfig(self_support=False, area_margin=0)).eval()
    panet = PANet(model.backbone).eval()
    episode = inputs_of((64, 96), 1)
    mask = episode["foreground"][:, None]
    with torch.inference_mode():
        expected = panet(episode["support_images"][:, None], mask, 1 - mask, episode["query_images"][:, None])[:, 0]
        torch.testing.assert_close(model(**episode), expected, rtol=1e-4, atol=1e-4)


def test_without_a_margin_six_shots_give_the_logits_of_prototype_hsnet_but_for_its_bias():
    larger = prototype_hsnet.lite0().eval()
    model = built(SelfSupportConfig(area_margin=0)).eval()
    state = larger.state_dict()
    model.load_state_dict({name: state[name] for name in model.state_dict()})
    episode = inputs_of((64, 96), 6)
    with torch.inference_mode():
        expected = larger(**episode)[:, 0]
        expected[:, 1] += 0.25 * (1 - 1 / 6)
        torch.testing.assert_close(model(**episode), expected, rtol=1e-4, atol=1e-4)


def test_the_margin_is_the_log_odds_of_the_background_by_area():
    cosines = torch.rand(1, 4, 3, 5)
    model = built()
    areas = torch.tensor([[0.2, 0.5]])
    logits = model.decode(cosines, areas, (3, 5))
    margin = 0.35 / 2**0.5 * (torch.log(torch.tensor(4.0)) + 0) / 2
    torch.testing.assert_close(logits[:, 0], 20 * cosines[:, 2])
    torch.testing.assert_close(logits[:, 1], 20 * cosines[:, 3] - margin)


def test_an_areas_share_counts_positions_of_stride_8_that_the_mask_touches():
    mask = torch.zeros(2, 64, 64)
    mask[0, :32] = 1
    with torch.inference_mode():
        areas = built().eval().encode_support(torch.randn(2, 3, 64, 64), mask, 1 - mask).areas
    torch.testing.assert_close(areas, torch.tensor([0.5, 1 / 64]))
