"""Kills, interrupts and full disks at random moments: no torn file, and the next run ends as an unbroken one."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from likewise import Concept
from support.fakes import noise

SOURCE = str(Path(__file__).parents[2] / "src")
KILLS = int(os.environ.get("LIKEWISE_KILLS", "3"))
IMAGES = min(8 * KILLS, 30)
WORDS = (
    *("segment", "photos", "--like", "photos/0.png=mask.png", "-o", "out"),
    *("-f", "mask", "overlay", "coco", "--quality", "fast"),
)


def command(*words: str, limit: int | None = None) -> subprocess.Popen[bytes]:
    def set_limit() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    environment = {**os.environ, "PYTHONPATH": SOURCE}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-m", "likewise", *words], env=environment, stdout=pipe, stderr=pipe, preexec_fn=set_limit
    )


@pytest.fixture
def few(photos: Path) -> Path:
    """Six images, the first with its mask."""
    return write_photos(photos, 6)


@pytest.fixture
def many(photos: Path) -> Path:
    """Images enough for the kills, the first with its mask."""
    return write_photos(photos, IMAGES)


def write_photos(photos: Path, count: int) -> Path:
    for index in range(count):
        Image.fromarray(noise(index, 64, 80)).save(photos / f"{index}.png")
    mask = np.zeros((64, 80), bool)
    mask[20:40, 20:50] = True
    Image.fromarray(mask).save("mask.png")
    return photos


def contents(folder: str) -> dict[str, bytes]:
    files = (path for path in Path(folder).rglob("*") if path.is_file() and ".likewise" not in path.as_posix())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.slow
def test_a_run_that_is_stopped_at_random_moments_ends_as_an_unbroken_one(many, record_property):
    assert command(*WORDS[:5], "fresh", *WORDS[6:]).wait() == 0
    generator = np.random.default_rng(int(time.time()))
    kills = 0
    for index in range(KILLS):
        process = command(*WORDS)
        finished = len(list(Path("out").rglob("*.png")))
        deadline = time.monotonic() + 300
        while process.poll() is None and time.monotonic() < deadline:
            if len(list(Path("out").rglob("*.png"))) > min(finished + index % 4, IMAGES - 5):
                break
            time.sleep(0.01)
        time.sleep(generator.uniform(0, 0.2))
        kills += process.poll() is None
        process.send_signal((signal.SIGKILL, signal.SIGINT, signal.SIGTERM)[index % 3])
        errors = process.communicate()[1]
        assert b"Traceback" not in errors, errors
        for path in Path("out").rglob("[!.]*.png"):
            with Image.open(path) as image:
                image.load()
    record_property("kills", kills)
    final = command(*WORDS)
    assert final.wait() == 0, final.communicate()
    assert contents("out") == contents("fresh")


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0, 10, 100, 400, 1000, 10_000])
def test_a_limit_of_the_size_of_files_ends_a_run_in_one_line(few, limit, record_property):
    process = command(*WORDS, limit=limit)
    _, errors = process.communicate()
    assert process.returncode in (0, 1, 2)
    assert b"Traceback" not in errors
    assert errors.count(b"File too large") <= 1
    assert not list(Path("out").rglob(".likewise-part-*"))


@pytest.mark.slow
def test_learning_that_is_stopped_leaves_a_whole_concept_or_none(few, record_property):
    words = ("learn", "photos/0.png=mask.png", "-o", "x.concept")
    for index in range(KILLS):
        process = command(*words)
        time.sleep(0.4 + 0.15 * index)
        process.kill()
        process.communicate()
        if Path("x.concept").exists():
            Concept.load("x.concept")
    record_property("kills", KILLS)
    assert command(*words).wait() == 0
    assert len(Concept.load("x.concept")) == 1
    assert not list(Path().glob(".likewise-part-*")), "parts of dead processes are deleted"
    full = command("learn", "photos/0.png=mask.png", "-o", "y.concept", limit=1000)
    _, errors = full.communicate()
    assert (full.returncode, errors.count(b"\n")) == (2, 1)
    assert b"y.concept: cannot be written" in errors
