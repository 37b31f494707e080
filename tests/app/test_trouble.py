"""What goes wrong around the page: damaged images, a folder that vanishes, a wrong path, a slow server."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from app.pages import area, click, drag, has_area, open_image, settled, shows
from support.coin_photos import write_coin_photos

COIN = (0.53, 0.78)
"""A coin of photo-01.jpg."""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_coin_photos(tmp_path / "coins")
    content = (tmp_path / "coins/photo-03.jpg").read_bytes()
    (tmp_path / "coins/cut off.jpg").write_bytes(content[: len(content) // 2])
    return tmp_path / "coins"


@pytest.fixture
def page(open_wall: Callable[[Path, int], Page], photos: Path) -> Page:
    return open_wall(photos, 25)


def test_a_damaged_image_says_why_in_place_of_the_tools(page: Page, shoot: Callable[[Page, str], None]) -> None:
    page.get_by_role("radio", name="Unreadable 1").click()
    page.locator(".tile:not([hidden])").first.click()
    expect(page.locator(".broken")).to_contain_text("cut off.jpg")
    expect(page.locator(".rail")).to_be_hidden()
    expect(page.get_by_role("button", name="Accept", exact=True)).to_be_disabled()
    shoot(page, "damaged")
    page.keyboard.press("Escape")
    page.get_by_role("radio", name="All").click()
    open_image(page, "photo-01.jpg")
    expect(page.locator(".broken")).to_be_hidden()
    expect(page.locator(".rail")).to_be_visible()


def test_a_click_on_a_tile_that_is_loading_opens_the_image_that_comes(page: Page) -> None:
    def delay(route: Route) -> None:
        page.wait_for_timeout(1000)
        route.continue_()

    page.route("**/api/images?*filter=unreadable*", delay)
    page.get_by_role("radio", name="Unreadable 1").click()
    page.locator("#tile-0").click()
    expect(page.locator(".broken")).to_contain_text("cut off.jpg")


def test_a_problem_is_above_the_dialog_and_goes_with_the_screen(page: Page) -> None:
    page.locator("summary", has_text="Settings").click()
    page.get_by_role("button", name="Add examples").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox").fill("/nowhere/at-all.json")
    dialog.get_by_role("button", name="Read annotations").click()
    expect(dialog.locator(".problem")).to_contain_text("/nowhere/at-all.json")
    page.keyboard.press("Escape")
    expect(page.locator(".problem")).to_be_visible()
    open_image(page, "photo-01.jpg")
    expect(page.locator(".problem")).to_have_count(0)


def test_a_folder_that_vanished_is_named_and_its_images_come_back(page: Page, photos: Path, tmp_path: Path) -> None:
    photos.rename(tmp_path / "away")
    page.locator("summary", has_text="Settings").click()
    page.get_by_role("button", name="Look for changes").click()
    expect(page.locator(".problem")).to_contain_text("not there any more")
    expect(page.locator(".tile").first).to_have_attribute("aria-setsize", "25")
    shutil.move(tmp_path / "away", photos)
    page.get_by_role("button", name="Look for changes").click()
    settled(page)
    open_image(page, "photo-05.jpg")


def test_a_stroke_that_is_drawn_while_the_mask_is_loaded_again_stays(page: Page) -> None:
    open_image(page, "photo-01.jpg")
    click(page, *COIN)
    page.keyboard.press("a")
    page.keyboard.press("Escape")
    settled(page)
    open_image(page, "photo-02.jpg")
    address, id = re.split("/?#/image/", page.url)
    held: list[Route] = []
    page.route(re.compile(rf"/api/images/{id}/mask\?rev=[^&]*$"), lambda route: held.append(route))
    with page.expect_request(re.compile(rf"/api/images/{id}/mask\?rev=[^&]*$"), timeout=120_000):
        page.request.patch(f"{address}/api/project", data={"settings": {"presence": 0.9}}, headers={"origin": address})
    page.keyboard.press("p")
    drag(page, (0.2, 0.2), (0.8, 0.2))
    drawn = area(page, 0)
    for route in held:
        route.continue_()
    shows(page, "photo-02.jpg")
    has_area(page, drawn)
