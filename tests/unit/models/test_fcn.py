"""FCN: the suite of all models, and its auxiliary head."""

from likewise.backbones.specs import BACKBONES, backbone_spec
from likewise.backbones.taps import Backbone
from likewise.models.fcn import FCN
from support.model_suite import ModelSuite
from support.scene_suite import SEVEN, detailed_backbone, some_batch


class TestFCNOnLite0(ModelSuite):
    def build(self):
        spec = BACKBONES["lite0-stride8"].with_taps("blocks.4.2", "blocks.6.0")
        return FCN(Backbone(spec, frozen=False), SEVEN, channels=32)

    def run(self, model, size):
        return model(some_batch(size)[0])

    def loss(self, model, size):
        return model.loss(*some_batch(size))


class TestFCNWithDetail(TestFCNOnLite0):
    def build(self):
        return FCN(detailed_backbone(), SEVEN, channels=16, detail=True)


def test_a_backbone_of_one_tap_has_no_auxiliary_head():
    backbone = Backbone(backbone_spec("mobilenetv3_small_050", taps=("2",)), frozen=False)
    images, labels = some_batch((64, 96))
    model = FCN(backbone, SEVEN, channels=16)
    assert model(images).shape == (2, 7, 64, 96)
    assert model.auxiliary is None
    assert model.loss(images, labels).isfinite()
