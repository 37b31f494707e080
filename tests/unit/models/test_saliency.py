"""SaliencyNet: the suite of all models, and its loss against hand-computed values."""

import math

import pytest
import torch

from likewise.models import saliency
from support.model_suite import ModelSuite


def some_images(size: tuple[int, int]) -> torch.Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))


def some_labels(size: tuple[int, int]) -> torch.Tensor:
    return (torch.rand(2, *size, generator=torch.Generator().manual_seed(1)) > 0.5).to(torch.uint8)


class TestSaliencyNetOnLite0(ModelSuite):
    SIZES = ((64, 96), (75, 110))

    def build(self):
        return saliency.lite0()

    def run(self, model, size):
        return model(some_images(size))

    def loss(self, model, size):
        return model.loss(some_images(size), some_labels(size))


def test_the_loss_is_cross_entropy_plus_soft_iou():
    loss = saliency.saliency_loss(torch.zeros(1, 1, 2), torch.tensor([[[1, 0]]], dtype=torch.uint8))
    # both pixels at one half: intersection 0.5, union 1 + 0.5, each with one added
    assert loss.item() == pytest.approx(math.log(2) + 1 - 1.5 / 2.5, abs=1e-5)


def test_void_pixels_do_not_change_the_loss():
    labels = torch.tensor([[[1, 255]]], dtype=torch.uint8)
    one, other = (saliency.saliency_loss(torch.tensor([[[3.0, there]]]), labels) for there in (-9.0, 9.0))
    assert one.item() == other.item()


def test_an_image_without_salient_objects_has_a_finite_loss_that_favours_an_empty_prediction():
    labels = torch.zeros(1, 8, 16, dtype=torch.uint8)
    nothing, all_of_it = (saliency.saliency_loss(torch.full((1, 8, 16), logit), labels) for logit in (-8.0, 8.0))
    assert 0 < nothing < 0.1 < all_of_it


def test_probabilities_have_the_size_of_the_image_and_lie_between_0_and_1():
    torch.manual_seed(0)
    with torch.inference_mode():
        probability = saliency.lite0().eval()(some_images((61, 97)))
    assert probability.shape == (2, 61, 97)
    assert 0 <= probability.min() <= probability.max() <= 1
