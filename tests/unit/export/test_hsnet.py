"""HSNet in the form of its graphs against the network."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from likewise.export.hsnet import OPERANDS, LogitsGraph, UnitsGraph, layer_shapes
from likewise.models import hsnet
from likewise.models.hsnet import STRIDES, HSNet, HSNetConfig
from likewise.models.hsnet_inference import encode_query, encode_support
from likewise.ops.hypercorrelation.products import operands
from support.hsnet_suite import some_episode


@pytest.fixture(scope="module")
def network() -> HSNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return hsnet.lite0(HSNetConfig(channels=(8, 8, 8))).eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("query", "support"),
    [((32, 32), (64, 48)), ((64, 96), (160, 112)), ((48, 160), (320, 336)), ((256, 256), (256, 256))],
)
@pytest.mark.parametrize("side", [1, 40, 400])
def test_logits_are_those_of_the_network(
    network: HSNet, query: tuple[int, int], support: tuple[int, int], side: int
) -> None:
    episode = some_episode(query, shots=1, support=support)
    foreground = torch.zeros(1, 1, *support)
    foreground[..., 16 : 16 + side, 8 : 8 + side] = 1
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the small object
        expected = network(episode["support_images"], foreground, episode["query_images"])[0, 0]
        (encoded,) = encode_support(network, episode["support_images"][0], foreground[0])
        units = encode_query(network, episode["query_images"])
        queries = [torch.cat(network.of_stride(units, stride), dim=1)[0] for stride in STRIDES]
        given = operands(encoded, layer_shapes(network))
        assert set(given) == set(OPERANDS)
        found = LogitsGraph(network)(*queries, *(torch.from_numpy(given[name]) for name in OPERANDS))
        resized = F.interpolate(found[None], size=query, mode="bilinear", align_corners=True)[0]
    assert (resized - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("size", [(32, 32), (48, 80), (112, 160)])
def test_units_are_those_of_the_network(network: HSNet, size: tuple[int, int]) -> None:
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, *size, 3), dtype=np.uint8))
    with torch.inference_mode():
        found = UnitsGraph(network)(image, *(torch.ones(1, 1, 1) for _ in STRIDES))
        expected = encode_query(network, network.backbone.normalise(image))
    for stride, own in zip(STRIDES, found, strict=True):
        torch.testing.assert_close(own, torch.cat(network.of_stride(expected, stride), dim=1), rtol=0, atol=1e-5)
