"""`likewise cosegment` and `likewise saliency`: exit codes, output and files."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from support.fakes import noise

HERE = Path(sys.executable).parent


@pytest.fixture
def groups(photos: Path) -> Path:
    """Two folders of three images, a red disc in each of the first and a green one in each of the second."""
    rows, columns = np.mgrid[:96, :128]
    for offset, (name, colour) in enumerate((("red", (220, 40, 40)), ("green", (30, 200, 40)))):
        (photos / name).mkdir()
        for index, (row, column) in enumerate(((40, 40), (50, 80), (60, 60))):
            blurred = Image.fromarray(noise(10 * offset + index, 96, 128)).filter(ImageFilter.GaussianBlur(3))
            pixels = np.array(blurred)
            pixels[(rows - row) ** 2 + (columns - column) ** 2 < 26**2] = colour
            Image.fromarray(pixels).save(photos / f"{name}/{index}.jpg")
    return photos


def files_of(out: str) -> list[str]:
    return sorted(path.relative_to(out).as_posix() for path in Path(out).rglob("*.*") if ".likewise" not in str(path))


def test_each_folder_is_a_group_and_each_image_gets_a_mask_of_its_size(likewise, groups):
    code, out, _ = likewise("cosegment", groups, "-o", "out", "--format", "mask", "overlay", "coco")
    assert code == 0
    assert out.startswith("6 images in 2 groups segmented into out")
    masks = [f"{group}/{index}.mask.png" for group in ("green", "red") for index in range(3)]
    assert files_of("out") == sorted(
        [*masks, *(mask.replace(".mask.png", ".overlay.jpg") for mask in masks), "coco.json"]
    )
    for mask in masks:
        assert Image.open(f"out/{mask}").size == (128, 96)
    assert len(json.loads(Path("out/coco.json").read_text())["images"]) == 6


def test_a_second_run_skips_finished_images_and_refuses_a_changed_group_unless_forced(likewise, groups):
    words = ("cosegment", groups, "-o", "out")
    assert likewise(*words)[0] == 0
    code, out, _ = likewise(*words)
    assert code == 0
    assert "0 images in 2 groups segmented into out, 6 already finished" in out
    (groups / "red/3.jpg").write_bytes((groups / "red/0.jpg").read_bytes())
    code, _, err = likewise(*words)
    assert code == 2
    assert "the images of photos/red changed" in err
    code, out, _ = likewise(*words, "--force")
    assert code == 0
    assert out.startswith("7 images in 2 groups")


def test_an_unreadable_image_is_reported_and_the_others_are_processed(likewise, groups):
    (groups / "red/1.jpg").write_bytes((groups / "red/0.jpg").read_bytes()[:200])
    code, out, err = likewise("cosegment", groups / "red", "-o", "out")
    assert code == 1
    assert out.startswith("2 images in 1 group segmented")
    assert "1 failed:" in err
    assert "red/1.jpg: " in err
    assert files_of("out") == ["0.mask.png", "2.mask.png"]


def test_a_group_of_one_is_segmented_with_a_warning(likewise, groups):
    for index in (1, 2):
        (groups / f"red/{index}.jpg").unlink()
    code, _, err = likewise("cosegment", groups / "red", "-o", "out")
    assert code == 0
    assert "warning: photos/red: a group of one" in err
    assert files_of("out") == ["0.mask.png"]


def test_a_folder_of_maps_is_used_and_maps_that_do_not_fit_are_listed(likewise, groups):
    code, out, err = likewise("saliency", groups, "-o", "maps")
    assert (code, err) == (0, "")
    assert out.startswith("6 images mapped into maps")
    assert "red/1.probability.png" in files_of("maps")
    code, _, _ = likewise("cosegment", groups, "-o", "out", "--maps", "maps")
    assert code == 0
    Path("maps/red/1.probability.png").unlink()
    Image.new("L", (64, 64)).save("maps/green/2.probability.png")
    code, out, err = likewise("cosegment", groups, "-o", "other", "--maps", "maps")
    assert code == 2
    assert out == ""
    assert "2 of the saliency maps" in err
    assert "2.probability.png is 64x64 (width x height), its image 128x96" in err
    assert "red/1.jpg" in err
    assert not Path("other").exists()


def test_then_segment_uses_the_best_masks_as_examples(likewise, groups):
    code, out, _ = likewise("cosegment", groups, "-o", "out", "--then", "segment", "--shots", "2")
    assert code == 0
    assert "photos/red: examples are" in out
    assert len(files_of("out")) == 6
    settings = json.loads(Path("out/.likewise/settings.json").read_text())
    assert settings["then"] == "panet-lite0"
    assert settings["shots"] == 2


def test_then_consensus_replaces_the_second_pass(likewise, groups):
    code, _, _ = likewise("cosegment", groups, "-o", "out", "--then", "consensus")
    assert code == 0
    assert len(files_of("out")) == 6
    settings = json.loads(Path("out/.likewise/settings.json").read_text())
    assert settings["then"] == "consensus"


def test_a_killed_run_resumes(groups):
    for index in range(3, 40):
        (groups / f"red/{index}.jpg").write_bytes((groups / f"red/{index % 3}.jpg").read_bytes())
    words = [HERE / "likewise", "cosegment", "photos/red", "-o", "out"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 600
        while len(list(Path("out").glob("*.mask.png"))) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    finished = Path("out/.likewise/finished.jsonl").read_bytes().count(b"\n")
    assert 0 < finished < 40
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert f"{finished} already finished" in shown
    assert len(list(Path("out").glob("*.mask.png"))) == 40


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("cosegment", "nowhere"), "nowhere: "),
        (("cosegment", "empty"), "empty: "),
        (("saliency", "empty"), "empty: "),
        (("cosegment", "photos", "--then", "rest"), "'rest'"),
        (("cosegment", "photos", "--model", "icnets"), "'icnets'"),
        (("cosegment", "photos", "--maps", "nomaps"), "'nomaps'"),
        (("cosegment", "photos", "--maps", "no.onnx"), "no.onnx: "),
        (("cosegment", "photos", "--format", "gif"), "'gif'"),
        (("saliency", "photos", "--model", "no.onnx"), "no.onnx: "),
    ],
)
def test_bad_input_is_reported_in_one_line(likewise, groups, words, named):
    Path("empty").mkdir()
    code, out, err = likewise(*words, "-o", "out")
    assert code == 2
    assert out == ""
    assert err.startswith("likewise: ")
    assert named in err
    assert not Path("out").exists()
