"""MCIBI: the suite of all models, sizes, variants and losses."""

import pytest
import torch
import torch.nn.functional as F

from likewise.backbones.specs import backbone_spec
from likewise.backbones.taps import Backbone
from likewise.errors import ModelError
from likewise.io.labels import IGNORE
from likewise.models.blocks.dataset_memory import polynomial_momentum
from likewise.models.mcibi import MCIBI, MCIBIConfig
from support.model_suite import ModelSuite
from support.scene_suite import SEVEN, detailed_backbone, mcibi_lite0, some_batch


class TestMCIBIOnLite0(ModelSuite):
    def build(self):
        return mcibi_lite0(SEVEN)

    def run(self, model, size):
        return model(some_batch(size)[0])

    def loss(self, model, size):
        images, labels = some_batch(size)
        for _ in range(2):  # at first sight of a class nothing has been read yet
            stages = model.stages(images)
            model.memory.update(stages.features, labels, polynomial_momentum(0.5))
        return sum(model.loss(stages, labels))


class TestMCIBIWithSlotsAndContext(TestMCIBIOnLite0):
    def build(self):
        return mcibi_lite0(SEVEN, MCIBIConfig(context="aspp", slots=2, channels=16, attention_channels=8))

    def loss(self, model, size):
        images, labels = some_batch(size)
        for _ in range(3):
            stages = model.stages(images)
            model.memory.update(stages.features, labels, polynomial_momentum(0.5))
        return sum(model.loss(stages, labels))


def with_detail() -> MCIBI:
    return MCIBI(detailed_backbone(), SEVEN, MCIBIConfig(channels=16, attention_channels=8, detail=True))


class TestMCIBIWithDetail(TestMCIBIOnLite0):
    def build(self):
        return with_detail()


def small(**choices) -> MCIBI:
    return mcibi_lite0(SEVEN, MCIBIConfig(channels=16, attention_channels=8, **choices))


@pytest.mark.parametrize("context", ["none", "ppm", "aspp", "ocr"])
@pytest.mark.parametrize("size", [(65, 97), (50, 33)])
def test_sides_need_not_be_multiples_of_the_stride(context, size):
    with torch.no_grad():
        logits = small(context=context).eval()(some_batch(size)[0])
    assert logits.shape == (2, 7, *size)
    assert logits.isfinite().all()


def test_a_backbone_of_one_tap_has_no_auxiliary_head():
    backbone = Backbone(backbone_spec("mobilenetv3_small_050", taps=("2",)), frozen=False)
    images, labels = some_batch((64, 96))
    model = MCIBI(backbone, SEVEN, MCIBIConfig(channels=16))
    assert model(images).shape == (2, 7, 64, 96)
    assert model.auxiliary is None
    stages = model.stages(images)
    assert stages.auxiliary is None
    assert model.loss(stages, labels).auxiliary == 0


def test_detail_adds_to_the_logits_at_the_stride_of_the_first_tap():
    model = with_detail().eval()
    images, _ = some_batch((64, 96))
    with torch.no_grad():
        stages = model.stages(images)
        assert stages.stage1.shape == (2, 7, 8, 12)
        assert stages.stage2.shape == (2, 7, 16, 24)
        expected = F.interpolate(stages.stage2, size=(64, 96), mode="bilinear")
        torch.testing.assert_close(model(images), expected, rtol=0, atol=5e-5)
        for parameter in model.detail.join[-1].parameters():
            parameter.zero_()
        plain = model.stage2(model.relate(stages.features, stages.stage1))
        expected = F.interpolate(plain, size=(16, 24), mode="bilinear")
        torch.testing.assert_close(model.stages(images).stage2, expected, rtol=0, atol=5e-5)


def test_one_class_trains_without_a_consistency_loss():
    model = mcibi_lite0(("all",), MCIBIConfig(channels=16, attention_channels=8)).train()
    images, labels = some_batch((64, 64), classes=1)
    stages = model.stages(images)
    model.memory.update(stages.features, labels, 0.5)
    losses = model.loss(stages, labels)
    assert losses.consistency == 0
    sum(losses).backward()


def test_the_consistency_loss_reaches_stage_2_only_and_ignores_unseen_classes():
    model = small().train()
    images, labels = some_batch((64, 96), classes=4)
    stages = model.stages(images)
    model.memory.update(stages.features, labels, 0.5)
    rows = []
    model.stage2.register_forward_hook(lambda module, inputs, output: rows.append(len(inputs[0])))
    model.loss(stages, labels).consistency.backward()
    assert rows == [4]
    assert {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None} == {"stage2"}
    assert model.loss(stages, labels, consistency=False).consistency == 0


def test_a_batch_of_void_pixels_has_zero_loss_and_does_not_change_the_memory():
    model = small().train()
    images, labels = some_batch((64, 96))
    stages = model.stages(images)
    model.memory.update(stages.features, torch.full_like(labels, IGNORE), 0.5)
    assert not model.memory.seen.any()
    assert sum(model.loss(stages, torch.full_like(labels, IGNORE))).item() == 0


def test_an_unknown_context_or_aggregation_raises():
    with pytest.raises(ModelError, match="'crf'"):
        small(context="crf")
    with pytest.raises(ModelError, match="'max'"):
        small(aggregation="max")
