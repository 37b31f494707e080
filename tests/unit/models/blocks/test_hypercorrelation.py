"""The encoder that HSNet and PrototypeHSNet share, and their losses."""

import pytest
import torch
import torch.nn.functional as F

from likewise.backbones.specs import BACKBONES
from likewise.backbones.taps import Backbone
from likewise.errors import ModelError
from likewise.models.blocks.hypercorrelation import HypercorrelationEncoder, few_shot_losses


def some_logits() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (2, 6, 8), generator=generator)
    labels[:, :2] = 255
    return torch.randn(2, 3, 2, 6, 8, generator=generator), labels


def test_the_cross_entropy_counts_void_as_background():
    logits, labels = some_logits()
    targets = (labels == 1).long().repeat_interleave(3, dim=0)
    torch.testing.assert_close(few_shot_losses(logits, labels).query, F.cross_entropy(logits.flatten(0, 1), targets))


def test_the_overlap_leaves_void_pixels_out():
    logits, labels = some_logits()
    probability, truth = logits.softmax(dim=2)[:, :, 1, 2:], (labels[:, None, 2:] == 1).float().expand(-1, 3, -1, -1)
    iou = torch.minimum(probability, truth).sum() / torch.maximum(probability, truth).sum()
    torch.testing.assert_close(few_shot_losses(logits, labels).overlap, 1 - iou)


def test_the_encoding_has_the_size_of_stride_8_and_the_last_number_of_channels():
    spec = BACKBONES["lite0"].with_taps("blocks.2.1", "blocks.4.2", "blocks.5.3")
    encoder = HypercorrelationEncoder(Backbone(spec), kernel="center-pivot", channels=(4, 8, 12)).eval()
    with torch.no_grad():
        query, support = (encoder.taps(torch.randn(1, 3, *size)) for size in ((64, 96), (96, 64)))
        assert encoder.relate(query, support).shape == (1, 12, 8, 12)


@pytest.mark.parametrize(
    "taps", [("blocks.2.1", "blocks.4.2"), ("blocks.1.0", "blocks.2.1", "blocks.4.2", "blocks.5.3")]
)
def test_taps_must_have_strides_8_16_and_32_and_no_others(taps):
    with pytest.raises(ModelError, match="lite0"):
        HypercorrelationEncoder(
            Backbone(BACKBONES["lite0"].with_taps(*taps)), kernel="center-pivot", channels=(4, 8, 12)
        )
