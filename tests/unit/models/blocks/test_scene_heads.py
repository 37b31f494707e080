"""Heads and losses of scene networks against plain loops and torch's losses."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from likewise.backbones.specs import BACKBONES
from likewise.backbones.taps import Backbone
from likewise.errors import ModelError
from likewise.io.labels import IGNORE
from likewise.models.blocks.scene_heads import build_detail, cross_entropy, overlap_loss


def test_cross_entropy_weights_pixels_by_class_after_resizing_the_logits():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 5, 7, generator=generator)
    labels = torch.randint(0, 3, (2, 33, 50), generator=generator)
    labels[:, :4] = IGNORE
    weights = torch.tensor([0.3, 1, 4])
    resized = F.interpolate(logits, size=(33, 50), mode="bilinear")
    for given in (None, weights):
        expected = F.cross_entropy(resized, labels, given, ignore_index=IGNORE)
        torch.testing.assert_close(cross_entropy(logits, labels, given), expected, rtol=0, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        found = cross_entropy(logits, labels, weights)
    expected = F.cross_entropy(resized, labels, weights, ignore_index=IGNORE)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_detail_needs_a_first_tap_of_a_finer_stride():
    spec = BACKBONES["lite0-stride8"].with_taps("blocks.2.1", "blocks.3.0")
    with pytest.raises(ModelError, match=r"blocks\.2\.1 .* 8 .* blocks\.3\.0 .* 8"):
        build_detail(Backbone(spec), 16, 7)


def test_overlap_is_the_mean_iou_over_occurring_classes_and_all_images():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 6, 5, generator=generator)
    labels = torch.randint(0, 3, (2, 6, 5), generator=generator)  # the fourth class never occurs
    labels[0, :2] = IGNORE
    probability, ious = logits.softmax(dim=1), []
    for index in range(3):
        shared = both = 0.0
        for image, row, column in (labels != IGNORE).nonzero().tolist():
            own = probability[image, index, row, column].item()
            truth = float(labels[image, row, column] == index)
            shared, both = shared + own * truth, both + max(own, truth)
        ious.append(shared / both)
    assert overlap_loss(logits, labels).item() == pytest.approx(1 - np.mean(ious), abs=1e-6)


def test_overlap_is_zero_without_labels_and_nearly_zero_without_errors():
    labels = torch.randint(0, 3, (1, 12, 12), generator=torch.Generator().manual_seed(0))
    sure = 50 * F.one_hot(labels, 3).movedim(-1, 1).float()
    assert overlap_loss(sure, labels).item() == pytest.approx(0, abs=1e-6)
    assert overlap_loss(sure, torch.full_like(labels, IGNORE)).item() == 0
