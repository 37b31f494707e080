"""Images of large jobs in folders, globs, lists and tars, and jobs in memory, over HTTP and on S3."""

import functools
import io
import tarfile
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from PIL import Image

from likewise import FewShot
from likewise.errors import ArgumentError, ImageError, LikewiseError, OutputError
from likewise.io.paths import find_images
from likewise.jobs.shards.executors import read_status, run_shards
from likewise.jobs.shards.plan import plan_job, read_plan, rows_of_shard
from likewise.jobs.shards.storage import Storage, fetch, list_stored
from likewise.jobs.shards.work import read_rows, tar_name
from support.fakes import block, noise, write_image
from support.shard_jobs import learn_cat, make_photos, open_small

fsspec = pytest.importorskip("fsspec")
LocalFileSystem = pytest.importorskip("fsspec.implementations.local").LocalFileSystem
pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

IMAGES = 12


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


def test_a_list_names_the_images(few_shot, concept, photos, tmp_path):
    chosen = [str(photos / "a/1.png"), str(photos / "a/3.png"), str(photos / "missing.png")]
    (tmp_path / "list.txt").write_text("\n".join(chosen) + "\n\n")
    parquet.write_table(pyarrow.table({"path": chosen, "more": [1, 2, 3]}), tmp_path / "list.parquet")
    for name in ("list.txt", "list.parquet"):
        assert [image.path for image in list_stored(str(tmp_path / name), str(tmp_path / "out"))] == chosen
    plan_job(str(tmp_path / "list.txt"), concept, str(tmp_path / "out"), few_shot=few_shot)
    assert run_shards(str(tmp_path / "out")).errors == 1


def test_a_list_that_names_an_image_twice_is_refused(tmp_path):
    (tmp_path / "list.txt").write_text("a.png\nb.png\na.png\n")
    with pytest.raises(ArgumentError, match=r"a\.png twice"):
        list(list_stored(str(tmp_path / "list.txt"), str(tmp_path / "out")))


def test_a_list_without_a_column_of_paths_says_which_it_has(tmp_path):
    parquet.write_table(pyarrow.table({"url": ["a.png"]}), tmp_path / "list.parquet")
    with pytest.raises(ArgumentError, match="path, only url"):
        list(list_stored(str(tmp_path / "list.parquet"), str(tmp_path / "out")))


@pytest.mark.parametrize("source", ["nowhere", "empty", "empty/*.png"])
def test_a_place_without_images_is_refused(tmp_path, source):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match=source.replace("*", r"\*")):
        list(list_stored(str(tmp_path / source), str(tmp_path / "out")))


def test_a_glob_leaves_out_the_results(photos, tmp_path):
    (photos / "a/out").mkdir()
    Image.fromarray(noise(1)).save(photos / "a/out/x.png")
    found = [image.name for image in list_stored(str(photos / "a/**/*.png"), str(photos / "a/out"))]
    assert found == ["1.png", "3.png", "5.png", "7.png", "9.png"]


def test_masks_of_images_are_left_out_as_segment_does(tmp_path):
    folder = tmp_path / "photos"
    for name in ("a.jpg", "b.png", "images/c.jpg", "masks/d.jpg"):
        write_image(folder / name, noise(1))
    for name in ("a.png", "b_mask.png", "masks/c.png"):
        write_image(folder / name, block(255, 1))
    for source in (str(folder), str(folder / "**/*.*g")):
        found = [image.name for image in list_stored(source, str(tmp_path / "out"))]
        assert found == ["a.jpg", "b.png", "images/c.jpg", "masks/d.jpg"]
        assert found == [image.name for image in find_images([source])]


def test_a_folder_that_cannot_be_listed_is_named(photos, tmp_path, monkeypatch):
    listed = LocalFileSystem.ls

    def refuse(self, path, *given, **options):
        if path.rstrip("/").endswith("/b"):
            raise PermissionError("access denied")
        return listed(self, path, *given, **options)

    monkeypatch.setattr(LocalFileSystem, "ls", refuse)
    with pytest.raises(OutputError, match=r"photos: cannot be reached \(PermissionError: access denied\)"):
        list(list_stored(str(photos), str(tmp_path / "out")))


def test_a_link_to_a_folder_is_named_and_not_followed(photos, tmp_path):
    (photos / "a/up").symlink_to(photos)
    with pytest.warns(UserWarning, match="a/up: a link to a folder"):
        assert len(list(list_stored(str(photos), str(tmp_path / "out")))) == IMAGES


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
    found = list(list_stored(str(tars / place), str(tars / "out")))
    assert len(found) == {"a.tar": IMAGES // 2 - 1, "*.tar": IMAGES, "list.txt": IMAGES}[place]
    assert all(".tar/" in image.name for image in found)


@pytest.mark.parametrize(("start", "left"), [(0, 0), (1024, 1)])
def test_a_damaged_tar_is_listed_up_to_the_damage(tmp_path, start, left):
    path = to_tar(tmp_path / "x.tar", {"1.png": b"1" * 500, "2.png": b"2" * 500})
    content = bytearray(path.read_bytes())
    content[start : start + 512] = b"?" * 512
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=f"damaged after {left} image"):
        found = list(list_stored(str(path), str(tmp_path / "out")))
    assert [image.name for image in found] == [*["x.tar/1.png"][:left], "x.tar"]
    assert fetch(found[-1]) == b"?" * 512


@pytest.mark.parametrize("end", [1700, 700])
def test_a_tar_that_ends_early_is_listed_up_to_its_end(tmp_path, end):
    path = to_tar(tmp_path / "x.tar", {"1.png": b"1" * 500, "2.png": b"2" * 500})
    path.write_bytes(path.read_bytes()[:end])
    with pytest.warns(UserWarning, match="damaged after"):
        found = list(list_stored(str(path), str(tmp_path / "out")))
    assert len(fetch(found[-2])) < 500
    assert fetch(found[-1]) == b""


def test_a_tar_that_holds_an_image_twice_is_refused(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("1.png"))
    with pytest.raises(ArgumentError, match=r"x\.tar: holds 1\.png twice"):
        list(list_stored(str(tmp_path / "x.tar"), str(tmp_path / "out")))


def test_a_compressed_tar_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match=r"x\.tar\.gz.*decompress"):
        list(list_stored(str(tmp_path / "x.tar.gz"), str(tmp_path / "out")))


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
