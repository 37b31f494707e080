"""Runs over folders that full disks, interrupts and kills stop."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from likewise.errors import OutputError
from likewise.io.images import ScaledImage
from likewise.io.paths import ImageFile, find_images
from likewise.jobs import pipeline
from likewise.jobs.writers import WRITERS
from likewise.predict.result import Result
from support.pipeline_runs import bright, files_of, never, run


def _write_failing_from(count: int, error: OSError) -> tuple[str, Callable[..., None]]:
    suffix, write = WRITERS["mask"]
    calls = iter(range(100))

    def failing(image: ScaledImage, result: Any, path: Path) -> None:
        if next(calls) >= count:
            raise error
        write(image, result, path)

    return suffix, failing


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EFBIG])
def test_a_full_or_read_only_disk_stops_the_run_and_finished_images_are_kept(
    seven: list[ImageFile], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(WRITERS, "mask", _write_failing_from(3, OSError(code, os.strerror(code))))
        with pytest.raises(OutputError, match=os.strerror(code)):
            run(seven)
    report = run(seven)
    assert (report.done, report.skipped) == (4, 3)


def test_an_output_folder_that_cannot_be_created_is_refused(seven: list[ImageFile]) -> None:
    Path("file").write_text("")
    with pytest.raises(OutputError, match="file"):
        run(seven, out="file/out")


def test_a_single_failed_write_does_not_stop_the_run(seven: list[ImageFile]) -> None:
    Path("out/2.mask.png").mkdir(parents=True)
    report = run(seven, force=True)
    assert report.done == 6
    assert [path.name for path, _ in report.failed] == ["2.png"]


def test_an_interrupted_run_leaves_complete_files_and_resumes(seven: list[ImageFile]) -> None:
    def interrupted(image: ScaledImage, file: ImageFile) -> Result:
        if file == seven[4]:
            raise KeyboardInterrupt
        return bright(image)

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


SRC, TESTS = Path(pipeline.__file__).parents[2], Path(__file__).parents[2]

KILLED = """
import sys, time
from pathlib import Path
sys.path[:0] = {path!r}
from support.pipeline_runs import bright, run
from likewise.io.images import ScaledImage
from likewise.io.paths import find_images

def slow(image, file):
    time.sleep(0.02)
    return bright(image)

run(find_images(["photos"]), slow, formats=("mask", "overlay", "cutout", "coco"))
"""


@pytest.mark.slow
def test_a_killed_run_resumes_and_ends_with_the_files_of_an_uninterrupted_run(photos: Path) -> None:
    generator = np.random.default_rng(0)
    for index in range(40):
        noise = generator.integers(0, 256, (50, 60, 3), dtype=np.uint8)
        Image.fromarray(noise).save(photos / f"{index}.png")
    images = find_images([photos])
    formats = ("mask", "overlay", "cutout", "coco")
    program = KILLED.format(path=[str(TESTS), str(SRC)])
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
        file.write(b'{"size": 12, "mtime_')  # a kill within a write leaves this

    report = run(images, formats=formats)
    assert report.skipped >= 15
    assert report.done + report.skipped == 40
    assert report.failed == []
    assert run(images, never, formats=formats).skipped == 40, "a line follows the one that was cut short"
    fresh = run(images, formats=formats, out="fresh")
    assert fresh.done == 40
    assert files_of("out") == files_of("fresh"), "nothing half written is left"
    for name in files_of("out") - {".likewise/finished.jsonl"}:
        assert Path("out", name).read_bytes() == Path("fresh", name).read_bytes(), name


@pytest.mark.slow
def test_four_runs_with_random_kills_write_each_image_once(photos: Path) -> None:
    generator = np.random.default_rng(0)
    for index in range(40):
        Image.fromarray(generator.integers(0, 256, (50, 60, 3), dtype=np.uint8)).save(photos / f"{index}.png")
    program = KILLED.format(path=[str(TESTS), str(SRC)])
    words = [sys.executable, "-c", program]
    running: list[subprocess.Popen[bytes]] = []
    codes: list[int] = []
    kills = 0
    while 0 not in codes:
        running += [subprocess.Popen(words, stderr=subprocess.PIPE) for _ in range(4 - len(running))]
        time.sleep(generator.uniform(0.2, 1.5))
        if kills < 6:
            running[generator.integers(4)].kill()
            kills += 1
        for process in [each for each in running if each.poll() is not None]:
            errors = process.communicate()[1].decode()
            assert process.returncode in (0, -signal.SIGKILL) or "another run (process" in errors, errors
            codes.append(process.returncode)
            running.remove(process)
    for process in running:
        process.kill()
        process.communicate()
    images = find_images([photos])
    formats = ("mask", "overlay", "cutout", "coco")
    assert run(images, never, formats=formats).skipped == 40
    run(images, formats=formats, out="fresh")
    names = files_of("fresh")
    assert {name for name in files_of("out") if not name.startswith(".likewise/")} == {
        name for name in names if not name.startswith(".likewise/")
    }
    for name in names - {".likewise/finished.jsonl"}:
        assert Path("out", name).read_bytes() == Path("fresh", name).read_bytes(), name
    lines = [json.loads(line)["name"] for line in Path("out/.likewise/finished.jsonl").read_text().splitlines() if line]
    assert len(set(lines)) == 40
    assert len(lines) <= 40 + kills, "a kill costs one image at most"
