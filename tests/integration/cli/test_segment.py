"""`likewise segment` and `likewise learn`: exit codes, output and files."""

import io
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

from likewise import Concept
from likewise.io.annotations import (
    AnnotatedImage,
    Annotations,
    Box,
    Object,
    read_annotations,
    write_annotations,
)
from likewise.io.annotations.shapes import encode
from support.fake_runs import make_hsnet_run

HERE = Path(sys.executable).parent


def mask_of(path: Path) -> np.ndarray:
    return np.array(Image.open(path)) > 0


def test_one_masked_image_segments_the_others_in_every_format(likewise, discs):
    words = ("segment", discs, "--like", discs / "disc0.jpg", "-o", "out")
    code, out, err = likewise(*words, "--format", "mask", "probability", "overlay", "cutout", "coco")
    assert (code, err) == (0, "")
    assert out.startswith("3 images segmented into out")
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
        ("photos/disc0.jpg", "--like", "photos/disc0.mask.png"),
        ("pets",),
        ("red.concept",),
        ("photos/disc0.jpg", "--box", "18,18,62,62"),
        ("photos/disc0.jpg", "--scribbles", "strokes.png"),
    ],
)
def test_examples_are_accepted_in_every_form(likewise, discs, like):
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


def test_a_folder_of_classes_yields_label_images(likewise, discs):
    for name, colour in (("red", (220, 40, 40)), ("blue", (30, 60, 220))):
        image, mask = np.full((96, 96, 3), 110, np.uint8), np.zeros((96, 96), bool)
        mask[30:70, 30:70] = True
        image[mask] = colour
        Path(f"pets/{name}").mkdir(parents=True)
        Image.fromarray(image).save(f"pets/{name}/1.jpg")
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
    assert Concept.load("two.concept").names == ("disc0.jpg", "disc1.jpg")


def test_a_second_run_skips_finished_images_and_refuses_other_examples_unless_forced(likewise, discs):
    words = ("segment", discs, "--like", discs / "disc0.jpg", "-o", "out")
    assert likewise(*words)[0] == 0
    before = Path("out/disc1.mask.png").stat().st_mtime_ns
    code, out, _ = likewise(*words)
    assert code == 0
    assert "3 already finished" in out
    assert Path("out/disc1.mask.png").stat().st_mtime_ns == before
    other = (*words[:3], f"{discs}/disc0.jpg", "--box", "0,0,20,20", "-o", "out")
    code, _, err = likewise(*other)
    assert code == 2
    assert "the examples changed" in err
    assert "--force" in err
    assert likewise(*other, "--force")[0] == 0


def test_a_failed_image_is_reported_and_the_others_are_processed(likewise, discs):
    (discs / "broken.jpg").write_bytes((discs / "disc1.jpg").read_bytes()[:300])
    code, out, err = likewise("segment", discs, "--like", discs / "disc0.jpg", "-o", "out")
    assert code == 1
    assert "3 images segmented" in out
    assert "1 failed:" in err
    assert "broken.jpg" in err
    assert sorted(path.name for path in Path("out").glob("*.png")) == [f"disc{index}.mask.png" for index in range(3)]


def test_a_killed_run_resumes(discs):
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
    assert f"{finished} already finished" in shown
    assert len(list(Path("out").glob("*.mask.png"))) == 60


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("segment", "nowhere", "--like", "photos/disc0.jpg"), "nowhere: "),
        (("segment", "photos", "--like", "nowhere.jpg"), "nowhere.jpg"),
        (("segment", "photos", "--like", "photos/disc1.jpg"), "disc1.mask.png"),
        (("segment", "photos", "--like", "gone.concept"), "gone.concept"),
        (("segment", "photos", "--like", "photos/disc0.jpg", "--format", "mask", "gif"), "'gif'"),
        (("segment", "photos", "--like", "photos/disc0.jpg", "--backbone", "resnet50"), "panet"),
        (("segment", "photos", "--like", "photos/disc0.jpg", "--model", "panets"), "'panets'"),
        (
            ("segment", "photos", "--like", "photos/disc0.jpg", "--model", "panet", "--backbone", "lite9"),
            "'lite9'",
        ),
        (
            ("segment", "photos", "--like", "photos/disc0.jpg", "--model", "panet", "--backbone", "lite0@x"),
            "'x'",
        ),
        (("segment", "photos", "--like", "photos/disc0.jpg", "--box", "9,9,2,2"), "9,9,2,2"),
        (("segment", "photos", "--like", "photos/disc0.jpg", "--label", "7"), "label 7"),
        (("segment", "photos", "--like", "photos/disc0.jpg", "--device", "tpu9"), "'tpu9'"),
        (("learn", "nowhere"), "nowhere"),
        (("segment", "", "--like", "photos/disc0.jpg"), "empty"),
        (("segment", "photos", "--like", ""), "empty"),
        (("segment", "photos", "--like", "photos/disc0.jpg", "--unlike", ""), "empty"),
        (("watch", "", "--like", "photos/disc0.jpg"), "empty"),
        (("jobs", "plan", " ", "--like", "photos/disc0.jpg"), "empty"),
        (("segment", "photos", "--like", "photos/disc0.jpg", "--presence", "0.5", "--always"), "--always"),
    ],
)
def test_bad_input_is_reported_in_one_line(likewise, discs, words, named):
    code, out, err = likewise(*words, "-o", "out")
    assert code == 2
    assert out == ""
    assert err.startswith("likewise: ")
    assert named in err
    assert "Traceback" not in err
    assert not list(Path("out").glob("*.png"))


def test_a_concept_of_another_backbone_is_refused_before_anything_is_written(likewise, discs):
    words = ("--model", "panet", "--backbone", "lite0@blocks.5.3")
    assert likewise("learn", discs / "disc0.jpg", "-o", "red.concept", *words)[0] == 0
    code, _, err = likewise("segment", discs, "--like", "red.concept", "-o", "out", "--model", "panet")
    assert code == 2
    assert "lite0@blocks.5.3" in err
    code, _, err = likewise("segment", discs, "--like", "red.concept", "-o", "out")
    assert code == 2
    assert "panet" in err
    assert "prototypes-lite0" in err
    assert not Path("out").exists()


def test_inputs_are_not_overwritten(likewise, discs):
    before = (discs / "disc0.mask.png").read_bytes()
    code, _, err = likewise("segment", discs, "--like", discs / "disc0.jpg", "-o", discs, "--force")
    assert code == 2
    assert "disc0.mask.png" in err
    assert (discs / "disc0.mask.png").read_bytes() == before


def test_a_training_run_learns_and_segments(likewise, discs):
    run = make_hsnet_run(Path("run"))
    words = ("--model", run, "--side", "96", "--precision", "bfloat16")
    assert likewise("learn", discs / "disc0.jpg", "-o", "red", "--model", run, "--side", "96")[0] == 0
    code, out, err = likewise(
        "segment", discs, "--like", "red.concept", "--like", discs / "disc0.jpg", "-o", "out", *words
    )
    assert (code, err) == (0, "")
    assert out.startswith("3 images segmented")
    assert mask_of(Path("out/disc1.mask.png")).shape == (96, 128)
    code, _, err = likewise("segment", discs, "--like", "red.concept", "-o", "out", *words[:4])
    assert code == 2
    assert "precision was 'bfloat16' and is now 'float32'" in err
    code, _, err = likewise("segment", discs, "--like", "red.concept", "-o", "other", "--model", "panet-lite0")
    assert code == 2
    assert "hsnet-small" in err


def test_missing_paths_are_reported(likewise, discs):
    code, _, err = likewise("segment", "--like", discs / "disc0.jpg", "-o", "out")
    assert code == 2
    assert "PATHS" in err


def test_settings_are_recorded_with_the_results(likewise, discs):
    assert likewise("segment", discs, "--like", discs / "disc0.jpg", "-o", "out")[0] == 0
    settings = json.loads(Path("out/.likewise/settings.json").read_text())
    assert settings["model"] == "prototypes-lite0"
    assert settings["precision"] == "float32"
    assert settings["backbone"].startswith("lite0@")


def test_results_with_and_without_edges_differ_and_do_not_share_a_folder(likewise, discs):
    words = ("segment", discs / "disc1.jpg", "--like", discs / "disc0.jpg", "--format", "probability")
    assert likewise(*words, "-o", "along")[0] == likewise(*words, "-o", "own", "--no-edges")[0] == 0
    along, own = (
        np.asarray(Image.open(f"{out}/disc1.probability.png")).astype(float) / 65535 for out in ("along", "own")
    )
    assert abs(along - own).max() > 0.05
    code, _, err = likewise(*words, "-o", "along", "--no-edges")
    assert code == 2
    assert "edges was True and is now False" in err


def test_options_may_come_before_the_images(likewise, discs):
    code, out, err = likewise("segment", "-o", "out", "-f", "mask", "overlay", "--like", discs / "disc0.jpg", discs)
    assert (code, err) == (0, "")
    assert out.startswith("3 images segmented into out")
    assert Path("out/disc1.overlay.jpg").exists()
    assert likewise("segment", "-o", "one", "--like", discs / "disc0.jpg", "-f", "mask", discs / "disc1.jpg")[0] == 0


def test_examples_are_given_by_repeated_options(likewise, discs):
    assert likewise("segment", discs / "disc1.jpg", "--like", discs / "disc0.jpg", "-o", "out")[0] == 0
    words = ("segment", "--like", discs / "disc0.jpg", "--like", f"{discs}/disc0.jpg={discs}/disc0.mask.png", "-o", "b")
    code, out, _ = likewise(*words, discs / "disc1.jpg")
    assert code == 0
    assert out.startswith("1 image segmented into b")


def test_a_corrected_output_as_example_does_the_rest_again(likewise, discs):
    words = ("segment", discs, "--like", discs / "disc0.jpg", "-o", "out")
    assert likewise(*words)[0] == 0
    corrected = Path("out/disc1.mask.png")
    mask = np.zeros((96, 128), bool)
    mask[28:72, 58:102] = True
    Image.fromarray(mask).save(corrected)
    before = corrected.read_bytes()
    code, out, err = likewise(*words, "--like", f"{discs}/disc1.jpg={corrected}")
    assert (code, err) == (0, "")
    assert "the examples changed" in out
    assert "2 images segmented into out, 1 manual output kept" in out
    assert corrected.read_bytes() == before


def test_an_image_goes_from_standard_input_to_standard_output(discs):
    words = [HERE / "likewise", "segment", "-", "-o", "-", "--like", "photos/disc0.jpg"]
    image = (discs / "disc1.jpg").read_bytes()
    found = subprocess.run(words, input=image, capture_output=True, check=True)
    assert np.array(Image.open(io.BytesIO(found.stdout)))[50, 80]
    assert found.stderr == b""
    assert not Path("-").exists()
    broken = subprocess.run(words, input=image[:200], capture_output=True, check=False)
    assert (broken.returncode, broken.stdout) == (2, b"")
    assert b"stdin" in broken.stderr
    several = subprocess.run([*words, "-f", "coco"], input=image, capture_output=True, check=False)
    assert b"one file" in several.stderr


def test_a_dry_run_writes_nothing(likewise, discs):
    code, out, _ = likewise("segment", discs, "--like", discs / "disc0.jpg", "-o", "out", "--dry-run")
    assert (code, out) == (0, "3 images would be segmented into out; nothing is written\n")
    assert not Path("out").exists()


def test_quiet_prints_nothing_and_verbose_the_cause(likewise, discs):
    assert likewise("segment", discs, "-q", "--like", discs / "disc0.jpg", "-o", "out") == (0, "", "")
    Path("out/.likewise/settings.json").write_text("{")
    _, _, err = likewise("segment", discs, "--like", discs / "disc0.jpg", "-o", "out", "-v")
    assert "JSONDecodeError" in err


def test_codes_for_terminals_are_shown_escaped(likewise, discs):
    evil = "\x1b[2J\x1b]0;owned\x07"
    (discs / "disc0.jpg").rename(discs / f"{evil}.jpg")
    (discs / "disc0.mask.png").rename(discs / f"{evil}.mask.png")
    (discs / f"{evil}b.jpg").write_bytes(b"")
    folder = Path(evil)
    folder.mkdir()
    for name in (f"{evil}.jpg", f"{evil}.mask.png"):
        (folder / name).write_bytes((discs / name).read_bytes())
    for words in (
        ("segment", discs, "--like", folder, "-o", evil + "out"),
        ("learn", folder, "-o", evil),
        ("concept", "show", f"{evil}.concept"),
        ("segment", discs, "--like", folder, "-o", "o", "--" + evil),
        ("train", evil),
        (evil,),
    ):
        _, out, err = likewise(*words)
        assert "\x1b" not in out + err, words
        assert "x1b[2J" in out + err, words


def test_a_name_close_to_a_run_is_suggested(likewise, discs):
    make_hsnet_run(Path("runs/street"))
    _, _, err = likewise("segment", discs, "--like", discs / "disc0.jpg", "-o", "out", "--model", "runs/stret")
    assert "runs/street?" in err


def test_annotations_of_other_tools_are_examples_and_results(likewise, discs):
    mask = mask_of(discs / "disc0.mask.png")
    (discs / "disc0.mask.png").unlink()
    objects = (Object("red", encode(mask)), Object("other", Box((1.0, 1.0, 9.0, 9.0))))
    given = Annotations([AnnotatedImage("disc0.jpg", objects, discs / "disc0.jpg", mask.shape)], ("red", "other"))
    write_annotations(given, discs, "coco")
    formats = ("mask", "instance", "table", "coco", "yolo", "voc", "labelme", "cvat", "label-studio")
    words = ("--like", discs / "coco.json", "--classes", "red", "-o", "out", "--format", *formats)
    code, out, err = likewise("segment", discs, *words)
    assert (code, err) == (0, "")
    assert out.startswith("3 images segmented")
    expected = {image.name: image.mask("red") for image in read_annotations("out/coco.json", images=discs).images}
    assert expected["disc1.jpg"][50, 80]
    np.testing.assert_array_equal(mask_of(Path("out/disc1.mask.png")), expected["disc1.jpg"])
    (Path("out/yolo") / "images").symlink_to(discs.resolve())
    for place in ("yolo", "voc", "labelme", "cvat.xml", "label-studio.json"):
        options = {} if place == "yolo" else {"images": discs}
        for image in read_annotations(Path("out") / place, **options).images:
            name = Path(image.name).name
            assert (image.mask("red") != expected[name]).mean() < 0.03, (place, name)
    code, _, err = likewise("segment", discs, "--like", discs / "coco.json", "--classes", "green", "-o", "other")
    assert code == 2
    assert "'green'" in err


def test_a_tilde_that_no_shell_expands_is_the_home_folder(likewise, discs, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    for out in (["--out=~/masks"], ["-o", "~/others"]):
        assert likewise("segment", discs / "disc1.jpg", "--like", discs / "disc0.jpg", *out)[0] == 0
    assert sorted(path.name for path in home.iterdir()) == ["masks", "others"]
    assert not Path("~").exists()
