"""ICNet as trained by us, `lite0`: its features, groups of any size, and the suite of all models.

`test_icnet_published.py` has the published network.
"""

import copy

import pytest
import torch
import torch.nn.functional as F

from likewise.errors import ImageError
from likewise.models import icnet
from support.model_suite import ModelSuite


def test_an_empty_mask_has_loss_one_unless_nothing_is_predicted_and_never_nan():
    masks = torch.zeros(2, 4, 4)
    predictions = torch.zeros(2, 1, 4, 4, requires_grad=True)
    loss = icnet.soft_iou_loss(predictions, masks)
    loss.backward()
    assert loss.item() == 0
    assert predictions.grad.isfinite().all()
    assert icnet.soft_iou_loss(torch.full((2, 1, 4, 4), 1e-30), masks).item() == 1


def test_vectors_are_mean_unit_features_under_the_map_and_its_complement():
    torch.manual_seed(0)
    features, sisms = torch.randn(2, 5, 7, 7), torch.rand(2, 7, 7)
    found = icnet.pool(features, sisms)
    for image in range(2):
        total = torch.zeros(2, 5)
        for row in range(7):
            for column in range(7):
                feature = features[image, :, row, column]
                weight = sisms[image, row, column]
                total += torch.stack([weight, 1 - weight])[:, None] * feature / feature.norm()
        torch.testing.assert_close(found[image], total / total.norm(dim=1, keepdim=True))


def test_lite0_compares_the_two_deepest_features_with_equal_weight():
    torch.manual_seed(0)
    model = icnet.lite0().eval()
    model.standardise[0].running_mean.fill_(0.3)
    model.standardise[1].running_var.fill_(4.0)
    images, _ = some_group(2)
    with torch.no_grad():
        taps = model.backbone(images)
        levels = model.features(images)[1]
    assert {stride: level.shape[1:] for stride, level in levels.items()} == {
        8: (304, 28, 28),
        16: (304, 14, 14),
        32: (304, 7, 7),
    }
    deep, deepest = levels[16][:, :112], levels[32][:, 112:]
    torch.testing.assert_close(deep, F.normalize((taps[4] - 0.3) / (1 + 1e-5) ** 0.5, dim=1))
    torch.testing.assert_close(deepest, F.normalize(taps[5] / (4 + 1e-5) ** 0.5, dim=1))


def test_calibration_maps_the_threshold_to_one_half_and_keeps_the_order():
    predictions = torch.tensor([0, 0.2, 0.85, 0.9, 1])[None, None]
    found = icnet.calibrate(predictions, 0.85)[0, 0]
    assert found[[0, 2, 4]].tolist() == pytest.approx([0, 0.5, 1])
    assert (found.diff() > 0).all()
    odds = 0.9 / 0.1 * (0.15 / 0.85)
    assert found[3].item() == pytest.approx(odds / (1 + odds))
    torch.testing.assert_close(icnet.calibrate(predictions, 0.5), predictions)


@pytest.fixture(scope="module")
def small():
    """The lite0 variant with weights under which every part changes the output."""
    torch.manual_seed(0)
    model = icnet.lite0()
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Conv2d) and not name.startswith("backbone."):
            torch.nn.init.kaiming_normal_(module.weight)
    for prediction in (model.predict, *(refinement.predict for refinement in model.refinements)):
        torch.nn.init.normal_(prediction[0].weight, std=0.03)
    return model.eval()


def some_group(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    images = F.interpolate(torch.randn(count, 3, 16, 16, generator=generator), (224, 224), mode="bicubic")
    sisms = F.interpolate(torch.rand(count, 1, 5, 5, generator=generator), (224, 224), mode="bilinear")
    return images, sisms[:, 0]


def chunks_of(size: int, group: tuple[torch.Tensor, torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(zip(*(part.split(size) for part in group), strict=True))


def two_passes(model, chunks) -> list[torch.Tensor]:
    group = icnet.concat_vectors([model.encode_group(*chunk) for chunk in chunks])
    return [model.segment(*chunk, group) for chunk in chunks]


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 7, 13])
def test_two_passes_in_chunks_give_the_output_of_the_whole_group(count, small):
    """`forward`, whose rounding depends on the batch size and can swap positions, is compared below."""
    group = some_group(count)
    chunked = torch.cat([*two_passes(small, chunks_of(4, group))])
    first = group[0][:12], group[1][:12]
    torch.testing.assert_close(small.segment(*first, small.encode_group(*group)), chunked[:12], rtol=0, atol=1e-5)
    if count > 4:  # splitting a group changes the result
        first = group[0][:4], group[1][:4]
        with torch.no_grad():
            assert (small(*first) - chunked[:4]).abs().max() > 2e-3


@pytest.mark.slow
@pytest.mark.double_precision
@pytest.mark.parametrize("count", [1, 2, 7])
def test_in_double_precision_two_passes_equal_the_whole_group(count, small):
    model, group = copy.deepcopy(small).double(), tuple(part.double() for part in some_group(count))
    with torch.no_grad():
        whole = model(*group)
    torch.testing.assert_close(torch.cat([*two_passes(model, chunks_of(3, group))]), whole, rtol=0, atol=1e-9)


def test_the_order_of_a_group_does_not_matter(small):
    images, sisms = some_group(7)
    order = [4, 0, 6, 2, 5, 1, 3]
    forwards = torch.cat([*two_passes(small, chunks_of(3, (images, sisms)))])
    turned = torch.cat([*two_passes(small, chunks_of(2, (images[order], sisms[order])))])
    torch.testing.assert_close(turned, forwards[order], rtol=0, atol=1e-6)


def test_only_vectors_of_a_group_are_kept(small):
    """A chunk leaves two vectors for each image and level, in storage of exactly that size."""
    images, sisms = some_group(2)
    vectors = small.encode_group(images, sisms)
    numbers = sum(vector[0].numel() for vector in vectors.values())
    assert numbers == 2 * 3 * (112 + 192)  # both sides of three levels, channels of strides 16 and 32
    for vector in vectors.values():  # no view that keeps features alive
        assert vector.untyped_storage().nbytes() == vector.numel() * vector.element_size()
    assert not any(vector.requires_grad for vector in vectors.values())


@pytest.mark.parametrize("what", ["images", "saliency maps"])
def test_another_size_than_224_raises(what, small):
    images, sisms = some_group(1)
    if what == "images":
        images = images[..., :200, :]
        expected = "images .* 224x200"
    else:
        sisms = sisms[:, :, :96]
        expected = "saliency maps .* 96x224"
    for run in (small, small.encode_group):
        with pytest.raises(ImageError, match=expected):
            run(images, sisms)


class TestICNetOnLite0(ModelSuite):
    SIZES = ((224, 224), (224, 224))

    def build(self):
        return icnet.lite0()

    def run(self, model, size):
        return model(*some_group(2))

    def loss(self, model, size):
        images, sisms = some_group(2)
        return model.loss(images, sisms, (sisms > 0.6).float())


class TestICNetOnLite0Compressed(TestICNetOnLite0):
    def build(self):
        return icnet.lite0(compress=True)
