"""Published checkpoints of MCIBI become weights that the scene parser takes."""

from pathlib import Path

import pytest
import torch

from likewise.errors import WeightsError
from likewise.models.blocks.dataset_memory import DatasetMemory
from likewise.models.fcn import FCN
from likewise.models.mcibi import MCIBI, PUBLISHED_NAMES, MCIBIConfig, from_checkpoint
from likewise.predict.scene_parser import SceneParser
from likewise.weights.published import import_scene_checkpoint
from support.scene_suite import mcibi_resnet

NAMES = ("sky", "road", "car")
OURS_TO_THEIRS = {ours: theirs for theirs, ours in reversed(PUBLISHED_NAMES.items())}


def published(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A model's state under the authors' names."""
    state = {}
    for name, value in model.state_dict().items():
        if name == "memory.seen":
            continue
        ours = max((start for start in OURS_TO_THEIRS if name.startswith(start)), key=len)
        state[f"module.{OURS_TO_THEIRS[ours]}{name.removeprefix(ours)}"] = value
    assert from_checkpoint(state).keys() | {"memory.seen"} == model.state_dict().keys() | {"memory.seen"}
    return state


def random_mcibi(**choices) -> MCIBI:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = mcibi_resnet(50, NAMES, MCIBIConfig(channels=16, attention_channels=8, published=True, **choices))
        model.memory.fill(torch.rand_like(model.memory.vectors))
    return model.eval()


@pytest.mark.slow
@pytest.mark.parametrize("choices", [{}, {"context": "aspp"}, {"context": "ppm", "slots": 2}])
def test_what_is_imported_is_the_same_network(tmp_path: Path, choices):
    model = random_mcibi(**choices)
    torch.save(published(model), tmp_path / "theirs.pth")
    out = import_scene_checkpoint(tmp_path / "theirs.pth", NAMES)
    assert out == tmp_path / "theirs.safetensors"
    parser = SceneParser(out, device="cpu")
    assert parser.classes == NAMES
    assert parser.network.network.config == model.config
    own = parser.network.network.state_dict()
    assert all(torch.equal(own[name], value) for name, value in model.state_dict().items())


@pytest.mark.slow
def test_the_baseline_is_imported_with_its_convolutions(tmp_path: Path):
    model = FCN(mcibi_resnet(50, NAMES).backbone, NAMES, convolutions=1, channels=16)
    torch.save(published(model), tmp_path / "fcn.pth")
    network = SceneParser(import_scene_checkpoint(tmp_path / "fcn.pth", NAMES), device="cpu").network.network
    assert isinstance(network, FCN)
    assert all(torch.equal(network.state_dict()[name], value) for name, value in model.state_dict().items())


def test_the_command_takes_the_names_from_a_file(tmp_path: Path, likewise):
    torch.save(published(random_mcibi()), tmp_path / "theirs.pth")
    (tmp_path / "classes.txt").write_text("sky\nroad\ncar\n")
    words = ("weights", "import", "mcibi", tmp_path / "theirs.pth")
    code, out, err = likewise(*words, "--classes", tmp_path / "classes.txt")
    assert (code, err) == (0, "")
    assert "theirs.safetensors: mcibi; use it with likewise parse" in out
    code, _, err = likewise(*words)
    assert code == 2
    assert "--classes" in err


def test_other_checkpoints_and_other_numbers_of_names_are_refused(tmp_path: Path):
    torch.save(published(random_mcibi()), tmp_path / "theirs.pth")
    with pytest.raises(WeightsError, match=r"3 .* 2 names"):
        import_scene_checkpoint(tmp_path / "theirs.pth", NAMES[:2])
    torch.save({"encoder.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth.*encoder\.weight"):
        import_scene_checkpoint(tmp_path / "other.pth", NAMES)
    DatasetMemory(NAMES, 4).save(tmp_path / "there.safetensors")
    with pytest.raises(WeightsError, match=r"there\.safetensors"):
        import_scene_checkpoint(tmp_path / "theirs.pth", NAMES, tmp_path / "there.safetensors")
