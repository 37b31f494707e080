from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from likewise.errors import ModelError, TrainingError
from likewise.train.recipes.model_sections import HSNetModel
from likewise.train.samples.episodes import Batch
from likewise.train.samples.training_data import Progress
from likewise.train.tasks import hsnet
from likewise.weights.load import load_trained
from support.fake_runs import FIRST_TAP, make_hsnet_run

CLASSES = ("cat", "cup", "dog")


def section(*start: Path, **more: object) -> HSNetModel:
    settings = {"name": "hsnet", "backbone": "lite0", "first_tap": FIRST_TAP, "channels": (4, 8, 8), "start": start}
    return HSNetModel.model_validate({**settings, **more})


def random_batch(*classes: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, len(classes), 48, 64, 3), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 2, (2, len(classes), 48, 64), dtype=torch.uint8, generator=generator)
    return Batch(
        images[0][:, None, None], labels[0][:, None, None], images[1], labels[1], torch.tensor(classes)[:, None]
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Runs with different backbones, trained on cats and cups, on dogs, and on all classes."""
    found = []
    for number, classes in enumerate((("cat", "cup"), ("dog",), CLASSES)):
        run = make_hsnet_run(tmp_path_factory.mktemp("runs") / f"run{number}", classes=classes, seed=number)
        found.append(scale_last_stage(run, 1 + number / 20))
    return found


def scale_last_stage(run: Path, factor: float) -> Path:
    """Change the last stage's weights, so that the run's features differ from those of other runs."""
    path = run / "weights.safetensors"
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    state = load_file(path)
    for name, value in state.items():
        if name.startswith("backbone.net.blocks.5.0.") and name.endswith("conv_pw.weight"):
            state[name] = value * factor + 0.01 * factor
    save_file(state, path, metadata=header)
    return run


def last_features(backbone, batch: Batch) -> torch.Tensor:
    with torch.inference_mode():
        return backbone(backbone.normalise(batch.queries))[-1]


def test_each_class_uses_the_last_backbone_that_was_not_trained_on_it(runs: list[Path]) -> None:
    model = hsnet.build(section(*runs), CLASSES)
    assert model.class_backbones.of_class.tolist() == [1, 1, 0]
    batch = random_batch(0)
    expected = [last_features(load_trained(run)[0].backbone, batch) for run in runs]
    assert not torch.allclose(expected[0], expected[1])
    for place in (0, 1, 2):
        with model.class_backbones.use(model, place):
            torch.testing.assert_close(last_features(model.backbone, batch), expected[place])
    torch.testing.assert_close(last_features(model.backbone, batch), expected[2])


def test_a_class_that_all_runs_were_trained_on_uses_the_last_backbone(runs: list[Path]) -> None:
    assert hsnet.build(section(runs[0], runs[2]), CLASSES).class_backbones.of_class.tolist() == [1, 1, 0]
    assert hsnet.build(section(runs[2]), CLASSES).class_backbones.of_class.tolist() == [0, 0, 0]
    assert hsnet.build(section(), CLASSES).class_backbones.of_class.tolist() == [0, 0, 0]


def test_the_other_backbones_are_not_in_the_state_dict(runs: list[Path]) -> None:
    alone, several = hsnet.build(section(runs[2]), CLASSES), hsnet.build(section(*runs), CLASSES)
    assert several.state_dict().keys() == alone.state_dict().keys()
    assert not any(parameter.requires_grad for parameter in several.backbone.parameters())


@pytest.mark.parametrize("loss", ["cross-entropy", "overlap"])
def test_the_loss_weighs_each_backbone_by_its_number_of_episodes(runs: list[Path], loss: str) -> None:
    chosen = section(*runs, loss=loss)
    torch.manual_seed(0)
    model = hsnet.build(chosen, CLASSES)
    batch = random_batch(2, 0, 2)
    expected = 0.0
    with torch.no_grad():
        losses = hsnet.losses(model, chosen, batch, Progress(0, 1))
        for place, episodes in ((0, [0, 2]), (1, [1])):
            with model.class_backbones.use(model, place):
                part = Batch(*(plane[episodes] for plane in batch))
                found = model.loss(*hsnet.inputs(model, part), part.targets.long())
                expected += (found.query if loss == "cross-entropy" else found.overlap).item() * len(episodes) / 3
    assert list(losses) == [loss]
    assert losses[loss].item() == pytest.approx(expected, rel=1e-5)


def test_start_refuses_other_models_and_other_backbones(runs: list[Path]) -> None:
    with pytest.raises(TrainingError, match=r"run0.*lite0-stride8"):
        hsnet.build(section(runs[0], backbone="lite0-stride8"), CLASSES)
    with pytest.raises(ModelError, match="saliency-lite0"):
        hsnet.build(section(Path("saliency-lite0")), CLASSES)
