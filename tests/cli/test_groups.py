"""`likewise cosegment` and `likewise saliency`, used as people use them."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from fakes import noise
from likewise.predict.co_saliency import BY_BEST_MASKS

HERE = Path(sys.executable).parent


@pytest.fixture
def groups(photos: Path) -> Path:
    """Two folders of three pictures, a red disc in each of the first and a green one in each of the second."""
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


def test_every_folder_is_a_group_and_every_picture_gets_a_mask_of_its_size(likewise, groups):
    code, out, _ = likewise("cosegment", groups, "-o", "out", "--format", "mask", "overlay", "coco")
    assert code == 0
    assert out.startswith("6 pictures in 2 groups segmented into out")
    masks = [f"{group}/{index}.mask.png" for group in ("green", "red") for index in range(3)]
    assert files_of("out") == sorted(
        [*masks, *(mask.replace(".mask.png", ".overlay.jpg") for mask in masks), "coco.json"]
    )
    for mask in masks:
        assert Image.open(f"out/{mask}").size == (128, 96)
    assert len(json.loads(Path("out/coco.json").read_text())["images"]) == 6


def test_a_second_run_skips_and_another_picture_in_a_group_is_refused_unless_forced(likewise, groups):
    words = ("cosegment", groups, "-o", "out")
    assert likewise(*words)[0] == 0
    code, out, _ = likewise(*words)
    assert code == 0
    assert "0 pictures in 2 groups segmented into out, 6 were finished before" in out
    (groups / "red/3.jpg").write_bytes((groups / "red/0.jpg").read_bytes())
    code, _, err = likewise(*words)
    assert code == 2
    assert "holds results of other settings: groups was" in err
    code, out, _ = likewise(*words, "--force")
    assert code == 0
    assert out.startswith("7 pictures in 2 groups")


def test_a_picture_that_cannot_be_read_is_reported_and_the_rest_is_done(likewise, groups):
    (groups / "red/1.jpg").write_bytes((groups / "red/0.jpg").read_bytes()[:200])
    code, out, err = likewise("cosegment", groups / "red", "-o", "out")
    assert code == 1
    assert out.startswith("2 pictures in 1 group segmented")
    assert "1 failed:" in err
    assert "red/1.jpg: damaged or cut short" in err
    assert files_of("out") == ["0.mask.png", "2.mask.png"]


def test_a_group_of_one_works_and_is_told(likewise, groups):
    for index in (1, 2):
        (groups / f"red/{index}.jpg").unlink()
    code, _, err = likewise("cosegment", groups / "red", "-o", "out")
    assert code == 0
    assert "photos/red: a group of one: the picture is compared with itself alone" in err
    assert files_of("out") == ["0.mask.png"]


def test_maps_made_beforehand_may_be_given_and_those_that_do_not_fit_are_listed(likewise, groups):
    code, out, err = likewise("saliency", groups, "-o", "maps")
    assert (code, err) == (0, "")
    assert out.startswith("6 pictures mapped into maps")
    assert "red/1.probability.png" in files_of("maps")
    code, _, _ = likewise("cosegment", groups, "-o", "out", "--maps", "maps")
    assert code == 0
    Path("maps/red/1.probability.png").unlink()
    Image.new("L", (64, 64)).save("maps/green/2.probability.png")
    code, out, err = likewise("cosegment", groups, "-o", "other", "--maps", "maps")
    assert code == 2
    assert out == ""
    assert "2 of the saliency maps do not fit their pictures" in err
    assert "2.probability.png is 64x64 (width x height), its picture 128x96" in err
    assert "red/1.jpg has none" in err
    assert not Path("other").exists()


def test_then_segment_segments_again_by_the_best_masks(likewise, groups):
    code, out, _ = likewise("cosegment", groups, "-o", "out", "--then", "segment", "--shots", "2")
    assert code == 0
    assert "photos/red: examples are" in out
    assert len(files_of("out")) == 6
    settings = json.loads(Path("out/.likewise/settings.json").read_text())
    assert settings["then"] == BY_BEST_MASKS
    assert settings["shots"] == 2


def test_a_run_that_is_killed_goes_on_where_it_was(groups):
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
    assert f"{finished} were finished before" in shown
    assert len(list(Path("out").glob("*.mask.png"))) == 40


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("cosegment", "nowhere"), "nowhere: no such file or folder"),
        (("cosegment", "empty"), "empty: no picture in this folder"),
        (("saliency", "empty"), "empty: no picture in this folder"),
        (("cosegment", "photos", "--then", "rest"), "--then is 'rest'; there is segment"),
        (("cosegment", "photos", "--model", "icnets"), "no co-saliency model is called 'icnets'"),
        (("cosegment", "photos", "--maps", "nomaps"), "no saliency model is called 'nomaps'"),
        (("cosegment", "photos", "--maps", "no.onnx"), "no.onnx: "),
        (("cosegment", "photos", "--format", "gif"), "formats are mask"),
        (("saliency", "photos", "--model", "no.onnx"), "no.onnx: "),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(likewise, groups, words, told):
    Path("empty").mkdir()
    code, out, err = likewise(*words, "-o", "out")
    assert code == 2
    assert out == ""
    assert err.startswith("likewise: ")
    assert told in err
    assert not Path("out").exists()
