"""ICNet at the start of training: its initial weights, its trainable parameters and its loss."""

import json

import pytest
import torch
from safetensors.torch import save_file

from likewise.errors import ModelError, TrainingError
from likewise.train.recipes.sections import ICNetModel
from likewise.train.samples.groups import Batch
from likewise.train.samples.training_data import Progress
from likewise.train.tasks import icnet
from likewise.weights import PRETRAINED
from likewise.weights.build import build_model
from likewise.weights.load import load_trained
from support.fake_runs import make_hsnet_run


def section(**settings: object) -> ICNetModel:
    return ICNetModel.model_validate({"name": "icnet", "backbone": "lite0", **settings})


@pytest.mark.parametrize("start", ["saliency-lite0", "panet-lite0"])
def test_start_copies_the_backbone_of_a_saliency_or_few_shot_model(start):
    trained = load_trained(PRETRAINED / f"{start}.safetensors")[0].backbone.state_dict()
    model = icnet.build(section(start=start), ())
    for name, value in model.backbone.state_dict().items():
        torch.testing.assert_close(value, trained[name], rtol=0, atol=0)
    plain = icnet.build(section(), ()).backbone.state_dict()
    assert not torch.equal(plain["net.blocks.5.3.conv_pwl.weight"], trained["net.blocks.5.3.conv_pwl.weight"])


@pytest.mark.parametrize("compress", [True, False])
def test_start_copies_another_icnet_with_the_same_features(compress, tmp_path):
    torch.manual_seed(0)
    run = section(compress=compress).model_dump(mode="json")
    header = {"recipe": json.dumps({"name": "icnet-small", "model": run}), "classes": "[]"}
    first = build_model(run).state_dict()
    save_file(first, tmp_path / "weights.safetensors", metadata=header)
    model = icnet.build(section(start=str(tmp_path), compress=compress), ())
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, first[name], rtol=0, atol=0)
    with pytest.raises(TrainingError, match=f"model.compress={str(compress).lower()}"):
        icnet.build(section(start=str(tmp_path), compress=not compress), ())


def test_vgg16_requires_compressed_features():
    with pytest.raises(ValueError, match=r"model\.compress=true"):
        section(backbone="vgg16", compress=False)


def test_only_the_named_modules_of_the_backbone_learn():
    model = icnet.build(section(learn=["blocks.5"]), ())
    asking = {name for name, value in model.backbone.named_parameters() if value.requires_grad}
    assert asking
    assert all(name.startswith("net.blocks.5.") for name in asking)
    assert all(value.requires_grad for value in model.attend8.parameters())


def test_learn_null_freezes_the_backbone():
    model = icnet.build(section(learn=None), ())
    assert not any(value.requires_grad for value in model.backbone.parameters())
    assert all(value.requires_grad for value in model.attend8.parameters())


@pytest.mark.slow
def test_start_refuses_other_models_and_other_backbones(tmp_path):
    run = make_hsnet_run(tmp_path / "run")
    with pytest.raises(ModelError, match="HSNet"):
        icnet.build(section(start=str(run)), ())
    with pytest.raises(TrainingError, match=r"saliency-lite0.*lite0.*vgg16"):
        icnet.build(section(backbone="vgg16", start="saliency-lite0"), ())


def test_the_loss_is_the_mean_over_the_losses_of_the_groups():
    torch.manual_seed(0)
    model = icnet.build(section(), ()).eval()
    generator = torch.Generator().manual_seed(0)
    batch = Batch(
        torch.randint(0, 256, (2, 2, 224, 224, 3), generator=generator, dtype=torch.uint8),
        torch.randint(0, 256, (2, 2, 224, 224), generator=generator, dtype=torch.uint8),
        torch.randint(0, 2, (2, 2, 224, 224), generator=generator, dtype=torch.uint8),
    )
    with torch.no_grad():
        both = icnet.losses(model, section(), batch, Progress(0, 1))["soft IoU"]
        each = [
            icnet.losses(model, section(), Batch(*(part[i : i + 1] for part in batch)), Progress(0, 1))["soft IoU"]
            for i in range(2)
        ]
    torch.testing.assert_close(both, torch.stack(each).mean())
