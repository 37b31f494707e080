"""`likewise evaluate`: both loops, masks of another program, and mistyped options."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from likewise.data.class_names import COCO
from likewise.evaluate.run import open_folds, read_run
from support.fakes import block, make_voc, noise, write_image


@pytest.fixture
def voc(photos: Path) -> Path:
    return make_voc(photos)


WORDS = ("--protocol", "hsnet-2021", "--fold", "0", "--count", "4")


def test_a_model_is_predicted_and_scored_by_one_command(likewise, voc):
    code, out, err = likewise("evaluate", "panet", *WORDS, "--data", voc, "-o", "run")
    assert (code, err) == (0, "")
    assert "entries of PASCAL-5i fold 0 val are present" in out
    assert "hsnet-2021: 1-way 1-shot, panet" in out
    results = json.loads(Path("run/results.json").read_text())
    assert "mIoU" in json.dumps(results)
    assert "hsnet-2021" in Path("run/index.html").read_text()
    assert len(list(Path("run/fold0/masks").glob("*.png"))) == 4


def test_each_loop_runs_alone_and_a_second_run_finds_the_masks(likewise, voc):
    words = ("evaluate", "predict", "panet", *WORDS, "--data", voc, "-o", "run")
    assert "4 masks written, 0 existed" in likewise(*words)[1]
    assert "0 masks written, 4 existed" in likewise(*words)[1]
    code, out, _ = likewise("evaluate", "score", "run")
    assert code == 0
    assert "mIoU" in out


def test_a_run_with_other_settings_is_refused(likewise, voc):
    words = ("evaluate", "predict", "panet", "--data", voc, "-o", "run")
    assert likewise(*words, *WORDS)[0] == 0
    code, _, err = likewise(*words, *WORDS, "--shots", "2")
    assert code == 2
    assert "shots" in err


def test_masks_of_another_program_are_scored_by_their_line_numbers(likewise, voc):
    code, out, _ = likewise("evaluate", "episodes", *WORDS, "--data", voc, "-o", "run")
    assert code == 0
    assert out.splitlines()[-1] == "run/fold0/episodes.jsonl"
    for line, episode in enumerate(Path("run/fold0/episodes.jsonl").read_text().splitlines()):
        json.loads(episode)
        Path("theirs/fold0").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ones((400, 400), np.uint8)).save(f"theirs/fold0/{line:05d}.png")
    code, out, err = likewise("evaluate", "score", "run", "--masks", "theirs")
    assert (code, err) == (0, "")
    assert "mIoU" in out
    Path("theirs/fold0/00002.png").unlink()
    code, _, err = likewise("evaluate", "score", "run", "--masks", "theirs")
    assert code == 2
    assert "00002.png" in err


def test_a_given_episode_list_excludes_the_options_of_drawing(likewise, voc):
    assert likewise("evaluate", "episodes", *WORDS, "--shots", "2", "--data", voc, "-o", "run")[0] == 0
    listed = Path("run/fold0/episodes.jsonl")
    words = ("evaluate", "episodes", "--protocol", "hsnet-2021", "--fold", "0", "--data", voc, "--episodes", listed)
    code, _, err = likewise(*words, "-o", "other", "--shots", "1")
    assert code == 2
    assert "--episodes or --shots" in " ".join(err.split())
    assert likewise(*words, "-o", "other")[0] == 0
    assert Path("other/fold0/episodes.jsonl").read_text() == listed.read_text()


def test_contiguous_folds_of_coco_are_selected_and_kept_for_scoring(likewise, photos):
    for index in range(20, 40):
        for shot in "ab":
            write_image(photos / f"val2014/{index}{shot}.jpg", noise(index))
            write_image(photos / f"annotations/val2014/{index}{shot}.png", block(index + 1, 0))
    words = ("evaluate", "episodes", "--protocol", "panet-2019", "--fold", "1", "--count", "2", "--data", photos)
    code, out, err = likewise(*words, "--folds", "contiguous", "-o", "run")
    assert (code, err) == (0, "")
    assert "40 of 40 entries of COCO-20i fold 1 val are present" in out
    run = read_run("run")
    assert run.settings["fold convention"] == "contiguous"
    assert run.folds[1].classes == COCO[20:40]
    assert open_folds(photos, 1)[1].classes == COCO[1::4]
    code, _, err = likewise(*words, "--folds", "contiguos", "-o", "third")
    assert code == 2
    assert "contiguous" in " ".join(err.split())


def test_groups_and_scenes_are_scored_from_folders(likewise, photos):
    for index in range(3):
        mask = np.zeros((20, 30), np.uint8)
        mask[5:15, 5:20] = 255
        for folder, array in (("image", mask), ("gt", mask)):
            path = photos / folder / "cats" / (f"{index}.jpg" if folder == "image" else f"{index}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
    shutil.copytree(photos / "gt", "maps")
    code, out, err = likewise(
        "evaluate", "groups", "maps", "--data", photos, "-o", "scores", "--mode", "co-segmentation"
    )
    assert (code, err) == (0, "")
    assert "100" in out
    Path("maps/cats/1.png").unlink()
    code, _, err = likewise("evaluate", "groups", "maps", "--data", photos, "-o", "scores")
    assert code == 2
    assert "1" in err
    assert "missing" in err


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("--protocol", "hsnet-2022"), "mean hsnet-2021"),
        (("--fold", "9"), "Known: 0, 1, 2, 3"),
        (("--data", "nowhere"), "nowhere"),
        (("--backbone", "lite9"), "'lite9'"),
        (("--on-corrupt", "ignore"), "stop"),
    ],
)
def test_mistyped_values_are_reported_with_the_nearest(likewise, voc, change, named):
    words = {"--protocol": "hsnet-2021", "--fold": "0", "--count": "2", "--data": voc, "-o": "run"} | dict([change])
    code, _, err = likewise("evaluate", "panet", *(word for pair in words.items() for word in pair))
    assert code == 2
    assert named in err
    assert "Traceback" not in err


def test_leakage_of_each_fold_equals_that_of_the_published_lists(likewise, shared_data):
    code, out, _ = likewise("evaluate", "leakage", "--data", shared_data)
    assert code == 0
    counted = ("637 of 8450", "1298 of 8081", "1945 of 7007", "896 of 9002")
    for line, count in zip(out.splitlines(), counted, strict=True):
        assert f"{count} training images contain a novel class" in line


def test_leakage_without_lists_names_the_missing_folder(likewise, photos):
    make_voc(photos, lists=False)
    code, _, err = likewise("evaluate", "leakage", "--data", photos)
    assert code == 2
    assert "splits/pascal" in err
