"""`likewise parse` and `likewise memory show`: exit codes, output and files."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from likewise.io.masks import read_labels
from likewise.predict.scene_parser import SceneParser
from support.fakes import noise, write_image
from support.scene_runs import CLASSES, write_run


@pytest.fixture
def run(photos: Path) -> Path:
    for index, size in enumerate(((40, 60), (64, 48), (30, 30))):
        write_image(photos / f"{index}.png", noise(index, *size))
    return write_run(Path("run"))


def test_a_folder_is_parsed_into_labels_overlays_areas_and_coco(likewise, run, photos):
    words = ("parse", photos, "--model", run, "-o", "out", "--format", "labels", "overlay", "areas", "coco")
    code, out, err = likewise(*words)
    assert (code, err) == (0, "")
    assert out.startswith("3 images parsed into out")
    labels = read_labels(Path("out/1.labels.png"))
    np.testing.assert_array_equal(labels, SceneParser(run, device="cpu").parse(photos / "1.png").labels)
    assert Image.open("out/1.overlay.jpg").size == (48, 64)
    with Path("out/areas.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["0.png", "1.png", "2.png"]
    assert [int(rows[1][name]) for name in CLASSES] == np.bincount(labels.ravel(), minlength=4).tolist()
    coco = COCO("out/coco.json")
    (road,) = coco.getCatIds(catNms=["road"])
    (parsed,) = (image["id"] for image in coco.loadImgs(coco.getImgIds()) if image["file_name"] == "1.png")
    found = coco.loadAnns(coco.getAnnIds(imgIds=parsed, catIds=road))
    np.testing.assert_array_equal(
        np.zeros((64, 48)) if not found else coco.annToMask(found[0]), (labels == CLASSES.index("road")).astype(float)
    )


def test_a_second_run_skips_finished_images_and_refuses_other_settings(likewise, run, photos):
    words = ("parse", photos, "--model", run, "-o", "out")
    assert likewise(*words)[0] == 0
    assert "0 images parsed into out, 3 already finished" in likewise(*words)[1]
    code, _, err = likewise(*words, "--scales", "0.5", "1", "--mirror")
    assert code == 2
    assert "mirror was False and is now True" in err
    assert likewise(*words, "--scales", "0.5", "1", "--mirror", "--force")[0] == 0


def test_a_failed_image_is_reported_and_the_others_are_processed(likewise, run, photos):
    (photos / "3.jpg").write_text("no image")
    code, out, err = likewise("parse", photos, "--model", run, "-o", "out")
    assert code == 1
    assert out.startswith("3 images parsed")
    assert "3.jpg: " in err


def test_a_missing_model_is_reported_in_one_line(likewise, run, photos):
    code, _, err = likewise("parse", photos, "--model", "nowhere", "-o", "out")
    assert code == 2
    assert "nowhere" in err
    assert len(err.splitlines()) == 1


def test_a_memory_is_described(likewise, run):
    code, out, err = likewise("memory", "show", run)
    assert (code, err) == (0, "")
    assert "4 of 4 classes filled" in out
    assert "road: nearest is" in out


def test_a_run_without_memory_is_refused(likewise, photos):
    code, _, err = likewise("memory", "show", write_run(Path("fcn"), "fcn"))
    assert code == 2
    assert "FCN" in err


def test_settings_are_recorded_with_the_results(likewise, run, photos):
    likewise("parse", photos, "--model", run, "-o", "out", "--window", "64")
    settings = json.loads(Path("out/.likewise/settings.json").read_text())
    assert settings["window"] == 64
    assert settings["classes"] == list(CLASSES)


def test_formats_that_need_a_background_are_refused(likewise, run, photos):
    code, _, err = likewise("parse", photos, "--model", run, "-o", "out", "--format", "cutout")
    assert code == 2
    assert "'cutout'" in err
    assert not Path("out").exists()
