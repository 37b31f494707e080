"""ICNet at the start of its training: whose backbone it has, and what of it learns."""

import pytest
import torch

from fake_runs import make_hsnet_run
from likewise.train import icnet
from likewise.train.groups import Batch
from likewise.train.material import Progress, TrainingError
from likewise.train.model_sections import ICNetModel
from likewise.weights import BUNDLED, load_trained


def section(**settings: object) -> ICNetModel:
    return ICNetModel.model_validate({"name": "icnet", "backbone": "lite0", **settings})


@pytest.mark.parametrize("start", ["saliency-lite0", "panet-lite0"])
def test_it_takes_over_the_backbone_of_a_model_of_saliency_or_by_example(start):
    trained = load_trained(BUNDLED / f"{start}.safetensors")[0].backbone.state_dict()
    model = icnet.build(section(start=start), ())
    for name, value in model.backbone.state_dict().items():
        torch.testing.assert_close(value, trained[name], rtol=0, atol=0)
    plain = icnet.build(section(), ()).backbone.state_dict()
    assert not torch.equal(plain["net.blocks.5.3.conv_pwl.weight"], trained["net.blocks.5.3.conv_pwl.weight"])


def test_it_goes_on_from_another_icnet():
    trained = load_trained(BUNDLED / "icnet-lite0.safetensors")[0].state_dict()
    for name, value in icnet.build(section(start="icnet-lite0"), ()).state_dict().items():
        torch.testing.assert_close(value, trained[name], rtol=0, atol=0)


def test_only_the_named_part_of_the_backbone_learns():
    model = icnet.build(section(learn=["blocks.5"]), ())
    asking = {name for name, value in model.backbone.named_parameters() if value.requires_grad}
    assert asking
    assert all(name.startswith("net.blocks.5.") for name in asking)
    assert all(value.requires_grad for value in model.attend8.parameters())


def test_a_start_of_another_kind_or_backbone_is_refused(tmp_path):
    run = make_hsnet_run(tmp_path / "run")
    with pytest.raises(
        TrainingError, match=r"run holds a HSNet on lite0; .* needed a run of saliency, panet or icnet on lite0"
    ):
        icnet.build(section(start=str(run)), ())
    with pytest.raises(
        TrainingError, match=r"a SaliencyNet on lite0; .* needed a run of saliency, panet or icnet on vgg16"
    ):
        icnet.build(section(backbone="vgg16", start="saliency-lite0"), ())


def test_the_loss_is_the_mean_over_groups_each_on_its_own():
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
