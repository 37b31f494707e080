"""Plans, workers, executors and merges of large jobs."""

import functools
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from likewise import Example, FewShot, segment_folder
from likewise.errors import ArgumentError, OutputError
from likewise.jobs.shards import executors
from likewise.jobs.shards import plan as plans
from likewise.jobs.shards.executors import read_status, run_shards
from likewise.jobs.shards.merge import merge_shards
from likewise.jobs.shards.plan import plan_job, read_plan, rows_of_shard
from likewise.jobs.shards.storage import Listed, Storage
from likewise.jobs.shards.work import output_name, read_rows, tar_name
from support.fakes import noise
from support.shard_jobs import learn_cat, make_photos, names_of, open_small, outputs

fsspec = pytest.importorskip("fsspec")
LocalFileSystem = pytest.importorskip("fsspec.implementations.local").LocalFileSystem
pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

IMAGES = 12
SOURCE = str(Path(__file__).parents[3] / "src")
KILLS = int(os.environ.get("LIKEWISE_KILLS", "2"))


@pytest.fixture(scope="module")
def few_shot() -> FewShot:
    return open_small()


@pytest.fixture(scope="module")
def concept(few_shot):
    return learn_cat(few_shot)


@pytest.fixture
def photos(tmp_path) -> Path:
    return make_photos(tmp_path / "photos", IMAGES)


@pytest.fixture
def planned(few_shot, concept, photos, tmp_path):
    """Return the address of a plan of shards of five images."""
    return functools.partial(plan_job, str(photos), concept, few_shot=few_shot, size=5)


def test_a_plan_lists_each_image_once_in_shards(planned, photos, tmp_path):
    (photos / ".hidden.png").write_bytes(b"")
    (photos / "a/1.mask.png").write_bytes(b"")
    (photos / "notes.txt").write_text("no image")
    plan = planned(str(tmp_path / "out"))
    assert (plan.images, plan.shards, plan.classes) == (IMAGES, 3, ("cat",))
    rows = [rows_of_shard(Storage(str(tmp_path / "out")), shard) for shard in range(3)]
    assert [len(each) for each in rows] == [5, 5, 2]
    assert len({image.name for each in rows for image in each}) == IMAGES
    assert rows[0][0] == Listed(str(photos / "a/1.png"), "a/1.png")


def test_a_list_that_is_longer_than_a_part_is_read_by_shards(planned, tmp_path, monkeypatch):
    monkeypatch.setattr(plans, "PART", 2)
    planned(str(tmp_path / "out"))
    assert len(list((tmp_path / "out/manifest").iterdir())) == 2
    assert [len(rows_of_shard(Storage(str(tmp_path / "out")), shard)) for shard in range(3)] == [5, 5, 2]


def test_a_job_has_the_results_of_segment(planned, few_shot, concept, photos, tmp_path):
    out = str(tmp_path / "out")
    planned(out)
    report = run_shards(out)
    assert (report.done, report.images, report.errors) == (3, IMAGES, 1)
    segment_folder(str(photos), concept, tmp_path / "own", few_shot=few_shot, formats=["coco", "scores"])
    assert merge_shards(out, tmp_path / "merged", formats=["coco", "scores", "yolo"]) == IMAGES - 1
    assert sorted_coco(tmp_path / "merged/coco.json") == sorted_coco(tmp_path / "own/coco.json")
    assert sorted((tmp_path / "merged/scores.csv").read_text().splitlines()) == sorted(
        (tmp_path / "own/scores.csv").read_text().splitlines()
    )


def sorted_coco(path: Path) -> list[object]:
    content = json.loads(path.read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    found = [{**each, "id": 0, "image_id": names[each["image_id"]]} for each in content["annotations"]]
    return [sorted(map(repr, found)), sorted(names.values()), content["categories"]]


def test_a_damaged_image_is_a_row_and_can_be_retried(planned, photos, tmp_path):
    out = str(tmp_path / "out")
    planned(out, masks=True)
    run_shards(out)
    storage, plan = Storage(out), read_plan(Storage(out))
    (row,) = [row for shard in range(3) for row in read_rows(storage, plan, shard) if row["error"]]
    assert (row["name"], row["class"]) == ("b/damaged.jpg", None)
    assert sum(each.errors for each in read_status(out).done) == 1
    Image.fromarray(noise(99)).save(photos / "b/damaged.jpg")
    report = run_shards(out, again=True)
    assert (report.done, report.errors) == (1, 0)
    whole = tmp_path / "whole"
    planned(str(whole), masks=True)
    run_shards(str(whole))
    assert outputs(tmp_path / "out") == outputs(whole)


def test_masks_go_into_a_tar(planned, few_shot, concept, photos, tmp_path):
    planned(str(tmp_path / "out"), masks=True)
    run_shards(str(tmp_path / "out"))
    with tarfile.open(tmp_path / "out" / tar_name(0)) as archive:
        names = archive.getnames()
        mask = np.array(Image.open(archive.extractfile("a/1.png.mask.png")))
    assert len(names) == 5
    np.testing.assert_array_equal(mask > 0, few_shot.segment(photos / "a/1.png", concept).mask)


def test_shards_are_worked_on_in_parts(planned, tmp_path):
    out = str(tmp_path / "out")
    planned(out)
    assert run_shards(out, part=(1, 2)).done == 1
    assert read_status(out).pending == [0, 2]
    with pytest.raises(OutputError, match="2 of 3 shards are not done"):
        merge_shards(out, tmp_path / "merged")
    assert merge_shards(out, tmp_path / "merged", partial=True) == 5
    assert run_shards(out, part=(0, 2)).done == 2
    assert run_shards(out).skipped == 3
    for part in ((2, 2), (-1, 2)):
        with pytest.raises(ArgumentError, match="--shard"):
            run_shards(out, part=part)


@pytest.mark.parametrize("wrong", [{"decoders": 2}, {"engine": "ray", "decoders": -1}])
def test_decoders_are_tasks_of_ray_and_not_fewer_than_none(planned, tmp_path, wrong):
    planned(str(tmp_path / "out"))
    with pytest.raises(ArgumentError, match="decoders"):
        run_shards(str(tmp_path / "out"), **wrong)
    assert run_shards(str(tmp_path / "out")).done == 3


@pytest.mark.slow
def test_processes_have_the_outputs_of_one(planned, tmp_path):
    for name in ("one", "several"):
        planned(str(tmp_path / name))
    run_shards(str(tmp_path / "one"))
    report = run_shards(str(tmp_path / "several"), engine="processes", workers=2)
    assert (report.done, report.errors) == (3, 1)
    assert outputs(tmp_path / "one") == outputs(tmp_path / "several")


@pytest.mark.slow
def test_a_pool_whose_process_dies_is_replaced(planned, tmp_path, monkeypatch):
    planned(str(tmp_path / "out"))
    monkeypatch.setenv("LIKEWISE_TEST_DIE_ONCE", str(tmp_path / "died"))
    monkeypatch.setattr(executors, "_work", die_once)
    assert run_shards(str(tmp_path / "out"), engine="processes", workers=1).done == 3
    assert (tmp_path / "died").exists()


def die_once(shard: int, again: bool) -> executors.Done:
    mark = Path(os.environ["LIKEWISE_TEST_DIE_ONCE"])
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), 9)
    return executors._worker.work(shard, again=again)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["here", "processes"])
def test_a_job_that_is_killed_at_random_moments_ends_as_an_unbroken_one(planned, tmp_path, engine, record_property):
    for name in ("out", "whole"):
        planned(str(tmp_path / name), size=1, masks=True)
    run_shards(str(tmp_path / "whole"))
    generator = np.random.default_rng(int(time.time()))
    command = [sys.executable, "-m", "likewise", "jobs", "work", str(tmp_path / "out"), "--engine", engine]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([SOURCE, os.environ.get("PYTHONPATH", "")])}
    kills = 0
    for _ in range(KILLS):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, start_new_session=True)
        done = len(list((tmp_path / "out").glob("shards/[0-9]*.parquet")))
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if len(list((tmp_path / "out").glob("shards/[0-9]*.parquet"))) > done:
                break
            time.sleep(0.01)
        time.sleep(generator.uniform(0, 0.1))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
    record_property("kills", kills)
    assert subprocess.run(command, env=environment, check=False).returncode == 0
    assert outputs(tmp_path / "out") == outputs(tmp_path / "whole")
    images = names_of(str(tmp_path / "out"))
    assert len(images) == len(set(images)) == IMAGES


def test_a_plan_that_is_there_is_kept_and_another_one_refused(planned, few_shot, concept, photos, tmp_path):
    out = str(tmp_path / "out")
    first = planned(out)
    assert planned(out) == first
    with pytest.raises(OutputError, match=f"another job.*{first.digest}"):
        planned(out, size=4)


def test_an_output_of_another_plan_is_named(planned, tmp_path):
    planned(str(tmp_path / "out"))
    run_shards(str(tmp_path / "out"))
    planned(str(tmp_path / "other"), size=6)
    foreign = tmp_path / "other" / output_name(0)
    foreign.parent.mkdir()
    foreign.write_bytes((tmp_path / "out" / output_name(0)).read_bytes())
    with pytest.raises(OutputError, match=r"0000000\.parquet: written for the plan"):
        read_status(str(tmp_path / "other"))
    foreign.write_bytes(b"torn")
    with pytest.raises(OutputError, match=r"0000000\.parquet: damaged"):
        read_status(str(tmp_path / "other"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": "0.0.9"}, "by likewise 0.0.9"),
        ({"format": 2}, "later version"),
        ({"images": 0}, "positive"),
    ],
)
def test_a_plan_of_another_version_is_refused(planned, tmp_path, changes, said):
    planned(str(tmp_path / "out"))
    path = tmp_path / "out/plan.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(OutputError, match=said):
        run_shards(str(tmp_path / "out"))


def test_a_changed_concept_is_refused(planned, few_shot, tmp_path):
    planned(str(tmp_path / "out"))
    mask = np.zeros((60, 80), bool)
    mask[:30] = True
    few_shot.learn(Example(noise(5), mask=mask, class_name="cat")).save(tmp_path / "out/model/job.concept")
    with pytest.raises(OutputError, match="not that of the plan"):
        run_shards(str(tmp_path / "out"))


def test_without_a_plan_the_command_that_makes_one_is_named(tmp_path):
    with pytest.raises(OutputError, match="jobs plan"):
        run_shards(str(tmp_path))


def test_unreachable_storage_writes_no_output(planned, tmp_path, monkeypatch):
    out = str(tmp_path / "out")
    planned(out)

    def refuse(image):
        raise PermissionError("token expired")

    monkeypatch.setattr("likewise.jobs.shards.work.fetch", refuse)
    with pytest.raises(OutputError, match=r"shard 0: none of its 5 images.*token expired"):
        run_shards(out)
    assert read_status(out).done == []


def test_images_that_vanish_midway_are_rows_and_come_back_by_retry(planned, photos, tmp_path):
    out = str(tmp_path / "out")
    planned(out)
    assert run_shards(out, part=(0, 3)).errors == 0
    photos.rename(tmp_path / "elsewhere")
    assert run_shards(out).errors == IMAGES - 5
    assert len(names_of(out)) == IMAGES
    (tmp_path / "elsewhere").rename(photos)
    assert run_shards(out, again=True).errors == 1
    planned(str(tmp_path / "whole"))
    run_shards(str(tmp_path / "whole"))
    assert outputs(tmp_path / "out") == outputs(tmp_path / "whole")


def test_a_large_image_fails_alone(planned, tmp_path):
    planned(str(tmp_path / "out"))
    assert run_shards(str(tmp_path / "out"), memory="1K").errors == IMAGES
