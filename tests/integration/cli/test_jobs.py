"""`likewise jobs`: from a plan to the results of another tool."""

import json
from pathlib import Path

import pytest

from likewise.jobs.shards.plan import read_plan
from likewise.jobs.shards.storage import Storage
from support.fakes import block, noise, write_image
from support.shard_jobs import learn_cat, make_photos, open_small

pytest.importorskip("fsspec")
pytest.importorskip("pyarrow")

IMAGES = 7
SMALL = ("--side", "96")


@pytest.fixture
def plan(likewise, photos):
    """Plan shards of three images; one of the images is damaged."""
    few_shot = open_small()
    learn_cat(few_shot).save("cat.concept")
    make_photos(photos, IMAGES)

    def run(*words):
        return likewise("jobs", "plan", "photos", "--like", "cat.concept", "-o", "out", "--size", "3", *SMALL, *words)

    return run


def test_a_job_is_planned_worked_on_in_parts_and_merged(plan, likewise):
    assert plan("--always") == (0, "out: 7 images in 3 shards; next: likewise jobs work out\n", "")
    code, out, _ = likewise("jobs", "work", "out", "--shard", "1/2", "--device", "cpu")
    assert (code, out) == (0, "out: 1 shard done, 3 images\n")
    code, out, _ = likewise("jobs", "status", "out")
    assert out.splitlines() == ["out: 1 of 3 shards done, 3 images", "not done: shards 0, 2"]
    code, out, _ = likewise("jobs", "work", "out", "--device", "cpu")
    assert out == "out: 2 shards done, 4 images, 1 image failed; done earlier: 1\n"
    code, out, _ = likewise("jobs", "status", "out")
    assert out.splitlines()[1].startswith("failed: 1 image, in shards ")
    assert likewise("jobs", "retry", "out", "--device", "cpu")[1].startswith("out: 1 shard done")
    assert likewise("jobs", "merge", "out", "-o", "merged")[:2] == (0, "merged: 6 images\n")
    assert len(json.loads(Path("merged/coco.json").read_text())["images"]) == 6


def test_a_plan_keeps_the_options_of_the_model(plan):
    plan("--presence", "0.6", "--quality", "fast", "--no-edges")
    settings = read_plan(Storage("out")).settings
    assert (settings["quality"], settings["presence"], settings["edges"]) == ("fast", 0.6, False)


def test_masks_beside_images_are_not_planned(plan, photos):
    write_image(photos / "a/x.jpg", noise(1))
    write_image(photos / "a/x.png", block(255, 1))
    assert "8 images in 3 shards" in plan()[1]


@pytest.mark.parametrize("part", ["3", "a/2", "1/", "-1/2"])
def test_a_part_that_is_not_two_numbers_is_refused(plan, likewise, part):
    plan()
    code, _, error = likewise("jobs", "work", "out", f"--shard={part}")
    assert code == 2
    assert f"--shard {part}: write I/N, such as 3/64" in error
