"""The whole story on 60 real photographs: from no label to an export, through a killed server."""

from __future__ import annotations

import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from pycocotools.coco import COCO
from scipy import ndimage

from app.conftest import Server
from app.pages import area, click, counts, drag, open_image, painted, ready, settled, show_wall, tile

COW = 10
"""Label of the cow in PASCAL VOC."""
WITH, IMAGES = 36, 60
"""Images that show a cow, and all images, at most."""


def masks_of(data: Path) -> dict[str, np.ndarray]:
    """The cow of each image that is used, empty where there is none."""
    shown: dict[str, np.ndarray] = {}
    others: dict[str, np.ndarray] = {}
    for path in sorted((data / "full/VOC2012/SegmentationClassAug").glob("*.png")):
        cow = np.asarray(Image.open(path)) == COW
        (shown if cow.any() else others)[path.stem] = cow
    chosen = dict(sorted(shown.items(), key=lambda item: -item[1].mean())[:WITH])
    return chosen | dict(list(others.items())[:: max(1, len(others) // (IMAGES - len(chosen)))][: IMAGES - len(chosen)])


@pytest.fixture(scope="module")
def cows(shared_data: Path) -> dict[str, np.ndarray]:
    if not (shared_data / "full/VOC2012").is_dir():
        pytest.skip(f"{shared_data}/full/VOC2012 is not there")
    return masks_of(shared_data)


@pytest.fixture(scope="module")
def photos(cows: dict[str, np.ndarray], shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("story") / "farm"
    folder.mkdir()
    for name in cows:
        shutil.copy(shared_data / f"full/VOC2012/JPEGImages/{name}.jpg", folder)
    return folder


def deepest(mask: np.ndarray) -> tuple[float, float]:
    """The position farthest from the mask's edge, as shares of the width and of the height."""
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(distance.argmax(), mask.shape)
    return (x + 0.5) / mask.shape[1], (y + 0.5) / mask.shape[0]


def test_the_whole_story(
    serve: Callable[[Path], Server],
    open_page: Callable[[Server], Page],
    shoot: Callable[[Page, str], None],
    photos: Path,
    cows: dict[str, np.ndarray],
) -> None:
    server = serve(photos)
    page = open_page(server)
    expect(page.locator(".tile").first).to_have_attribute("aria-setsize", str(len(cows)))
    settled(page)
    shoot(page, "1-wall")

    # one example: a click on the largest cow that is not all of its image
    sizes = {name: cow.mean() for name, cow in cows.items() if 0 < cow.mean() < 0.35}
    first, second = sorted(sizes, key=lambda name: -sizes[name])[:2]
    open_image(page, f"{first}.jpg")
    click(page, *deepest(cows[first]))
    area(page, 1)
    shoot(page, "2-first-example")
    page.keyboard.press("a")
    show_wall(page)

    # the masks of all others
    expect(page.locator(".tile .presence").first).to_have_text(re.compile(r"\d+%"), timeout=120_000)
    settled(page)
    painted(page, 4)
    shoot(page, "3-all-masks")
    found = page.evaluate("fetch('/api/images?filter=present').then((answer) => answer.json())")["total"]
    assert 5 < found < len(cows)
    page.get_by_role("radio", name=re.compile("^Found")).click()
    expect(page.locator(".tile").first).to_have_attribute("aria-setsize", str(found))
    page.get_by_role("radio", name=re.compile("^All")).click()

    # one image has no cow
    absent = next(name for name, cow in cows.items() if not cow.any())
    open_image(page, f"{absent}.jpg")
    shoot(page, "4-absent")
    page.keyboard.press("x")
    expect(page.locator(".editor .state")).to_have_text("Absent")
    page.keyboard.press("Escape")
    expect(tile(page, absent)).to_have_attribute("data-status", "absent")
    show_wall(page)
    settled(page)

    # one mask is corrected
    open_image(page, f"{second}.jpg")
    click(page, *deepest(cows[second]))
    page.keyboard.press("e")
    drag(page, (0.02, 0.03), (0.5, 0.03), (0.98, 0.03))
    shoot(page, "5-corrected")
    page.keyboard.press("a")
    page.keyboard.press("Escape")
    expect(tile(page, second)).to_have_attribute("data-status", "edited")
    show_wall(page)
    settled(page)
    assert counts(page)["edited"] == 2

    # accepted by keyboard
    page.keyboard.press("r")
    for index in range(3):
        name = ready(page)
        if index == 0:
            shoot(page, "6-review")
        page.keyboard.press("a")
        expect(page.locator(".editor h2")).not_to_have_text(name)
    page.keyboard.press("Escape")
    decided = counts(page)
    assert decided["accepted"] == 3
    assert decided["absent"] == 1

    # reload
    page.reload()
    expect(page.locator(".tile").first).to_be_visible()
    assert counts(page) == decided
    settled(page)

    # the server is killed and comes back
    server.kill()
    expect(page.locator(".offline")).to_be_visible()
    shoot(page, "7-offline")
    server.start()
    expect(page.locator(".offline")).to_be_hidden()
    assert counts(page) == decided
    settled(page)
    open_image(page, f"{second}.jpg")
    show_wall(page)

    check_export(page, decided, cows, shoot)


def check_export(
    page: Page, decided: dict[str, int], cows: dict[str, np.ndarray], shoot: Callable[[Page, str], None]
) -> None:
    """Export the decided images as COCO and read it with pycocotools."""
    page.get_by_role("button", name="Export").click()
    dialog = page.get_by_role("dialog")
    for box in dialog.get_by_role("checkbox").all():
        box.set_checked(box.get_attribute("value") == "coco")
    shoot(page, "8-export")
    with page.expect_download(timeout=120_000) as download:
        dialog.get_by_role("button", name="Export").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("coco.json")]
        content = json.loads(archive.read(name))
    coco = COCO()
    coco.dataset = content
    coco.createIndex()
    assert len(coco.getImgIds()) == decided["accepted"] + decided["edited"] + decided["absent"]
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == ["object"]
    listing = page.evaluate("fetch('/api/images?limit=1000').then((answer) => answer.json())")["items"]
    ids = {image["name"]: image["id"] for image in listing}
    for image in coco.loadImgs(coco.getImgIds()):
        own = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        exported = np.zeros((image["height"], image["width"]), bool)
        for annotation in own:
            exported |= coco.annToMask(annotation) > 0
        response = page.request.get(f"{page.url.split('/#')[0]}/api/images/{ids[image['file_name']]}/mask")
        assert np.array_equal(exported, np.asarray(Image.open(io.BytesIO(response.body()))) > 0)
        assert exported.shape == cows[Path(image["file_name"]).stem].shape
