"""The page docs/try, used as a person does, in Chromium."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import BrowserContext, Page, expect

from likewise import Example, FewShot
from likewise.io.marks import parse_box, parse_points
from likewise.jobs.demo import motorcycle
from likewise.predict.edges import LARGEST

SHARE = (0.25, 0.3, 0.75, 0.9)
"""Left, top, right and bottom of the boxes that are drawn, as shares of the image."""


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The motorcycle from the left, from the right, and mirrored."""
    folder = tmp_path_factory.mktemp("photographs")
    task = motorcycle()
    images = {"left": task.example.image, "right": task.query, "mirrored": task.query[:, ::-1]}
    for name, image in images.items():
        Image.fromarray(image).save(folder / f"{name}.png")
    return [folder / f"{name}.png" for name in images]


def add(page: Page, *files: Path) -> None:
    page.set_input_files("#files", files)
    expect(page.locator("#tiles li")).not_to_have_count(0)
    are_read(page)


def are_read(page: Page) -> None:
    """Wait until all images are read."""
    expect(page.locator(".waiting")).to_have_count(0)
    expect(page.locator("#progress")).to_be_hidden()


def tool(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name).click()


def positions(page: Page) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the box to draw, in pixels of the screen."""
    box = page.locator("#stage canvas").bounding_box()
    assert box is not None
    x0, y0, x1, y1 = SHARE
    return (
        box["x"] + x0 * box["width"],
        box["y"] + y0 * box["height"],
        box["x"] + x1 * box["width"],
        box["y"] + y1 * box["height"],
    )


def drag(page: Page) -> None:
    left, top, right, bottom = positions(page)
    page.mouse.move(left, top)
    page.mouse.down()
    page.mouse.move((left + right) / 2, bottom, steps=3)
    page.mouse.move(right, bottom, steps=3)
    page.mouse.up()


def finished(page: Page, examples: int) -> None:
    expect(page.locator("#stage")).to_have_attribute("aria-busy", "false")
    name = "example" if examples == 1 else "examples"
    expect(page.locator("#status")).to_contain_text(re.compile(rf"^{examples} {name} · network \d+ ms, mask \d+ ms"))


def saved_masks(page: Page) -> dict[str, Image.Image]:
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.testzip() is None
        return {name: Image.open(io.BytesIO(archive.read(name))) for name in archive.namelist()}


def check_masks(page: Page, photographs: list[Path], example: Example) -> None:
    """The page's masks are those of Python with this example."""
    few_shot = FewShot(quality="fast")
    concept = few_shot.learn(example)
    masks = saved_masks(page)
    assert sorted(masks) == ["left.mask.png", "mirrored.mask.png", "right.mask.png"]
    for path in photographs:
        mask = masks[f"{path.stem}.mask.png"]
        assert mask.mode == "L"
        assert set(np.unique(mask)) <= {0, 255}
        expected = few_shot.segment(path, concept).mask
        assert np.count_nonzero((np.array(mask) > 0) != expected) <= 10


def test_a_box_gives_the_masks_of_python(page: Page, photographs: list[Path]) -> None:
    add(page, *photographs)
    tool(page, "Box")
    drag(page)
    finished(page, 1)
    hint = page.locator("#hint").inner_text()
    found = re.search(r"--like left\.png --box (\S+)$", hint)
    assert found, hint
    check_masks(page, photographs, Example(photographs[0], box=parse_box(found[1])))


def test_clicks_give_the_masks_of_python(page: Page, photographs: list[Path]) -> None:
    add(page, *photographs)
    left, top, right, bottom = positions(page)
    page.mouse.click((left + right) / 2, (top + bottom) / 2)
    page.mouse.click(right, (top + bottom) / 2)
    page.keyboard.down("Alt")
    page.mouse.click(right, top - 60)
    page.keyboard.up("Alt")
    finished(page, 1)
    hint = page.locator("#hint").inner_text()
    found = re.search(r"--like left\.png --points (\S+ \S+ \S+)$", hint)
    assert found, hint
    points = parse_points(found[1])
    assert [label for _, _, label in points] == [1, 1, 0]
    check_masks(page, photographs, Example(photographs[0], points=points))


def test_the_page_asks_no_other_address(chromium: BrowserContext, address: str, photographs: list[Path]) -> None:
    asked: list[str] = []
    chromium.on("request", lambda request: asked.append(request.url))  # of pages and their workers
    page = chromium.new_page()
    page.goto(f"{address}/try/index.html")
    page.get_by_role("button", name="Use two sample photographs").click()
    expect(page.locator("#tiles li")).to_have_count(2)
    are_read(page)
    drag_with_click = positions(page)
    page.mouse.click((drag_with_click[0] + drag_with_click[2]) / 2, (drag_with_click[1] + drag_with_click[3]) / 2)
    finished(page, 1)
    refused = page.evaluate(
        """new Promise((resolve) => {
            addEventListener("securitypolicyviolation", ({ blockedURI }) => resolve(blockedURI));
            fetch("http://example.org/").catch(() => {});
        })"""
    )
    page.close()
    assert any(url.endswith(".wasm") for url in asked)
    assert any(url.endswith(".onnx") for url in asked)
    assert [url for url in asked if not url.startswith((f"{address}/", f"blob:{address}/", "data:"))] == []
    assert refused == "http://example.org/"


def test_examples_are_added_undone_and_cleared(page: Page, photographs: list[Path]) -> None:
    add(page, *photographs)
    tool(page, "Box")
    drag(page)
    finished(page, 1)
    page.get_by_role("button", name=re.compile("^mirrored.png, mask: ")).click()
    tool(page, "Paint")
    drag(page)
    finished(page, 2)
    expect(page.locator(".is-example")).to_have_count(2)
    tool(page, "Not this")
    left, top, right, _ = positions(page)
    page.mouse.move(left, top - 60)
    page.mouse.down()
    page.mouse.move(right, top - 60, steps=3)
    page.mouse.up()
    finished(page, 2)
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    finished(page, 1)
    page.get_by_role("button", name=re.compile(r"^left.png, mask: .*open$")).click()
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".is-example")).to_have_count(0)
    expect(page.get_by_role("button", name="Download")).to_be_disabled()
    page.get_by_role("button", name="Remove left.png").click()
    expect(page.locator("#tiles li")).to_have_count(2)


def test_the_keyboard_is_enough(page: Page, photographs: list[Path]) -> None:
    add(page, *photographs[:2])
    page.keyboard.press("b")
    page.locator("#stage canvas").focus()
    for _ in range(8):
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    for _ in range(14):
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    finished(page, 1)
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "3px"


def test_files_that_are_no_images_are_reported_and_the_others_are_used(page: Page, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not an image", encoding="utf-8")
    (tmp_path / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>", encoding="utf-8")
    Image.new("RGB", (8, 300)).save(tmp_path / "thin.png")
    Image.new("RGB", (64, 48), "teal").save(tmp_path / "image.png")
    add(page, *sorted(tmp_path.iterdir()))
    expect(page.locator("#tiles li")).to_have_count(1)
    messages = page.locator("#errors").inner_text()
    for name in ("empty.jpg: empty", "text.jpg: not an image", "drawing.svg: an SVG", "thin.png: 8 x 300"):
        assert name in messages
    page.get_by_role("button", name="Dismiss").click()
    expect(page.locator("#errors")).to_be_empty()


def test_a_large_turned_photograph_gets_an_upright_mask_of_its_full_size(page: Page, tmp_path: Path) -> None:
    image = Image.new("RGB", (2400, 1800), (70, 120, 60))
    ImageDraw.Draw(image).rectangle((1300, 300, 2100, 900), fill=(220, 60, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees: 1800 x 2400
    image.save(tmp_path / "turned.jpg", exif=exif, quality=92)
    add(page, tmp_path / "turned.jpg")
    tool(page, "Click")
    box = page.locator("#stage canvas").bounding_box()
    assert box is not None
    assert box["height"] > box["width"]
    page.mouse.click(box["x"] + box["width"] * (1 - 600 / 1800), box["y"] + box["height"] * 1700 / 2400)
    expect(page.locator("#rest-title")).to_have_text("1 mask")
    mask = np.array(saved_masks(page)["turned.mask.png"]) > 0
    assert mask.shape == (2400, 1800)
    assert min(mask.shape) > LARGEST
    truth = np.zeros_like(mask)
    truth[1300:2101, 1800 - 900 : 1800 - 300] = True
    assert (mask & truth).sum() / (mask | truth).sum() > 0.7


@pytest.mark.parametrize("size", [(1280, 720), (820, 1180), (390, 844)], ids=["desktop", "tablet", "telephone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out(page: Page, tmp_path: Path, size: tuple[int, int], scheme: str) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.emulate_media(color_scheme=scheme)
    wide = "document.documentElement.scrollWidth <= innerWidth"
    assert page.evaluate(wide)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", paper))) < 60) == (scheme == "dark")
    Image.new("RGB", (64, 48), "teal").save(tmp_path / "image.png")
    page.set_input_files("#files", tmp_path / "image.png")
    expect(page.locator("#example")).to_be_visible()
    assert page.evaluate(wide)


def test_the_documentation_opens_the_page(chromium: BrowserContext, address: str) -> None:
    page = chromium.new_page()
    page.goto(f"{address}/index.html")
    page.get_by_role("link", name="Try it in the browser").first.click()
    expect(page.get_by_role("button", name="Choose images")).to_be_visible()
    expect(page.locator("#not-started")).to_have_count(0)
    page.close()
