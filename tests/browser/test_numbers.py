"""The page's computations against Python's, on equal pixels."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image
from playwright.sync_api import Page
from skimage import data

from likewise import Example, FewShot, Selector
from likewise.jobs.demo import motorcycle
from likewise.predict.examples import mark

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GOLDEN = json.loads((HERE / "golden.json").read_text(encoding="utf-8"))
TOLERANCE = {"odds": 2e-5, "probability": 5e-6, "refined": 5e-6, "planes": 5e-6}
SHOTS_TOLERANCE = 1e-3
"""Relative: one step of half precision, where rounding falls on the other side."""
LARGEST_DIFFERENCE = 3e-4
"""Of a probability, through the network, half-precision statistics and self-support."""


def array(value: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(value["data"]), value["type"]).reshape(value["shape"])


@pytest.fixture(scope="module")
def found(chromium, address) -> dict[str, Any]:
    page = chromium.new_page()
    page.goto(f"{address}/try/index.html")
    values = page.evaluate((HERE / "compare.js").read_text(encoding="utf-8"), GOLDEN)
    page.close()
    return values


def test_the_golden_file_is_what_the_python_sources_compute() -> None:
    checked = subprocess.run(
        [sys.executable, ROOT / "tools/make_browser_golden.py", "--check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("index", range(len(GOLDEN["resized"])))
def test_resized_images_equal_pillows(found: dict[str, Any], index: int) -> None:
    np.testing.assert_array_equal(found["resized"][index], array(GOLDEN["resized"][index]).ravel())


@pytest.mark.parametrize("index", range(len(GOLDEN["blurred"])))
def test_blurred_images_equal_pillows(found: dict[str, Any], index: int) -> None:
    np.testing.assert_array_equal(found["blurred"][index], array(GOLDEN["blurred"][index]["image"]).ravel())


@pytest.mark.parametrize("index", range(len(GOLDEN["masks"])))
def test_resized_masks_equal_pythons(found: dict[str, Any], index: int) -> None:
    np.testing.assert_array_equal(found["masks"][index], array(GOLDEN["masks"][index]["resized"]).ravel())


@pytest.mark.parametrize("name", ["means", "sums", "shares", "squares", "weights"])
def test_statistics_of_an_example_equal_pythons(found: dict[str, Any], name: str) -> None:
    for shot, expected in zip(found["shots"], GOLDEN["shots"], strict=True):
        np.testing.assert_allclose(shot[name], array(expected[name]).ravel(), rtol=SHOTS_TOLERANCE, atol=1e-6)


@pytest.mark.parametrize("shots", [1, 2, 3])
@pytest.mark.parametrize("name", ["odds", "probability", "refined"])
def test_answers_equal_pythons(found: dict[str, Any], name: str, shots: int) -> None:
    expected = array(GOLDEN["answers"][shots - 1][name]).ravel()
    np.testing.assert_allclose(found["answers"][shots - 1][name], expected, atol=TOLERANCE[name])


def test_input_sizes_equal_pythons(found: dict[str, Any]) -> None:
    assert found["sizes"] == [[each["input"], each["selector"]] for each in GOLDEN["sizes"]]


def test_lab_colours_equal_pillows(found: dict[str, Any]) -> None:
    np.testing.assert_allclose(found["colours"], array(GOLDEN["colours"]["lab"]).ravel(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("index", range(len(GOLDEN["selector"]["marks"])))
@pytest.mark.parametrize("name", ["coarse", "fine"])
def test_planes_of_marks_equal_pythons(found: dict[str, Any], name: str, index: int) -> None:
    expected = array(GOLDEN["selector"]["marks"][index][name]).ravel()
    np.testing.assert_allclose(found["marks"][index][name], expected, rtol=0, atol=TOLERANCE["planes"])


def encoded(key: int, pixels: np.ndarray, foreground: np.ndarray | None = None) -> dict[str, Any]:
    """An image as segment.js takes it."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    text = {"png": base64.b64encode(file.getvalue()).decode()}
    if foreground is not None:
        for name, mask in (("foreground", foreground), ("background", ~foreground)):
            text[name] = base64.b64encode(mask.astype(np.uint8).tobytes()).decode()
    return {"key": key, "height": pixels.shape[0], "width": pixels.shape[1], **text}


@pytest.mark.parametrize("shots", [1, 2])
def test_probabilities_of_a_photograph_equal_pythons(page: Page, shots: int, capsys: pytest.CaptureFixture) -> None:
    task = motorcycle()
    wheel = np.zeros(task.truth.shape, bool)
    wheel[230:420, 90:330] = True
    given = [(task.example.image, task.example.mask), (task.query[:, ::-1].copy(), wheel)][:shots]
    few_shot = FewShot(quality="fast")
    concept = few_shot.learn([Example(image, mask=mask) for image, mask in given])
    expected = few_shot.segment(task.query, concept).probability

    examples = [encoded(index, image, np.asarray(mask, bool)) for index, (image, mask) in enumerate(given)]
    arguments = {"examples": examples, "query": encoded(9, task.query)}
    answer = page.evaluate((HERE / "segment.js").read_text(encoding="utf-8"), arguments)
    difference = np.abs(np.reshape(answer["probability"], expected.shape) - expected)
    pixels = np.count_nonzero((np.reshape(answer["probability"], expected.shape) > 0.5) != (expected > 0.5))
    with capsys.disabled():
        print(f"\n{shots} examples: largest difference from Python {difference.max():.1e}, mask pixels {pixels}")
    assert difference.max() <= LARGEST_DIFFERENCE
    assert pixels <= 10


def test_masks_of_marks_equal_pythons(page: Page, capsys: pytest.CaptureFixture) -> None:
    image = motorcycle().example.image
    clicks = [(200, 330, 1), (600, 100, 0), (520, 330, 1), (80, 450, 0), (330, 200, 1)]
    whole, wheel = (100, 120, 660, 450), (60, 200, 330, 450)
    selector = Selector(image)
    expected = [
        ([], clicks[:1], mark(Example(image, points=clicks[:1]))[1]),
        ([], clicks[:2], mark(Example(image, points=clicks[:2]))[1]),
        ([], clicks, mark(Example(image, points=clicks))[1]),
        ([whole], [], mark(Example(image, box=whole))[1]),
        ([wheel, (430, 210, 690, 440)], [], mark(Example(image, box=[wheel, (430, 210, 690, 440)]))[1]),
        # a click in a box corrects its mask, one outside shows another object
        ([whole], [(600, 140, 0)], selector.mask([(600, 140)], [0], whole)),
        ([wheel], clicks[2:3], selector.mask(box=wheel) | selector.mask([(520, 330)])),
    ]
    marks = [
        {
            "boxes": [dict(zip(("x0", "y0", "x1", "y1"), box, strict=True)) for box in boxes],
            "points": [{"x": x, "y": y, "object": label == 1} for x, y, label in points],
        }
        for boxes, points, _ in expected
    ]
    script = (HERE / "select.js").read_text(encoding="utf-8")
    answer = page.evaluate(script, {"image": encoded(0, image), "marks": marks})

    pixels = [
        int(np.count_nonzero((np.reshape(found, truth.shape) > 0) != truth))
        for found, (_, _, truth) in zip(answer["masks"], expected, strict=True)
    ]
    times = answer["times"]
    with capsys.disabled():
        print(
            f"\nmasks of {len(expected)} marks: {pixels} pixels differ; {times['prepared']:.0f} ms to prepare, "
            f"{min(times['masks']):.0f} ms a mask"
        )
    assert all(0.02 < truth.mean() < 0.6 for _, _, truth in expected)
    assert max(pixels) <= 10


def processor_seconds() -> dict[int, float]:
    """Processor time of each thread of Chromium's renderers."""
    renderers = [each for each in psutil.Process().children(recursive=True) if "--type=renderer" in each.cmdline()]
    threads = [thread for renderer in renderers for thread in renderer.threads()]
    return {thread.id: thread.user_time + thread.system_time for thread in threads}


def test_an_image_takes_a_quarter_of_a_second_on_one_thread(page: Page, capsys: pytest.CaptureFixture) -> None:
    image = np.ascontiguousarray(data.coffee()[:375, :500])
    cup = np.zeros(image.shape[:2], bool)
    cup[80:300, 150:420] = True
    arguments = {"examples": [encoded(0, image, cup)], "query": encoded(1, image)}
    answer = page.evaluate((HERE / "segment.js").read_text(encoding="utf-8"), arguments)
    page.evaluate("window.answer(10)")  # Chromium compiles what runs often a second time
    times: dict[str, list[float]] = {"features": [], "masks": []}
    groups, count = [], 5
    for _ in range(4):  # the fastest group counts: programs on the same core slow the others down
        before = processor_seconds()
        for name, some in page.evaluate(f"window.answer({count})").items():
            times[name] += some
        after = processor_seconds()
        groups.append(max(seconds - before.get(thread, 0) for thread, seconds in after.items()) / count)
    used = min(groups)
    network, mask = (min(times[name]) / 1000 for name in ("features", "masks"))
    engine = answer["about"]["engine"]
    with capsys.disabled():
        print(
            f"\n{engine}, one thread, 500x375, decoded: {used:.3f} s of processor time an image (groups of {count}: "
            f"{', '.join(f'{each:.3f}' for each in groups)}); fastest on the clock: {network:.3f} s for the network, "
            f"{mask:.3f} s for the mask"
        )
    assert engine == "WASM"
