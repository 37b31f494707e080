"""Plans, workers, executors and merges of large jobs, over local folders, memory, HTTP and S3."""

import functools
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
from PIL import Image

from likewise import Example, FewShot, segment_folder
from likewise.errors import ArgumentError, ImageError, LikewiseError, OutputError
from likewise.jobs.shards import executors
from likewise.jobs.shards import plan as plans
from likewise.jobs.shards.executors import read_status, run_shards
from likewise.jobs.shards.merge import merge_shards
from likewise.jobs.shards.plan import plan_job, read_plan, rows_of_shard
from likewise.jobs.shards.storage import Listed, Storage, fetch, list_images
from likewise.jobs.shards.work import output_name, read_rows, tar_name
from support.fakes import noise

fsspec = pytest.importorskip("fsspec")
LocalFileSystem = pytest.importorskip("fsspec.implementations.local").LocalFileSystem
pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

IMAGES = 12
SOURCE = str(Path(__file__).parents[3] / "src")
KILLS = int(os.environ.get("LIKEWISE_KILLS", "3"))


@pytest.fixture(scope="module")
def few_shot() -> FewShot:
    return FewShot(side=96, presence=0.0)


@pytest.fixture(scope="module")
def concept(few_shot):
    mask = np.zeros((60, 80), bool)
    mask[20:50, 20:60] = True
    return few_shot.learn(Example(noise(0), mask=mask, class_name="cat"))


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    for index in range(IMAGES - 1):
        path = folder / ("a" if index % 2 else "b") / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(index)).save(path)
    (folder / "b/damaged.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture
def planned(few_shot, concept, photos, tmp_path):
    """Return the address of a plan of shards of five images."""
    return functools.partial(plan_job, str(photos), concept, few_shot=few_shot, size=5)


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "shards").iterdir()}


def names_of(out: str) -> list[str]:
    """Return the name of each image as often as it has results."""
    storage = Storage(out)
    plan = read_plan(storage)
    return [name for shard in range(plan.shards) for name in {row["name"] for row in read_rows(storage, plan, shard)}]


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
    assert "save it as JPEG or PNG" in row["error"]
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


def test_a_list_names_the_images(few_shot, concept, photos, tmp_path):
    chosen = [str(photos / "a/1.png"), str(photos / "a/3.png"), str(photos / "missing.png")]
    (tmp_path / "list.txt").write_text("\n".join(chosen) + "\n\n")
    parquet.write_table(pyarrow.table({"path": chosen, "more": [1, 2, 3]}), tmp_path / "list.parquet")
    for name in ("list.txt", "list.parquet"):
        assert [image.path for image in list_images(str(tmp_path / name), str(tmp_path / "out"))] == chosen
    plan_job(str(tmp_path / "list.txt"), concept, str(tmp_path / "out"), few_shot=few_shot)
    assert run_shards(str(tmp_path / "out")).errors == 1


def test_a_list_that_names_an_image_twice_is_refused(tmp_path):
    (tmp_path / "list.txt").write_text("a.png\nb.png\na.png\n")
    with pytest.raises(ArgumentError, match=r"a\.png twice"):
        list(list_images(str(tmp_path / "list.txt"), str(tmp_path / "out")))


def test_a_list_without_a_column_of_paths_says_which_it_has(tmp_path):
    parquet.write_table(pyarrow.table({"url": ["a.png"]}), tmp_path / "list.parquet")
    with pytest.raises(ArgumentError, match="path, only url"):
        list(list_images(str(tmp_path / "list.parquet"), str(tmp_path / "out")))


@pytest.mark.parametrize("source", ["nowhere", "empty", "empty/*.png"])
def test_a_place_without_images_is_refused(tmp_path, source):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match=source.replace("*", r"\*")):
        list(list_images(str(tmp_path / source), str(tmp_path / "out")))


def test_a_glob_leaves_out_the_results(photos, tmp_path):
    (photos / "a/out").mkdir()
    Image.fromarray(noise(1)).save(photos / "a/out/x.png")
    found = [image.name for image in list_images(str(photos / "a/**/*.png"), str(photos / "a/out"))]
    assert found == ["1.png", "3.png", "5.png", "7.png", "9.png"]


def test_unreachable_storage_writes_no_output(planned, tmp_path, monkeypatch):
    out = str(tmp_path / "out")
    planned(out)

    def refuse(image):
        raise PermissionError("token expired")

    monkeypatch.setattr("likewise.jobs.shards.work.fetch", refuse)
    with pytest.raises(OutputError, match=r"shard 0: none of its 5 images.*token expired"):
        run_shards(out)
    assert read_status(out).done == []


def test_a_folder_that_cannot_be_listed_is_named(photos, tmp_path, monkeypatch):
    listed = LocalFileSystem.ls

    def refuse(self, path, *given, **options):
        if path.rstrip("/").endswith("/b"):
            raise PermissionError("access denied")
        return listed(self, path, *given, **options)

    monkeypatch.setattr(LocalFileSystem, "ls", refuse)
    with pytest.raises(OutputError, match=r"photos: cannot be reached \(PermissionError: access denied\)"):
        list(list_images(str(photos), str(tmp_path / "out")))


def test_a_link_to_a_folder_is_named_and_not_followed(photos, tmp_path):
    (photos / "a/up").symlink_to(photos)
    with pytest.warns(UserWarning, match="a/up: a link to a folder"):
        assert len(list(list_images(str(photos), str(tmp_path / "out")))) == IMAGES


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


def test_jobs_run_in_memory(few_shot, concept, photos):
    target = fsspec.filesystem("memory")
    try:
        target.put(str(photos), "/jobs/photos", recursive=True)
        plan = plan_job("memory://jobs/photos", concept, "memory://jobs/out", few_shot=few_shot, size=5)
        assert plan.images == IMAGES
        assert run_shards("memory://jobs/out").errors == 1
        assert len(read_status("memory://jobs/out").done) == 3
        assert rows_of_shard(Storage("memory://jobs/out"), 0)[0].name == "a/1.png"
    finally:
        target.rm("/jobs", recursive=True)


def to_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


@pytest.fixture
def tars(photos, tmp_path) -> Path:
    """Return a folder with two shards of webdataset with the photos."""
    folder = tmp_path / "tars"
    folder.mkdir()
    for part in "ab":
        files = {f"./{path.name}": path.read_bytes() for path in sorted((photos / part).iterdir())}
        to_tar(
            folder / f"{part}.tar", {**files, "0.cls": b"7", "0.json": b"{}", "x.mask.png": b"", "a/.hidden.png": b""}
        )
    return folder


def test_tars_have_the_results_of_their_images(planned, few_shot, concept, tars, tmp_path):
    planned(str(tmp_path / "files"))
    plan = plan_job(str(tars), concept, str(tmp_path / "out"), few_shot=few_shot, size=5, masks=True)
    assert (plan.images, plan.shards) == (IMAGES, 3)
    for name in ("files", "out"):
        assert run_shards(str(tmp_path / name)).errors == 1
    rows = [row for shard in range(3) for row in read_rows(Storage(str(tmp_path / "out")), plan, shard)]
    assert (rows[0]["path"], rows[0]["name"]) == (str(tars / "a.tar"), "a.tar/1.png")
    expected = read_plan(Storage(str(tmp_path / "files")))
    for shard in range(3):
        for row in read_rows(Storage(str(tmp_path / "files")), expected, shard):
            own = row["name"].replace("/", ".tar/")
            (found,) = [each for each in rows if (each["name"], each["x"], each["y"]) == (own, row["x"], row["y"])]
            assert {**found, "path": "", "name": ""} == {**row, "path": "", "name": ""}
    with tarfile.open(tmp_path / "out" / tar_name(0)) as archive:
        assert "a.tar/1.png.mask.png" in archive.getnames()


@pytest.mark.parametrize("place", ["a.tar", "*.tar", "list.txt"])
def test_tars_are_files_of_globs_and_lists(tars, place):
    (tars / "list.txt").write_text(f"{tars / 'b.tar'}\n{tars / 'a.tar'}\n")
    found = list(list_images(str(tars / place), str(tars / "out")))
    assert len(found) == {"a.tar": IMAGES // 2 - 1, "*.tar": IMAGES, "list.txt": IMAGES}[place]
    assert all(".tar/" in image.name for image in found)


@pytest.mark.parametrize(("start", "left"), [(0, 0), (1024, 1)])
def test_a_damaged_tar_is_listed_up_to_the_damage(tmp_path, start, left):
    path = to_tar(tmp_path / "x.tar", {"1.png": b"1" * 500, "2.png": b"2" * 500})
    content = bytearray(path.read_bytes())
    content[start : start + 512] = b"?" * 512
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=f"damaged after {left} image"):
        found = list(list_images(str(path), str(tmp_path / "out")))
    assert [image.name for image in found] == [*["x.tar/1.png"][:left], "x.tar"]
    assert fetch(found[-1]) == b"?" * 512


@pytest.mark.parametrize("end", [1700, 700])
def test_a_tar_that_ends_early_is_listed_up_to_its_end(tmp_path, end):
    path = to_tar(tmp_path / "x.tar", {"1.png": b"1" * 500, "2.png": b"2" * 500})
    path.write_bytes(path.read_bytes()[:end])
    with pytest.warns(UserWarning, match="damaged after"):
        found = list(list_images(str(path), str(tmp_path / "out")))
    assert len(fetch(found[-2])) < 500
    assert fetch(found[-1]) == b""


def test_a_tar_that_holds_an_image_twice_is_refused(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("1.png"))
    with pytest.raises(ArgumentError, match=r"x\.tar: holds 1\.png twice"):
        list(list_images(str(tmp_path / "x.tar"), str(tmp_path / "out")))


def test_a_compressed_tar_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match=r"x\.tar\.gz.*decompress"):
        list(list_images(str(tmp_path / "x.tar.gz"), str(tmp_path / "out")))


@contextmanager
def served(folder: Path):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_images_come_over_http(few_shot, concept, photos, tmp_path):
    pytest.importorskip("aiohttp")
    with served(photos) as address:
        lines = [f"{address}/a/1.png", f"{address}/a/3.png", f"{address}/missing.png"]
        (tmp_path / "list.txt").write_text("\n".join(lines))
        plan_job(str(tmp_path / "list.txt"), concept, str(tmp_path / "out"), few_shot=few_shot)
        report = run_shards(str(tmp_path / "out"))
    assert (report.images, report.errors) == (3, 1)


@pytest.mark.slow
def test_jobs_run_on_s3(few_shot, concept, photos, tmp_path, monkeypatch):
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        address = "http://{}:{}".format(*server.get_host_and_port())
        for name, value in {"ENDPOINT_URL": address, "ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "y"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        target = fsspec.filesystem("s3", skip_instance_cache=True)
        target.mkdir("jobs")
        target.put(str(photos), "jobs/photos", recursive=True)
        to_tar(tmp_path / "x.tar", {"5.png": (photos / "a/5.png").read_bytes(), "1.txt": b"", "6.png": b"damaged"})
        target.put(str(tmp_path / "x.tar"), "jobs/tars/x.tar")
        plan_job("s3://jobs/tars/*.tar", concept, "s3://jobs/of-tars", few_shot=few_shot)
        assert (run_shards("s3://jobs/of-tars").images, run_shards("s3://jobs/of-tars").skipped) == (2, 1)
        plan_job("s3://jobs/photos", concept, "s3://jobs/out", few_shot=few_shot, size=5)
        assert run_shards("s3://jobs/out", part=(0, 2)).done == 2
        report = run_shards("s3://jobs/out")
        assert (report.done, report.skipped) == (1, 2)
        assert sum(each.images for each in read_status("s3://jobs/out").done) == IMAGES
        checking = functools.partial(Request, f"{address}/moto-api/reset-auth", headers={"Content-Type": "text/plain"})
        urlopen(checking(data=b"0")).close()  # from now on keys are checked
        fsspec.filesystem("s3").clear_instance_cache()
        for call in (
            lambda: run_shards("s3://jobs/out"),
            lambda: plan_job("s3://jobs/photos", concept, str(tmp_path / "other"), few_shot=few_shot),
        ):
            with pytest.raises(OutputError, match=r"s3://jobs/.*credentials"):
                call()
        urlopen(checking(data=b"inf")).close()
        target.rm("jobs", recursive=True)
        with pytest.raises(LikewiseError, match="s3://jobs/out"):
            run_shards("s3://jobs/out")
    finally:
        server.stop()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(OutputError, match="s3://other/out"):
        run_shards("s3://other/out")
