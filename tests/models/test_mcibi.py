"""MCIBI and its baseline: what every model must do, sizes, choices and losses."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from likewise.backbones import BACKBONES, Backbone, backbone_spec
from likewise.labels import IGNORE
from likewise.memory import polynomial_momentum
from likewise.models import mcibi
from likewise.models.mcibi import FCN, MCIBI, MCIBIConfig
from models.suite import ModelSuite

SEVEN = tuple("abcdefg")


def test_cross_entropy_weighs_pixels_by_their_class_and_sees_the_resized_logits():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 5, 7, generator=generator)
    labels = torch.randint(0, 3, (2, 33, 50), generator=generator)
    labels[:, :4] = IGNORE
    weights = torch.tensor([0.3, 1, 4])
    resized = F.interpolate(logits, size=(33, 50), mode="bilinear")
    for given in (None, weights):
        expected = F.cross_entropy(resized, labels, given, ignore_index=IGNORE)
        torch.testing.assert_close(mcibi.cross_entropy(logits, labels, given), expected, rtol=0, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        found = mcibi.cross_entropy(logits, labels, weights)
    expected = F.cross_entropy(resized, labels, weights, ignore_index=IGNORE)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


# ---- what every model must do -------------------------------------------------------------------------------------


def some_batch(size, classes=7):
    generator = torch.Generator().manual_seed(0)
    blocks = torch.randint(0, classes, (2, 1, 4, 4), generator=generator).float()
    labels = F.interpolate(blocks, size=size, mode="nearest")[:, 0].long()
    labels[:, :3] = IGNORE
    return torch.randn(2, 3, *size, generator=generator), labels


class TestMCIBIOnLite0(ModelSuite):
    def build(self):
        return mcibi.lite0(SEVEN)

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
        return mcibi.lite0(SEVEN, MCIBIConfig(context="aspp", slots=2, channels=16, attention_channels=8))

    def loss(self, model, size):
        images, labels = some_batch(size)
        for _ in range(3):
            stages = model.stages(images)
            model.memory.update(stages.features, labels, polynomial_momentum(0.5))
        return sum(model.loss(stages, labels))


class TestFCNOnLite0(ModelSuite):
    def build(self):
        spec = BACKBONES["lite0-stride8"].with_taps("blocks.4.2", "blocks.6.0")
        return FCN(Backbone(spec, frozen=False), SEVEN, channels=32)

    def run(self, model, size):
        return model(some_batch(size)[0])

    def loss(self, model, size):
        return model.loss(*some_batch(size))


def with_detail(name: str) -> MCIBI | FCN:
    spec = BACKBONES["lite0-stride8"].with_taps("blocks.1.1", "blocks.2.1", "blocks.3.0")
    backbone = Backbone(spec, frozen=False)
    if name == "fcn":
        return FCN(backbone, SEVEN, channels=16, detail=True)
    return MCIBI(backbone, SEVEN, MCIBIConfig(channels=16, attention_channels=8, detail=True))


class TestMCIBIWithDetail(TestMCIBIOnLite0):
    def build(self):
        return with_detail("mcibi")


class TestFCNWithDetail(TestFCNOnLite0):
    def build(self):
        return with_detail("fcn")


def small(**choices) -> MCIBI:
    return mcibi.lite0(SEVEN, MCIBIConfig(channels=16, attention_channels=8, **choices))


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
    for model in (MCIBI(backbone, SEVEN, MCIBIConfig(channels=16)), FCN(backbone, SEVEN, channels=16)):
        assert model(images).shape == (2, 7, 64, 96)
        assert model.auxiliary is None
    assert model.loss(images, labels).isfinite()
    model = MCIBI(backbone, SEVEN, MCIBIConfig(channels=16))
    stages = model.stages(images)
    assert stages.auxiliary is None
    assert model.loss(stages, labels).auxiliary == 0


def test_detail_adds_to_the_logits_at_the_stride_of_the_first_tap():
    model = with_detail("mcibi").eval()
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


def test_detail_needs_a_first_tap_of_a_finer_stride():
    spec = BACKBONES["lite0-stride8"].with_taps("blocks.2.1", "blocks.3.0")
    with pytest.raises(ValueError, match=r"finer stride than the last; blocks\.2\.1 has 8, blocks\.3\.0 has 8"):
        FCN(Backbone(spec), SEVEN, channels=16, detail=True)


def test_overlap_is_the_mean_iou_over_classes_that_occur_all_pictures_together():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 6, 5, generator=generator)
    labels = torch.randint(0, 3, (2, 6, 5), generator=generator)  # the fourth class never occurs
    labels[0, :2] = IGNORE
    probability, ious = logits.softmax(dim=1), []
    for index in range(3):
        shared = both = 0.0
        for picture, row, column in (labels != IGNORE).nonzero().tolist():
            own = probability[picture, index, row, column].item()
            truth = float(labels[picture, row, column] == index)
            shared, both = shared + own * truth, both + max(own, truth)
        ious.append(shared / both)
    assert mcibi.overlap_loss(logits, labels).item() == pytest.approx(1 - np.mean(ious), abs=1e-6)


def test_overlap_without_any_labelled_pixel_is_zero_and_without_error_it_is_nearly():
    labels = torch.randint(0, 3, (1, 12, 12), generator=torch.Generator().manual_seed(0))
    sure = 50 * F.one_hot(labels, 3).movedim(-1, 1).float()
    assert mcibi.overlap_loss(sure, labels).item() == pytest.approx(0, abs=1e-6)
    assert mcibi.overlap_loss(sure, torch.full_like(labels, IGNORE)).item() == 0


def test_one_class_trains_without_a_consistency_loss():
    model = mcibi.lite0(("all",), MCIBIConfig(channels=16, attention_channels=8)).train()
    images, labels = some_batch((64, 64), classes=1)
    stages = model.stages(images)
    model.memory.update(stages.features, labels, 0.5)
    losses = model.loss(stages, labels)
    assert losses.consistency == 0
    sum(losses).backward()


def test_the_consistency_loss_reaches_stage_2_only_and_leaves_out_what_was_never_seen():
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


def test_a_batch_of_ignored_pixels_has_a_finite_loss_and_leaves_the_memory():
    model = small().train()
    images, labels = some_batch((64, 96))
    stages = model.stages(images)
    model.memory.update(stages.features, torch.full_like(labels, IGNORE), 0.5)
    assert not model.memory.seen.any()
    assert sum(model.loss(stages, torch.full_like(labels, IGNORE))).item() == 0


def test_unknown_choices_are_refused():
    with pytest.raises(ValueError, match="no context 'crf'; there are: none, ppm, aspp, ocr"):
        small(context="crf")
    with pytest.raises(ValueError, match="no aggregation 'max'; there are: soft, hard"):
        small(aggregation="max")
