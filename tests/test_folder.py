import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from fakes import save_flat
from likewise import folder
from likewise.folder import OutputError, Report, segment_folder
from likewise.formats import WRITERS
from likewise.paths import Picture, find_pictures


@dataclass(frozen=True)
class FakeResult:
    labels: np.ndarray
    classes: tuple[str, ...] = ("bright",)
    scores: tuple[float, ...] = (0.5,)

    @property
    def mask(self) -> np.ndarray:
        return self.labels > 0

    @property
    def probability(self) -> np.ndarray:
        return self.mask.astype(np.float32)


def bright(picture: np.ndarray) -> FakeResult:
    """A stand-in for the model: what is brighter than the middle."""
    return FakeResult((picture[..., 0] > 127).astype(np.uint8))


@pytest.fixture
def seven(photos: Path) -> list[Picture]:
    """Seven pictures of different sizes, the upper half of each bright."""
    for index in range(7):
        array = np.zeros((10 + index, 14, 3), dtype=np.uint8)
        array[: 5 + index // 2] = 255
        path = photos / ("sub" if index % 2 else "") / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(array).save(path)
    return find_pictures([photos])


def run(pictures: list[Picture], segment: Callable[[np.ndarray], Any] = bright, **options: Any) -> Report:
    options = {"formats": ("mask", "coco"), "classes": ("bright",), "settings": {"model": "panet"}} | options
    return segment_folder(pictures, segment, options.pop("out", "out"), **options)


def files_of(out: str = "out") -> set[str]:
    return {path.relative_to(out).as_posix() for path in Path(out).rglob("*") if path.is_file()}


def never(picture: np.ndarray) -> FakeResult:
    raise AssertionError("nothing was left to do")


def test_every_format_of_every_picture_is_written(seven: list[Picture]) -> None:
    calls: list[tuple[int, int]] = []
    report = run(seven, formats=(*WRITERS, "coco"), progress=lambda settled, total: calls.append((settled, total)))
    assert (report.done, report.skipped, report.failed) == (7, 0, [])
    assert report.seconds > 0
    stems = ["0", "2", "4", "6", "sub/1", "sub/3", "sub/5"]
    suffixes = [suffix for suffix, _ in WRITERS.values()]
    records = {".likewise/finished.jsonl", ".likewise/settings.json", "coco.json"}
    assert files_of() == {stem + suffix for stem in stems for suffix in suffixes} | records
    assert calls == [(settled, 7) for settled in range(8)]
    with Image.open("out/sub/3.mask.png") as mask:
        np.testing.assert_array_equal(np.asarray(mask)[:, 0], [255] * 6 + [0] * 7)


def test_a_second_run_skips_what_is_finished(seven: list[Picture]) -> None:
    run(seven)
    before = Path("out/coco.json").read_text()
    Path("out/coco.json").unlink()
    calls: list[tuple[int, int]] = []
    report = run(seven, never, progress=lambda settled, total: calls.append((settled, total)))
    assert (report.done, report.skipped, report.failed) == (0, 7, [])
    assert calls == [(7, 7)]
    assert Path("out/coco.json").read_text() == before


def test_what_is_missing_changed_or_new_is_done(seven: list[Picture], photos: Path) -> None:
    run(seven)
    Path("out/2.mask.png").unlink()
    save_flat(photos / "sub/3.png", value=10)
    save_flat(photos / "new.jpg")
    report = run(find_pictures([photos]))
    assert (report.done, report.skipped, report.failed) == (3, 5, [])
    coco = COCO("out/coco.json")
    assert [image["file_name"] for image in coco.dataset["images"]] == [
        "0.png", "2.png", "4.png", "6.png", "new.jpg", "sub/1.png", "sub/3.png", "sub/5.png",
    ]  # fmt: skip
    assert (coco.dataset["images"][6]["height"], coco.dataset["images"][6]["width"]) == (8, 12)
    assert not coco.getAnnIds(imgIds=7), "the changed picture is dark now"
    report = run(find_pictures([photos]), never, formats=("mask", "coco"))
    assert report.skipped == 8


def test_another_format_is_added_to_a_finished_run(seven: list[Picture]) -> None:
    run(seven, formats=("mask",))
    assert run(seven, never, formats=("coco",)).skipped == 7
    assert len(json.loads(Path("out/coco.json").read_text())["annotations"]) == 7
    assert run(seven, formats=("mask", "cutout")).done == 7


def test_pictures_of_earlier_runs_stay_in_the_coco_file(seven: list[Picture]) -> None:
    run(seven[:3])
    run(seven[3:])
    assert len(json.loads(Path("out/coco.json").read_text())["images"]) == 7


def test_other_settings_are_refused_by_name_and_force_does_all_again(seven: list[Picture]) -> None:
    run(seven, settings={"model": "panet", "backbone": "lite0"})
    changed = {"model": "panet", "backbone": "vgg16", "size": 417}
    with pytest.raises(OutputError) as caught:
        run(seven, settings=changed)
    assert "backbone was 'lite0' and is now 'vgg16', size was None and is now 417" in str(caught.value)
    assert "--force" in str(caught.value)
    assert "model" not in str(caught.value)
    with pytest.raises(OutputError, match=r"classes was \['bright'\] and is now \['dark'\]"):
        run(seven, classes=("dark",), settings={"model": "panet", "backbone": "lite0"})
    assert run(seven, settings=changed, force=True).done == 7
    assert run(seven, never, settings=changed).skipped == 7


def test_settings_that_cannot_be_read_are_refused(seven: list[Picture]) -> None:
    run(seven)
    Path("out/.likewise/settings.json").write_text("{")
    with pytest.raises(
        OutputError, match=r"settings\.json: the settings of the earlier run cannot be read; pass --force"
    ):
        run(seven)


def test_settings_of_a_run_that_finished_nothing_do_not_matter(seven: list[Picture]) -> None:
    def interrupted(picture: np.ndarray) -> FakeResult:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(seven, interrupted)
    assert run(seven, settings={"model": "hsnet"}).done == 7


def test_pictures_that_fail_are_reported_and_the_others_done(seven: list[Picture], photos: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"<html>")
    (photos / "empty.jpg").touch()
    save_flat(photos / "heavy.png", size=(99, 7))
    pictures = [*find_pictures([photos]), Picture(photos / "gone.jpg", "gone.jpg")]

    def no_heavy(picture: np.ndarray) -> FakeResult:
        if picture.shape[1] == 99:
            raise RuntimeError("out of memory")
        return bright(picture)

    report = run(pictures, no_heavy)
    assert (report.done, report.skipped) == (7, 0)
    reasons = {path.name: reason for path, reason in report.failed}
    assert reasons["bad.jpg"].startswith("a web page, not a picture")
    assert reasons["empty.jpg"].startswith("empty (0 bytes)")
    assert reasons["gone.jpg"].startswith("no such file")
    assert reasons["heavy.png"] == "RuntimeError: out of memory"
    assert len(json.loads(Path("out/coco.json").read_text())["images"]) == 7
    again = run(pictures, never)
    assert again.skipped == 7
    assert len(again.failed) == 4


def test_a_picture_that_fails_now_leaves_the_coco_file(seven: list[Picture]) -> None:
    run(seven)
    seven[0].path.write_bytes(b"damaged since")
    run(seven)
    assert COCO("out/coco.json").dataset["images"][0]["file_name"] == "2.png"


def test_pictures_that_differ_in_the_suffix_alone_keep_it(photos: Path) -> None:
    for name in ("a.jpg", "a.webp", "b.jpg", "c.jpg", "c.tif", "c.jpg.bmp"):
        save_flat(photos / name)
    run(find_pictures([photos]), formats=("mask",))
    masks = {name for name in files_of() if name.endswith(".mask.png")}
    assert masks == {"a.jpg.mask.png", "a.webp.mask.png", "b.mask.png", "c.jpg.mask.png", "c.tif.mask.png"} | {
        "c.jpg.bmp.mask.png"
    }


def test_two_pictures_of_one_name_are_refused(photos: Path) -> None:
    a, b = save_flat(photos / "a" / "x.jpg"), save_flat(photos / "b" / "x.jpg")
    with pytest.raises(ValueError, match=r"two pictures are named x\.jpg"):
        run([Picture(a, "x.jpg"), Picture(b, "x.jpg")])


def test_no_input_is_ever_overwritten(photos: Path) -> None:
    picture, mask = save_flat(photos / "cat.jpg"), save_flat(photos / "cat.mask.png")
    before = mask.read_bytes()
    pictures = find_pictures([picture])
    for force in (False, True):
        with pytest.raises(OutputError, match=r"cat\.mask\.png: is an input and would be overwritten"):
            run(pictures, out=photos, protect=[mask], force=force)
    odd = save_flat(photos / "dog.cutout.png")
    with pytest.raises(OutputError, match=r"dog\.cutout\.png: is an input"):
        run(
            [Picture(save_flat(photos / "dog.jpg"), "dog.jpg"), Picture(odd, "else.png")],
            out=photos,
            formats=["cutout"],
        )
    assert mask.read_bytes() == before
    assert not (photos / ".likewise").exists(), "found out before anything is written"


def test_masks_that_are_not_ours_are_kept_unless_forced(photos: Path) -> None:
    picture, mask = save_flat(photos / "cat.jpg"), save_flat(photos / "cat.mask.png")
    before = mask.read_bytes()
    with pytest.raises(OutputError, match=r"cat\.mask\.png: exists and was not made by an earlier run.*--force"):
        run(find_pictures([picture]), out=photos)
    assert mask.read_bytes() == before
    assert run(find_pictures([picture]), out=photos, force=True).done == 1
    assert run(find_pictures([photos]), never, out=photos).skipped == 1


def test_an_output_that_is_a_file_is_refused(seven: list[Picture]) -> None:
    Path("out").write_text("")
    with pytest.raises(OutputError, match="out: a file, where the folder for the results is needed"):
        run(seven)


def _write_failing_from(count: int, error: OSError) -> tuple[str, Callable[..., None]]:
    suffix, write = WRITERS["mask"]
    calls = iter(range(100))

    def failing(picture: np.ndarray, result: Any, path: Path) -> None:
        if next(calls) >= count:
            raise error
        write(picture, result, path)

    return suffix, failing


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_disk_that_refuses_stops_the_run_with_what_is_finished_kept(
    seven: list[Picture], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(WRITERS, "mask", _write_failing_from(3, OSError(code, os.strerror(code))))
        with pytest.raises(OutputError, match=f"cannot be written .*{os.strerror(code)}.*what is finished is kept"):
            run(seven)
    report = run(seven)
    assert (report.done, report.skipped) == (4, 3)


def test_a_folder_that_cannot_be_made_is_named(seven: list[Picture]) -> None:
    Path("file").write_text("")
    with pytest.raises(OutputError, match=r"cannot be written .*[Nn]ot a directory"):
        run(seven, out="file/out")


def test_one_result_that_cannot_be_written_fails_alone(seven: list[Picture]) -> None:
    Path("out/2.mask.png").mkdir(parents=True)
    report = run(seven, force=True)
    assert report.done == 6
    assert [(path.name, "cannot be written" in reason) for path, reason in report.failed] == [("2.png", True)]


def test_a_model_error_about_a_shape_fails_alone(seven: list[Picture]) -> None:
    def wrong(picture: np.ndarray) -> FakeResult:
        return FakeResult(np.zeros((3, 3, 3), dtype=np.uint8)) if len(picture) == 12 else bright(picture)

    report = run(seven, wrong, formats=("overlay",))
    assert [path.name for path, _ in report.failed] == ["2.png"]


def test_an_interrupted_run_leaves_whole_files_and_is_resumed(seven: list[Picture]) -> None:
    calls = iter(range(100))

    def interrupted(picture: np.ndarray) -> FakeResult:
        if next(calls) == 4:
            raise KeyboardInterrupt
        return bright(picture)

    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        run(seven, interrupted)
    assert threading.active_count() == threads, "no thread is left behind"
    stems = [name.removesuffix(".mask.png") for name in files_of() if name.endswith(".mask.png")]
    recorded = [json.loads(line)["name"] for line in Path("out/.likewise/finished.jsonl").read_text().splitlines()]
    assert sorted(f"{stem}.png" for stem in stems) == sorted(recorded)
    assert len(recorded) == 4
    assert not [name for name in files_of() if "part" in name]
    report = run(seven)
    assert (report.done, report.skipped) == (3, 4)


KILLED = """
import sys, time
from pathlib import Path
sys.path[:0] = {path!r}
from test_folder import bright, run
from likewise.paths import find_pictures

def slow(picture):
    time.sleep(0.02)
    return bright(picture)

run(find_pictures(["photos"]), slow, formats=("mask", "overlay", "cutout", "coco"))
"""


def test_a_run_that_is_killed_at_any_point_is_resumed_and_ends_as_if_it_never_was(photos: Path) -> None:
    generator = np.random.default_rng(0)
    for index in range(40):
        noise = generator.integers(0, 256, (50, 60, 3), dtype=np.uint8)
        Image.fromarray(noise).save(photos / f"{index}.png")
    pictures = find_pictures([photos])
    formats = ("mask", "overlay", "cutout", "coco")
    program = KILLED.format(path=[str(Path(__file__).parent), str(Path(folder.__file__).parents[1])])
    finished = Path("out/.likewise/finished.jsonl")
    recorded = 0
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) as process:
            deadline = time.monotonic() + 600
            while process.poll() is None and time.monotonic() < deadline:
                if finished.exists() and finished.read_bytes().count(b"\n") >= recorded + 5:
                    break
                time.sleep(0.003)
            alive = process.poll() is None
            process.send_signal(signal.SIGKILL)
            assert process.stderr is not None
            errors = process.stderr.read().decode()
        assert alive, errors
        recorded = finished.read_bytes().count(b"\n")
        for name in files_of():
            if "part" not in name and not name.startswith(".likewise"):
                with Image.open(f"out/{name}") as image:
                    image.load()
    assert not Path("out/coco.json").exists()
    with finished.open("ab") as file:
        file.write(b'{"size": 12, "mtime_')  # what a kill within a write leaves, and below too
    Path("out/.likewise-part-0.mask.png").write_bytes(b"half")

    report = run(pictures, formats=formats)
    assert report.skipped >= 15
    assert report.done + report.skipped == 40
    assert report.failed == []
    assert run(pictures, never, formats=formats).skipped == 40, "a line follows the one that was cut short"
    fresh = run(pictures, formats=formats, out="fresh")
    assert fresh.done == 40
    assert files_of("out") == files_of("fresh"), "nothing half written is left"
    for name in files_of("out") - {".likewise/finished.jsonl"}:
        assert Path("out", name).read_bytes() == Path("fresh", name).read_bytes(), name


def test_few_pictures_are_in_memory_at_a_time(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(60):
        save_flat(photos / f"{index}.png")
    read, used, lead = 0, 0, []
    lock = threading.Lock()
    original = folder.read_picture

    def counting(path: Path) -> np.ndarray:
        nonlocal read
        with lock:
            read += 1
        return original(path)

    def segment(picture: np.ndarray) -> FakeResult:
        nonlocal used
        used += 1
        time.sleep(0.002)
        lead.append(read - used)
        return bright(picture)

    monkeypatch.setattr(folder, "read_picture", counting)
    assert run(find_pictures([photos]), segment).done == 60
    assert max(lead) <= 5


def test_reading_goes_on_while_the_model_works(seven: list[Picture], monkeypatch: pytest.MonkeyPatch) -> None:
    read_before = threading.Event()
    original = folder.read_picture

    def reading(path: Path) -> np.ndarray:
        if path.name == "2.png":
            read_before.set()
        return original(path)

    def segment(picture: np.ndarray) -> FakeResult:
        assert read_before.wait(60), "the second picture is read while the first is with the model"
        return bright(picture)

    monkeypatch.setattr(folder, "read_picture", reading)
    assert run(seven, segment).failed == []


def test_these_modules_do_not_load_torch() -> None:
    program = "import sys, likewise.folder, likewise.draw; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(folder.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", program], env=environment, check=False).returncode == 0


def test_what_is_read_beside_a_picture_reaches_the_model_and_its_failure_is_that_picture_s_alone(seven) -> None:
    def beside(picture: Picture) -> str:
        if picture.name == "2.png":
            raise ValueError("there is no map of it")
        return picture.name

    seen: list[tuple[int, str]] = []

    def segment(picture: np.ndarray, name: str) -> FakeResult:
        seen.append((len(picture), name))
        return bright(picture)

    report = run(seven, segment, beside=beside)
    assert [(path.name, reason) for path, reason in report.failed] == [("2.png", "there is no map of it")]
    assert sorted(seen) == [(10 + n, f"{'sub/' if n % 2 else ''}{n}.png") for n in (0, 1, 3, 4, 5, 6)]
