"""The memory of a process stays within what the images need, whatever their shape."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.scene_runs import write_run

SOURCE = str(Path(__file__).parents[2] / "src")
LONG = bool(os.environ.get("LIKEWISE_ROBUSTNESS_DOCS"))
PROGRAM = """
import resource, sys
sys.path.insert(0, {source!r})
{body}
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def megabytes(body: str) -> float:
    """Return the largest memory of a process that runs these lines."""
    return printed(body)[-1] / 1024


def printed(body: str) -> list[int]:
    """Return the numbers that a process prints: those of these lines, and its largest memory in KB."""
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(source=SOURCE, body=body)], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    return [int(line) for line in found.stdout.split()]


STRIPS = ((16, 20_000), (2400, 12), *([(2000, 16), (16, 2000), (20_000, 16)] if LONG else []))
PARSE = """
import numpy as np
from likewise import SceneParser
p = SceneParser({run!r}, side=360, device='cpu')
p.parse(np.zeros((360, 480, 3), np.uint8))
for path in {paths!r}:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    p.parse(path)
"""


@pytest.fixture(scope="module")
def memory_of(tmp_path_factory) -> dict[tuple[int, int], tuple[float, float]]:
    """By strip: the largest memory of a scene parser after a usual image, and after that strip in the same process."""
    folder = tmp_path_factory.mktemp("parser")
    paths = [str(folder / f"{width}x{height}.png") for width, height in STRIPS]
    for path, (width, height) in zip(paths, STRIPS, strict=True):
        Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(path)
    usual, *after = printed(PARSE.format(run=str(write_run(folder / "run")), paths=paths))
    return {strip: (usual / 1024, most / 1024) for strip, most in zip(STRIPS, after, strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize("size", STRIPS)
def test_parsing_a_strip_needs_little_memory(size, memory_of, record_property):
    usual, used = memory_of[size]
    record_property("megabytes", used)
    assert used < usual + 700


@pytest.mark.slow
@pytest.mark.parametrize("side", [3000, *([13_000] if LONG else [])])
def test_large_images_stay_within_their_budget(side, tmp_path, record_property):
    for index in range(3 if side < 9000 else 5):
        Image.new("RGB", (side, side), (90, 60 + index, 30)).save(tmp_path / f"{index}.jpg")
    budget = 44 * side**2 + 1
    body = (
        "from likewise import FewShot, Example, segment_folder\nimport numpy as np\n"
        "image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)\n"
        f"r = segment_folder({str(tmp_path)!r}, Example(image, box=(9, 9, 40, 40)), {str(tmp_path / 'out')!r}, "
        f"few_shot=FewShot(), memory={budget})\nassert not r.failed, r.failed"
    )
    base = megabytes("import likewise.jobs.segment; from likewise import FewShot; FewShot()")
    used = megabytes(body)
    record_property("megabytes", used)
    assert used - base < 1.25 * budget / (1 << 20) + 150


@pytest.mark.slow
def test_an_image_above_the_budget_fails_alone(tmp_path):
    Image.new("RGB", (2000, 2000)).save(tmp_path / "large.jpg")
    Image.new("RGB", (100, 100)).save(tmp_path / "small.png")
    words = ["segment", tmp_path, "--like", tmp_path / "small.png", "--box", "9,9,50,50", "-o", tmp_path / "out"]
    found = subprocess.run(
        [sys.executable, "-m", "likewise", *words, "--memory", "60M"],
        env={**os.environ, "PYTHONPATH": SOURCE}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 1
    assert "large.jpg: needs about 92 MB of memory, and 60 MB may be used" in found.stderr
    assert (tmp_path / "out" / "small.mask.png").exists()
