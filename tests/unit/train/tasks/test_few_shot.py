import pytest
import torch
import torch.nn.functional as F

from likewise.models.hsnet import HSNet
from likewise.train.recipes.sections import HSNetModel
from likewise.train.samples.episodes import Batch
from likewise.train.samples.training_data import Progress
from likewise.train.tasks.build import build_trainable
from likewise.train.tasks.few_shot import hsnet_inputs, hsnet_losses, hsnet_predict
from likewise.weights.imagenet import load_backbone
from support.fake_runs import FIRST_TAP

SECTION = HSNetModel(name="hsnet", backbone="lite0", first_tap=FIRST_TAP, channels=(4, 8, 8))


@pytest.fixture(scope="module")
def model() -> HSNet:
    torch.manual_seed(0)
    return build_trainable(SECTION, ("cat", "dog"))


def random_batch(count: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, count, 48, 64, 3), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 2, (2, count, 48, 64), dtype=torch.uint8, generator=generator)
    return Batch(images[0][:, None, None], labels[0][:, None, None], images[1], labels[1])


def test_the_backbone_has_imagenet_weights_and_is_frozen(model: HSNet) -> None:
    assert not any(parameter.requires_grad for parameter in model.backbone.parameters())
    assert all(parameter.requires_grad for parameter in model.squeeze8.parameters())
    expected = load_backbone(model.backbone.spec).state_dict()
    torch.testing.assert_close(model.backbone.state_dict(), expected, rtol=0, atol=0)
    assert model.backbone.taps[0].module == FIRST_TAP


def test_the_loss_is_the_cross_entropy_of_the_queries(model: HSNet) -> None:
    batch = random_batch(2)
    with torch.no_grad():
        losses = hsnet_losses(model, SECTION, batch, Progress(0, 1))
        logits = model(*hsnet_inputs(model, batch))[:, 0]
    assert losses.keys() == {"cross-entropy"}
    assert losses["cross-entropy"].item() == pytest.approx(F.cross_entropy(logits, batch.targets.long()).item())


def test_predicted_masks_have_the_size_of_the_queries(model: HSNet) -> None:
    batch = random_batch(2)
    with torch.no_grad():
        masks = hsnet_predict(model, batch)
        foreground = model(*hsnet_inputs(model, batch))[:, 0].argmax(dim=1)
    assert masks.dtype == torch.uint8
    assert (masks == foreground).all()
