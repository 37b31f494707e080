"""What a person does while something loads, with the server's answers held back: not lost, and not done elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from app.pages import click, counts, open_image, painted, point, project, settled, shows, until

COIN = (0.53, 0.78)
"""A coin of photo-01.jpg."""
LIST = re.compile(r"/api/images\?")
MASK = re.compile(r"/select$")
DECISION = re.compile("/decision$")


@pytest.fixture
def page(open_wall: Callable[[Path, int], Page], coin_photos: Path) -> Page:
    return open_wall(coin_photos, 24)


@contextmanager
def held(
    page: Page, pattern: re.Pattern[str], method: str, number: int = 1, newest_first: bool = False
) -> Iterator[None]:
    """Hold back the answers to some requests; at the end there must be at least this number of them."""
    routes: list[Route] = []
    is_held = True

    def hold(route: Route) -> None:
        if is_held and route.request.method == method:
            routes.append(route)
        else:
            route.fallback()

    page.route(pattern, hold)
    yield
    until(page, lambda: len(routes), lambda asked: asked >= number)
    is_held = False
    for route in reversed(routes) if newest_first else routes:
        with page.expect_response(lambda answer, request=route.request: answer.request == request):
            route.continue_()


def home(page: Page) -> str:
    return re.sub(r"/(#.*)?$", "", page.url)


def call(page: Page, method: str, path: str, data: object = None) -> None:
    """Change the project as another tab does."""
    address = home(page)
    answer = page.request.fetch(f"{address}/api/{path}", method=method, data=data, headers={"origin": address})
    assert answer.ok, answer.text()


def marks(page: Page, number: int) -> None:
    expect(page.locator(".editor")).to_have_attribute("data-marks", str(number))


def open_first(page: Page) -> None:
    page.locator("#tile-0").click()
    shows(page, "photo-01.jpg")


def test_a_mark_that_is_under_way_survives_leaving_the_image(page: Page) -> None:
    open_first(page)
    with held(page, MASK, "POST"):
        page.mouse.click(*point(page, *COIN))
        page.keyboard.press("n")
        shows(page, "photo-02.jpg")
    page.keyboard.press("Shift+n")
    shows(page, "photo-01.jpg")
    marks(page, 1)


def test_accepting_waits_for_the_mark_that_is_under_way(page: Page) -> None:
    open_first(page)
    with held(page, MASK, "POST"):
        page.mouse.click(*point(page, *COIN))
        page.keyboard.press("a")
    shows(page, "photo-02.jpg")
    assert (counts(page)["edited"], counts(page)["examples"]) == (1, 1)


def test_undo_takes_back_the_mark_that_is_under_way_and_no_decision(page: Page) -> None:
    open_first(page)
    page.keyboard.press("x")
    shows(page, "photo-02.jpg")
    with held(page, MASK, "POST"):
        page.mouse.click(*point(page, 0.5, 0.5))
        page.keyboard.press("Control+z")
    expect(page.get_by_role("button", name="Redo")).to_be_enabled()
    marks(page, 0)
    assert counts(page)["absent"] == 1


def test_two_first_marks_make_one_class(page: Page) -> None:
    open_first(page)
    with held(page, re.compile("/api/classes$"), "POST"):
        page.mouse.click(*point(page, *COIN))
        page.mouse.click(*point(page, COIN[0] + 0.01, COIN[1]))
    marks(page, 2)
    assert [each["name"] for each in project(page)["classes"]] == ["object"]


def test_marks_of_two_classes_do_not_replace_each_other(page: Page) -> None:
    for name in ("coin", "table"):
        call(page, "POST", "classes", {"name": name})
    expect(page.locator(".class")).to_have_count(4)
    open_first(page)
    with held(page, MASK, "POST", number=2):
        page.keyboard.press("1")
        page.mouse.click(*point(page, *COIN))
        page.keyboard.press("2")
        page.mouse.click(*point(page, 0.1, 0.1))
    marks(page, 2)
    for key in "12":
        page.keyboard.press(key)
        expect(page.locator(".class[aria-checked=true] .count").last).to_have_text(re.compile("%"))


def test_a_stroke_after_accepting_keeps_the_image_open(page: Page) -> None:
    open_first(page)
    click(page, *COIN)
    page.keyboard.press("p")
    with held(page, re.compile(r"/mask\?"), "PUT"):
        page.keyboard.press("a")
        page.mouse.click(*point(page, 0.2, 0.2))
    expect(page.locator(".editor .state")).to_have_text("Edited")
    expect(page.get_by_role("button", name="Undo")).to_be_enabled()
    shows(page, "photo-01.jpg")
    page.keyboard.press("a")
    shows(page, "photo-02.jpg")


def test_an_image_that_was_left_while_its_decision_was_saved_can_be_decided_again(page: Page) -> None:
    open_first(page)
    with held(page, DECISION, "POST"):
        page.keyboard.press("x")
        page.keyboard.press("n")
        shows(page, "photo-02.jpg")
    until(page, lambda: counts(page)["absent"], lambda absent: absent == 1)
    page.keyboard.press("Shift+n")
    shows(page, "photo-01.jpg")
    page.keyboard.press("x")
    shows(page, "photo-02.jpg")


def show_one(page: Page) -> None:
    """Make photo-01.jpg an example, and wait for the mask of photo-02.jpg."""
    open_first(page)
    click(page, *COIN)
    page.keyboard.press("a")
    shows(page, "photo-02.jpg")
    settled(page)
    expect(page.locator(".class[aria-checked=true] .count").last).to_have_text(re.compile("%"))
    shows(page, "photo-02.jpg")


def empty_masks(page: Page) -> None:
    """Replace all computed masks by empty ones: another tab takes out the only example."""
    before = project(page)["answered"]
    id = page.request.get(f"{home(page)}/api/images?filter=examples").json()["items"][0]["id"]
    call(page, "DELETE", f"images/{id}/example")
    until(page, lambda: project(page)["answered"], lambda answered: answered > before)


def test_a_mask_that_was_replaced_while_it_was_accepted_is_shown_first(page: Page) -> None:
    show_one(page)
    id = page.url.split("/")[-1]
    with page.expect_response(re.compile(rf"/images/{id}/mask\?rev=[^&]*$")), held(page, DECISION, "POST"):
        page.keyboard.press("a")
        empty_masks(page)
    expect(page.locator(".note")).to_contain_text("photo-02.jpg: its mask has changed since it was shown")
    shows(page, "photo-02.jpg")
    assert counts(page)["accepted"] == 0
    page.keyboard.press("a")
    shows(page, "photo-03.jpg")
    assert counts(page)["accepted"] == 1


def test_masks_of_the_wall_that_were_replaced_while_they_were_accepted_stay_selected(page: Page) -> None:
    show_one(page)
    page.keyboard.press("Escape")
    tiles = [page.locator("#tile-1"), page.locator("#tile-2")]
    painted(page, 3)
    for tile in tiles:
        tile.click(modifiers=["Control"])
    shown = [tile.locator("canvas").get_attribute("data-painted") or "" for tile in tiles]
    with held(page, DECISION, "POST"):
        page.keyboard.press("a")
        empty_masks(page)
    expect(page.locator(".note")).to_contain_text("2 masks have changed since shown")
    for tile, before in zip(tiles, shown, strict=True):
        expect(tile.locator("canvas")).not_to_have_attribute("data-painted", before)
        expect(tile).to_have_attribute("aria-selected", "true")
    assert counts(page)["accepted"] == 0
    page.keyboard.press("a")
    for tile in tiles:
        expect(tile).to_have_attribute("data-status", "accepted")
        expect(tile).to_have_attribute("aria-selected", "false")


def test_a_step_waits_until_the_order_is_loaded(page: Page) -> None:
    open_image(page, "photo-09.jpg")
    page.keyboard.press("Escape")
    page.get_by_role("searchbox").fill("")
    expect(page.locator("#tile-0")).to_contain_text("photo-01.jpg")
    expect(page.locator("#tile-1")).to_be_visible()
    with held(page, LIST, "GET"):
        page.locator("#tile-0").click()
        expect(page.locator(".editor")).to_be_visible()
        page.keyboard.press("n")
    shows(page, "photo-02.jpg")


def test_the_image_that_was_opened_last_is_shown(page: Page) -> None:
    with held(page, LIST, "GET", number=2, newest_first=True):
        page.locator("#tile-0").click()
        page.keyboard.press("Escape")
        page.locator("#tile-2").click()
        expect(page.locator(".editor")).to_be_visible()
    shows(page, "photo-03.jpg")
    page.keyboard.press("x")
    shows(page, "photo-04.jpg")


def test_keys_after_a_search_are_for_what_it_finds(page: Page) -> None:
    page.get_by_role("searchbox").fill("photo-06")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    shows(page, "photo-06.jpg")


def test_escape_empties_the_search_and_shows_all_images(page: Page) -> None:
    page.get_by_role("searchbox").fill("photo-06")
    expect(page.locator(".tile:not([hidden])")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.get_by_role("searchbox")).to_have_value("")
    expect(page.locator("#tile-1")).to_be_visible()


def test_a_pressed_tile_keeps_its_image(page: Page) -> None:
    page.get_by_role("radio", name=re.compile("^To do")).click()
    expect(page.locator("#tile-0")).to_contain_text("photo-01.jpg")
    page.locator("#tile-0").hover()
    page.mouse.down()
    call(page, "POST", f"images/{page.locator('#tile-0').get_attribute('data-id')}/decision", {"decision": "absent"})
    expect(page.locator("#tile-1")).to_contain_text("photo-03.jpg")
    expect(page.locator(".first")).to_be_hidden()  # all tiles have moved
    page.mouse.up()
    shows(page, "photo-01.jpg")


def test_a_pressed_class_is_chosen_while_its_numbers_change(page: Page) -> None:
    for name in ("coin", "table"):
        call(page, "POST", "classes", {"name": name})
    table = page.locator(".panel .class", has_text="table").first
    table.hover()
    page.mouse.down()
    call(page, "PATCH", "project", {"settings": {"presence": 0.8}})
    expect(page.locator("details", has_text="Settings").locator("output")).to_have_text("80%")
    page.mouse.up()
    expect(table).to_be_checked()


def test_a_slider_keeps_steps_that_the_server_has_not_answered(page: Page) -> None:
    page.locator("summary", has_text="Settings").click()
    slider = page.locator("details", has_text="Settings").locator("input[type=range]")
    before = float(slider.input_value())
    with held(page, re.compile("/api/project$"), "PATCH"):
        slider.press("ArrowRight")
        call(page, "POST", "classes", {"name": "coin"})
        expect(page.locator(".class")).to_have_count(2)
        slider.press("ArrowRight")
    expected = pytest.approx(before + 0.1)
    until(page, lambda: project(page)["settings"]["presence"], lambda value: value == expected)
    assert float(slider.input_value()) == expected


def test_a_selection_that_is_made_during_a_decision_stays(page: Page) -> None:
    page.locator("#tile-0").click(modifiers=["Control"])
    with held(page, DECISION, "POST"):
        page.get_by_role("toolbar", name="Selected images").get_by_role("button", name="Absent").click()
        page.locator("#tile-3").click(modifiers=["Control"])
    expect(page.locator("#tile-0")).to_have_attribute("data-status", "absent")
    expect(page.locator("#tile-0")).to_have_attribute("aria-selected", "false")
    expect(page.locator("#tile-3")).to_have_attribute("aria-selected", "true")


def test_suggest_looks_at_the_selected_images_after_an_earlier_search(page: Page) -> None:
    asked: list[list[int] | None] = []

    def answer(route: Route) -> None:
        if route.request.method == "POST":
            asked.append(route.request.post_data_json["ids"])
        search = {"state": "done", "done": 1, "total": 1, "error": None, "proposals": [], "outsiders": []}
        route.fulfill(json=search)

    page.route(re.compile("/api/suggest$"), answer)
    for index in (1, 3):
        page.locator(f"#tile-{index}").click(modifiers=["Control"])
    ids = [int(page.locator(f"#tile-{index}").get_attribute("data-id") or 0) for index in (1, 3)]
    page.get_by_role("toolbar", name="Selected images").get_by_role("button", name="Suggest").click()
    expect(page.locator(".suggest [role=status]")).to_contain_text("No shared object")
    assert asked == [ids]
