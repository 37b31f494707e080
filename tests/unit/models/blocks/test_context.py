"""Context modules: OCR against a plain loop, and the tests of all modules."""

import pytest
import torch

from likewise.models.blocks.context import CONTEXTS, ObjectContext
from likewise.models.mcibi import MCIBIConfig
from support.model_suite import ModelSuite
from support.scene_suite import SEVEN, mcibi_lite0, some_batch


class TestMCIBIWithOCR(ModelSuite):
    def build(self):
        model = mcibi_lite0(SEVEN, MCIBIConfig(context="ocr", channels=16, attention_channels=8))
        model.memory.fill(torch.randn_like(model.memory.vectors))
        return model

    def run(self, model, size):
        return model(some_batch(size)[0])

    def loss(self, model, size):
        images, labels = some_batch(size)
        return sum(model.loss(model.stages(images), labels))


def test_a_region_is_the_mean_feature_weighted_by_class_probability():
    torch.manual_seed(0)
    context = ObjectContext(6, 8).eval()
    x, logits = torch.randn(2, 6, 4, 5), 3 * torch.randn(2, 3, 4, 5)
    seen = []
    context.attend.register_forward_hook(lambda module, inputs, output: seen.append(inputs[1]))
    with torch.no_grad():
        context(x, logits)
        features = context.reduce(x)
    (regions,) = seen
    assert regions.shape == (2, 8, 3, 1)
    for image in range(2):
        for region in range(3):
            total, weights = torch.zeros(8), 0.0
            for row in range(4):
                for column in range(5):
                    weight = logits[image, region, row, column].exp()
                    total += weight * features[image, :, row, column]
                    weights += weight
            torch.testing.assert_close(regions[image, :, region, 0], total / weights, rtol=1e-4, atol=1e-5)


def test_gradients_of_ocr_reach_the_coarse_logits():
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, requires_grad=True)
    ObjectContext(6, 8)(torch.randn(2, 6, 4, 5), logits).square().sum().backward()
    assert logits.grad.abs().sum() > 0


@pytest.mark.parametrize("name", [name for name, context in CONTEXTS.items() if context is not None])
@pytest.mark.parametrize("classes", [1, 4])
def test_every_context_keeps_the_size_for_any_number_of_classes(name, classes):
    context = CONTEXTS[name](6, 8).eval()
    with torch.no_grad():
        found = context(torch.randn(2, 6, 9, 7), torch.randn(2, classes, 9, 7))
    assert found.shape == (2, 8, 9, 7)
    assert found.isfinite().all()
