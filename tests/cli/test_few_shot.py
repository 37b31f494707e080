"""The command line, used as people use it: by its words, its exit codes and the files it leaves."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from fake_runs import make_hsnet_run
from likewise import Concept
from likewise.predict import DEFAULT_MODEL

HERE = Path(sys.executable).parent


@pytest.fixture
def discs(photos: Path) -> Path:
    """Three pictures of a red disc; the first with its mask beside it."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:96, :128]
    for index, (row, column) in enumerate(((40, 40), (50, 80), (60, 60))):
        picture = generator.integers(90, 130, (96, 128, 1), dtype=np.uint8).repeat(3, axis=2)
        mask = (rows - row) ** 2 + (columns - column) ** 2 < 22**2
        picture[mask] = 220, 40, 40
        Image.fromarray(picture).save(photos / f"disc{index}.jpg")
        if index == 0:
            Image.fromarray(mask).save(photos / "disc0.mask.png")
    return photos


def mask_of(path: Path) -> np.ndarray:
    return np.array(Image.open(path)) > 0


def test_help_names_every_command_and_loads_without_torch():
    shown = subprocess.run([HERE / "likewise", "--help"], capture_output=True, text=True, check=True).stdout
    for command in ("segment", "learn", "demo", "models", "backbones"):
        assert command in shown
    program = "import sys, likewise, likewise.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_it_runs_as_a_module_too():
    words = [sys.executable, "-m", "likewise", "--help"]
    assert "cosegment" in subprocess.run(words, capture_output=True, text=True, check=True).stdout


def test_one_masked_picture_segments_the_others_in_every_format(likewise, discs):
    words = ("segment", discs, "--like", discs / "disc0.jpg", "-o", "out")
    code, out, err = likewise(*words, "--format", "mask", "probability", "overlay", "cutout", "coco")
    assert (code, err) == (0, "")
    assert out.startswith("3 pictures segmented into out")
    for index, (row, column) in enumerate(((40, 40), (50, 80), (60, 60))):
        mask = mask_of(Path(f"out/disc{index}.mask.png"))
        assert mask.shape == (96, 128)
        assert mask[row, column]
        assert not mask[2, 2]
    assert Image.open("out/disc0.probability.png").mode.startswith("I")
    assert Image.open("out/disc0.cutout.png").mode == "RGBA"
    assert Image.open("out/disc0.overlay.jpg").size == (128, 96)
    coco = COCO("out/coco.json")
    assert len(coco.imgs) == 3
    np.testing.assert_array_equal(
        coco.annToMask(next(iter(coco.anns.values()))) > 0, mask_of(Path("out/disc0.mask.png"))
    )


@pytest.mark.parametrize(
    "like",
    [
        ("photos/disc0.jpg=photos/disc0.mask.png",),
        ("photos/disc0.jpg",),
        ("photos/disc0.jpg", "photos/disc0.mask.png"),
        ("pets",),
        ("red.concept",),
        ("photos/disc0.jpg", "--box", "18,18,62,62"),
        ("photos/disc0.jpg", "--scribbles", "strokes.png"),
    ],
)
def test_examples_may_be_given_in_every_way(likewise, discs, like):
    pets = Path("pets/red")
    pets.mkdir(parents=True)
    for name in ("disc0.jpg", "disc0.mask.png"):
        (pets / name).write_bytes((discs / name).read_bytes())
    strokes = np.zeros((96, 128, 3), np.uint8)
    strokes[35:45, 30:50], strokes[85:95, 5:120] = (0, 255, 0), (255, 0, 0)
    Image.fromarray(strokes).save("strokes.png")
    assert likewise("learn", discs / "disc0.jpg", "-o", "red")[0] == 0
    code, _, err = likewise("segment", discs / "disc1.jpg", "--like", *like, "-o", "out")
    assert (code, err) == (0, "")
    mask = mask_of(Path("out/disc1.mask.png"))
    assert mask[50, 80]
    assert mask.mean() < 0.6


def test_a_folder_of_classes_gives_label_pictures(likewise, discs):
    for name, colour in (("red", (220, 40, 40)), ("blue", (30, 60, 220))):
        picture, mask = np.full((96, 96, 3), 110, np.uint8), np.zeros((96, 96), bool)
        mask[30:70, 30:70] = True
        picture[mask] = colour
        Path(f"pets/{name}").mkdir(parents=True)
        Image.fromarray(picture).save(f"pets/{name}/1.jpg")
        Image.fromarray(mask).save(f"pets/{name}/1.png")
    code, out, err = likewise("learn", "pets", "-o", "pets.concept")
    assert (code, err) == (0, "")
    assert "concept of blue (1), red (1)" in out
    assert likewise("segment", discs / "*.jpg", "--like", "pets.concept", "-o", "out")[0] == 0
    labels = Image.open("out/disc0.mask.png")
    assert labels.mode == "P"
    assert np.array(labels)[40, 40] == 2


def test_learning_adds_examples_to_a_concept(likewise, discs):
    assert likewise("learn", discs / "disc0.jpg", "-o", "one.concept")[0] == 0
    box = ("--box", "58,28,102,72")
    code, out, _ = likewise("learn", discs / "disc1.jpg", "one.concept", *box, "-o", "two.concept")
    assert code == 0
    assert "object (2)" in out
    assert Concept.load("two.concept").names == ("disc1.jpg", "disc0.jpg")


def test_a_second_run_skips_and_other_examples_are_refused_unless_forced(likewise, discs):
    words = ("segment", discs, "--like", discs / "disc0.jpg", "-o", "out")
    assert likewise(*words)[0] == 0
    before = Path("out/disc1.mask.png").stat().st_mtime_ns
    code, out, _ = likewise(*words)
    assert code == 0
    assert "3 were finished before" in out
    assert Path("out/disc1.mask.png").stat().st_mtime_ns == before
    other = (*words[:3], f"{discs}/disc0.jpg", "--box", "0,0,20,20", "-o", "out")
    code, _, err = likewise(*other)
    assert code == 2
    assert "concept" in err
    assert "--force" in err
    assert likewise(*other, "--force")[0] == 0


def test_a_picture_that_fails_is_reported_and_the_others_are_done(likewise, discs):
    (discs / "broken.jpg").write_bytes((discs / "disc1.jpg").read_bytes()[:300])
    code, out, err = likewise("segment", discs, "--like", discs / "disc0.jpg", "-o", "out")
    assert code == 1
    assert "3 pictures segmented" in out
    assert "1 failed:" in err
    assert "broken.jpg" in err
    assert sorted(path.name for path in Path("out").glob("*.png")) == [f"disc{index}.mask.png" for index in range(3)]


def test_a_run_that_is_killed_goes_on_where_it_was(discs):
    for index in range(3, 60):
        (discs / f"disc{index}.jpg").write_bytes((discs / f"disc{index % 3}.jpg").read_bytes())
    words = [HERE / "likewise", "segment", "photos", "--like", "photos/disc0.jpg", "-o", "out"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 600
        while len(list(Path("out").glob("*.mask.png"))) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    finished = Path("out/.likewise/finished.jsonl").read_bytes().count(b"\n")
    assert 0 < finished < 60
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert f"{finished} were finished before" in shown
    assert len(list(Path("out").glob("*.mask.png"))) == 60


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("segment", "nowhere", "--like", "photos/disc0.jpg"), "nowhere: no such file or folder"),
        (("segment", "photos", "--like", "nowhere.jpg"), "nowhere.jpg: no such example"),
        (("segment", "photos", "--like", "photos/disc1.jpg"), "no mask beside it; looked for disc1.mask.png"),
        (("segment", "photos", "--like", "gone.concept"), "gone.concept: there is no such file"),
        (("segment", "photos", "--like", "photos/disc0.jpg", "--format", "mask", "gif"), "formats are mask"),
        (("segment", "photos", "--like", "photos/disc0.jpg", "--backbone", "resnet50"), "--model panet"),
        (("segment", "photos", "--like", "photos/disc0.jpg", "--model", "panets"), "no model is called 'panets'"),
        (
            ("segment", "photos", "--like", "photos/disc0.jpg", "--model", "panet", "--backbone", "lite9"),
            "no backbone is called 'lite9'",
        ),
        (
            ("segment", "photos", "--like", "photos/disc0.jpg", "--model", "panet", "--backbone", "lite0@x"),
            "lite0 has no tap 'x'",
        ),
        (("segment", "photos", "--like", "photos/disc0.jpg", "--box", "9,9,2,2"), "reversed"),
        (("segment", "photos", "--like", "photos/disc0.jpg", "--label", "7"), "no pixel has label 7"),
        (("segment", "photos", "--like", "photos/disc0.jpg", "--device", "tpu9"), "device 'tpu9' cannot be used"),
        (("learn", "nowhere"), "nowhere: no such example"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(likewise, discs, words, told):
    code, out, err = likewise(*words, "-o", "out")
    assert code == 2
    assert out == ""
    assert err.startswith("likewise: ")
    assert told in err
    assert "Traceback" not in err
    assert not list(Path("out").glob("*.png"))


def test_a_concept_of_another_backbone_is_refused_before_anything_is_written(likewise, discs):
    words = ("--model", "panet", "--backbone", "lite0@blocks.5.3")
    assert likewise("learn", discs / "disc0.jpg", "-o", "red.concept", *words)[0] == 0
    code, _, err = likewise("segment", discs, "--like", "red.concept", "-o", "out", "--model", "panet")
    assert code == 2
    assert "learned with backbone lite0@blocks.5.3" in err
    code, _, err = likewise("segment", discs, "--like", "red.concept", "-o", "out")
    assert code == 2
    assert f"learned with model panet, this model has model {DEFAULT_MODEL}" in err
    assert not Path("out").exists()


def test_no_input_is_overwritten(likewise, discs):
    before = (discs / "disc0.mask.png").read_bytes()
    code, _, err = likewise("segment", discs, "--like", discs / "disc0.jpg", "-o", discs, "--force")
    assert code == 2
    assert "disc0.mask.png" in err
    assert (discs / "disc0.mask.png").read_bytes() == before


def test_the_demonstration_passes_its_floors_and_leaves_pictures(likewise, photos):
    code, out, _ = likewise("demo", "-o", "demo")
    assert code == 0
    assert "motorcycle" in out
    sheet = Image.open("demo/sheet.png")
    assert sheet.width > 1000
    for name in ("motorcycle", "coins"):
        for suffix in (".png", ".mask.png", ".overlay.png", ".cutout.png"):
            assert Path(f"demo/{name}{suffix}").is_file()


def test_the_demonstration_fails_under_its_floor(likewise, photos, monkeypatch):
    from dataclasses import replace

    from likewise import demo

    coins = demo.coins()
    monkeypatch.setattr(demo, "motorcycle", lambda: replace(coins, name="motorcycle"))
    monkeypatch.setattr(demo, "coins", lambda: replace(coins, floor=0.99))
    code, _, err = likewise("demo", "-o", "demo")
    assert code == 1
    assert "under its floor" in err


def test_the_demonstration_shows_the_bundled_models_side_by_side(likewise, photos, monkeypatch, tmp_path):
    from likewise import weights

    bundle = tmp_path / "bundled"
    run = make_hsnet_run(bundle)
    (run / "weights.safetensors").rename(bundle / "hsnet-lite0.safetensors")
    (bundle / "panet-lite0.safetensors").symlink_to(weights.BUNDLED / "panet-lite0.safetensors")
    for module in ("weights", "predict.networks"):
        monkeypatch.setattr(f"likewise.{module}.BUNDLED", bundle)
    _, out, _ = likewise("demo", "-o", "both")
    assert [line.split()[0] for line in out.splitlines() if "lite0" in line] == ["motorcycle", "coins"] * 2
    assert out.count("hsnet-lite0") == out.count("panet-lite0") == 2
    code, out, _ = likewise("demo", "-o", "one", "--model", "panet-lite0")
    assert code == 0
    assert "hsnet-lite0" not in out
    assert Image.open("both/sheet.png").width > Image.open("one/sheet.png").width
    assert "hsnet-lite0" in likewise("models")[1]


def test_a_run_of_hsnet_learns_and_segments_by_its_folder(likewise, discs):
    run = make_hsnet_run(Path("run"))
    words = ("--model", run, "--side", "96", "--precision", "bfloat16")
    assert likewise("learn", discs / "disc0.jpg", "-o", "red", "--model", run, "--side", "96")[0] == 0
    code, out, err = likewise("segment", discs, "--like", "red.concept", discs / "disc0.jpg", "-o", "out", *words)
    assert (code, err) == (0, "")
    assert out.startswith("3 pictures segmented")
    assert mask_of(Path("out/disc1.mask.png")).shape == (96, 128)
    code, _, err = likewise("segment", discs, "--like", "red.concept", "-o", "out", *words[:4])
    assert code == 2
    assert "precision was 'bfloat16' and is now 'float32'" in err
    code, _, err = likewise("segment", discs, "--like", "red.concept", "-o", "other", "--model", "panet-lite0")
    assert code == 2
    assert "learned with model hsnet-small" in err


def test_models_and_backbones_are_listed_with_where_their_weights_come_from(likewise):
    code, out, _ = likewise("models")
    assert code == 0
    for name in ("panet-lite0", "panet-vgg16", "hsnet-vgg16", "hsnet-resnet50", "hsnet-resnet101"):
        assert name in out
    for name in ("icnet-lite0", "saliency-lite0", "icnet-vgg16"):
        assert name in out
    (default,) = (line for line in out.splitlines() if "the default" in line)
    assert DEFAULT_MODEL in default
    code, out, _ = likewise("backbones")
    assert code == 0
    assert "lite0" in out
    assert "bundled" in out


def test_a_run_without_pictures_before_like_says_so(likewise, discs):
    code, _, err = likewise("segment", "--like", discs / "disc0.jpg", "-o", "out")
    assert code == 2
    assert "PATHS" in err


def test_settings_of_the_run_are_kept_with_the_results(likewise, discs):
    assert likewise("segment", discs, "--like", discs / "disc0.jpg", "-o", "out")[0] == 0
    settings = json.loads(Path("out/.likewise/settings.json").read_text())
    assert settings["model"] == DEFAULT_MODEL
    assert settings["precision"] == "float32"
    assert settings["backbone"].startswith("lite0@")


def test_without_edges_outlines_are_the_models_own_and_need_a_folder_of_their_own(likewise, discs):
    words = ("segment", discs / "disc1.jpg", "--like", discs / "disc0.jpg", "--format", "probability")
    assert likewise(*words, "-o", "along")[0] == likewise(*words, "-o", "own", "--no-edges")[0] == 0
    along, own = (
        np.asarray(Image.open(f"{out}/disc1.probability.png")).astype(float) / 65535 for out in ("along", "own")
    )
    assert abs(along - own).max() > 0.05
    code, _, err = likewise(*words, "-o", "along", "--no-edges")
    assert code == 2
    assert "edges was True and is now False" in err
