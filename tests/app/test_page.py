"""The parts of the page, on photographs of coins: tools, keys, two tabs, messages, accessibility, layouts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Page, expect

from app.conftest import Server
from app.pages import area, click, counts, drag, has_area, open_image, point, settled, show_wall, shows, until

AXE = Path(__file__).parent / "node_modules/axe-core/axe.min.js"
SERIOUS = ("serious", "critical")
COIN = (0.53, 0.78)
"""A coin of photo-01.jpg."""


@pytest.fixture
def page(serve: Callable[[Path], Server], open_page: Callable[[Server], Page], coin_photos: Path) -> Page:
    page = open_page(serve(coin_photos))
    expect(page.locator(".tile").first).to_have_attribute("aria-setsize", "24")
    return page


def show_one(page: Page) -> None:
    """Accept the mask of one coin as the first example, and go back to the wall."""
    open_image(page, "photo-01.jpg")
    click(page, *COIN)
    page.keyboard.press("a")
    show_wall(page)
    expect(page.locator(".tile .presence").nth(2)).to_have_text(re.compile("%"), timeout=120_000)
    settled(page)


def violations(page: Page) -> list[str]:
    """What axe-core finds serious."""
    if not AXE.is_file():
        pytest.fail(f"{AXE} is missing; run `make test-app`, or `npm ci --prefix tests/app`")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document).then(({ violations }) => JSON.stringify(violations))")
    return [
        f"{each['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for each in json.loads(found)
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation(page: Page, scheme: str, shoot: Callable[[Page, str], None]) -> None:
    page.emulate_media(color_scheme=scheme)
    found = {"first": violations(page)}
    show_one(page)
    shoot(page, f"wall-{scheme}")
    found["wall"] = violations(page)
    for name, key in {"review": "r", "suggest": "s", "help": "?"}.items():
        page.keyboard.press(key)
        if name == "review":
            expect(page.locator(".editor")).to_have_attribute("data-ready", re.compile("."))
        if name == "suggest":
            expect(page.locator(".suggest .card").first).to_be_visible(timeout=120_000)
            expect(page.locator(".suggest progress")).to_be_hidden(timeout=120_000)
        if name == "help":
            expect(page.get_by_role("dialog")).to_be_visible()
        found[name] = violations(page)
        shoot(page, f"{name}-{scheme}")
        page.keyboard.press("Escape")
    open_image(page, "photo-02.jpg")
    found["editor"] = violations(page)
    shoot(page, f"editor-{scheme}")
    show_wall(page)
    page.get_by_role("button", name="Export").click()
    found["export"] = violations(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Change object").click()
    found["class"] = violations(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="open folder").click()
    found["open"] = violations(page)
    assert {name: each for name, each in found.items() if each} == {}


def test_each_tool_changes_the_mask_and_undo_takes_it_back(page: Page) -> None:
    open_image(page, "photo-01.jpg")
    click(page, *COIN)
    clicked = area(page, 1, 20)
    page.keyboard.press("p")
    drag(page, (0.1, 0.1), (0.5, 0.1), (0.9, 0.1))
    painted = area(page, clicked)
    page.keyboard.press("e")
    drag(page, (0.1, 0.1), (0.5, 0.1))
    erased = area(page, below=painted)
    page.keyboard.press("l")
    drag(page, (0.1, 0.2), (0.4, 0.2), (0.4, 0.5), (0.1, 0.5), (0.1, 0.2))
    area(page, erased + 5)
    for expected in (erased, painted, clicked, 0):
        page.keyboard.press("Control+z")
        has_area(page, expected)
    for expected in (clicked, painted):
        page.keyboard.press("Control+Shift+z")
        has_area(page, expected)
    page.keyboard.press("Delete")
    has_area(page, 0)
    page.keyboard.press("b")
    drag(page, (0.38, 0.55), (0.55, 0.75), (0.68, 0.97))
    expect(page.locator(".editor")).to_have_attribute("data-marks", "1")
    boxed = area(page, 1)
    page.keyboard.press("c")
    click(page, *COIN, button="right")
    area(page, below=boxed)


def test_the_keyboard_is_enough(page: Page) -> None:
    page.locator(".wall").focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    shows(page, "photo-01.jpg")
    page.locator(".stage canvas").focus()
    for key, times in {"ArrowRight": 1, "ArrowDown": 9}.items():
        for _ in range(times):
            page.keyboard.press(key)
    page.keyboard.press("Enter")
    expect(page.locator(".editor")).to_have_attribute("data-marks", "1")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "2px"
    page.keyboard.press("a")
    expect(page.locator(".editor h2")).to_have_text("photo-02.jpg")
    assert counts(page)["edited"] == 1
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    expect(page.locator(".tile[data-status=absent]")).to_have_count(1)
    page.keyboard.press("Control+z")
    expect(page.locator(".tile[data-status=absent]")).to_have_count(0)


def test_a_key_waits_until_the_list_is_loaded(page: Page) -> None:
    page.route(re.compile(r"/api/images\?"), lambda route: None)  # held back until it is taken away
    page.get_by_role("radio", name=re.compile("^To do")).click()
    page.locator(".wall").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tile.current .name")).to_have_text("Loading")
    page.keyboard.press("x")
    expect(page.locator("footer.status")).to_contain_text("0 of 24 images decided")
    page.unroute_all()
    expect(page.locator("footer.status")).to_contain_text("1 of 24 images decided")


def test_space_on_a_button_presses_it_and_does_not_pan(page: Page) -> None:
    open_image(page, "photo-01.jpg")
    page.get_by_role("radio", name="Outline").focus()
    page.keyboard.press(" ")
    expect(page.get_by_role("radio", name="Outline")).to_be_checked()


def test_a_second_tab_follows_the_first(page: Page, chromium: BrowserContext) -> None:
    second = chromium.new_page()
    second.goto(page.url)
    expect(second.locator(".tile").first).to_have_attribute("aria-setsize", "24")
    open_image(page, "photo-06.jpg")
    page.keyboard.press("x")
    expect(second.locator(".tile[data-status=absent]")).to_have_count(1)
    expect(second.locator("footer.status")).to_contain_text("1 of 24 images decided")


def test_an_unsaved_mask_survives_leaving_the_image(page: Page) -> None:
    page.locator(".tile").first.click()
    shows(page, "photo-01.jpg")
    click(page, *COIN)
    marked = area(page, 0)
    page.keyboard.press("n")
    shows(page, "photo-02.jpg")
    page.keyboard.press("Shift+n")
    shows(page, "photo-01.jpg")
    has_area(page, marked)


def test_wheel_and_hand_change_the_view(page: Page) -> None:
    open_image(page, "photo-01.jpg")
    before = page.locator(".zoom").inner_text()
    page.mouse.move(*point(page, 0.5, 0.5))
    page.mouse.wheel(0, -400)
    expect(page.locator(".zoom")).not_to_have_text(before)
    page.keyboard.press("0")
    expect(page.locator(".zoom")).to_have_text(before)


def test_dropped_files_join_and_what_is_no_image_is_reported(page: Page, tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), "teal").save(tmp_path / "new.png")
    content = list((tmp_path / "new.png").read_bytes())
    transfer = page.evaluate_handle(
        """(content) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(content)], "new.png", { type: "image/png" }));
            transfer.items.add(new File(["no image"], "text.jpg", { type: "image/jpeg" }));
            return transfer;
        }""",
        content,
    )
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    expect(page.locator(".problem")).to_contain_text("text.jpg")
    expect(page.locator(".tile").first).to_have_attribute("aria-setsize", "25")
    page.get_by_role("button", name="Dismiss").click()
    expect(page.locator(".problem")).to_have_count(0)


@pytest.mark.parametrize("size", [(1280, 720), (1024, 768), (820, 1180)], ids=["desktop", "tablet", "upright"])
def test_nothing_sticks_out(page: Page, size: tuple[int, int], shoot: Callable[[Page, str], None]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    sticks_out = (
        "document.documentElement.scrollWidth > innerWidth || document.documentElement.scrollHeight > innerHeight"
    )
    until(page, lambda: page.evaluate(sticks_out), lambda sticks: not sticks)
    shoot(page, f"wall-{size[0]}")
    open_image(page, "photo-01.jpg")
    until(page, lambda: page.evaluate(sticks_out), lambda sticks: not sticks)
    for name in ("Accept", "Absent here"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_in_viewport(ratio=1)
    shoot(page, f"editor-{size[0]}")


def test_without_a_folder_the_page_offers_those_of_this_machine(
    serve: Callable[[Path | None], Server], open_page: Callable[[Server], Page], shoot: Callable[[Page, str], None]
) -> None:
    page = open_page(serve(None))
    expect(page.get_by_role("heading", name="Show it one; it segments the rest.")).to_be_visible()
    expect(page.locator(".folders li")).not_to_have_count(0)
    shoot(page, "welcome")
    assert violations(page) == []
