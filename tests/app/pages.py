"""What the tests of the app do on its page."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import pytest
from playwright.sync_api import Locator, Page, expect

T = TypeVar("T")

MARGIN = 12
"""Space around the fitted image, as in stage.js."""


def until(page: Page, read: Callable[[], T], holds: Callable[[T], bool], seconds: float = 60) -> T:
    """Read a value until something holds for it, and return it."""
    end = time.monotonic() + seconds
    while not holds(value := read()):
        if time.monotonic() > end:
            pytest.fail(f"after {seconds} seconds it is still {value}")
        page.wait_for_timeout(50)
    return value


def settled(page: Page, seconds: float = 120) -> None:
    """Wait until nothing runs, including what the page does not know of yet."""
    until(page, lambda: project(page)["progress"], lambda tasks: not any(tasks.values()), seconds)
    expect(page.locator("footer.status .progress")).to_be_hidden()


def painted(page: Page, least: int) -> None:
    """Wait until the wall shows some masks, and all that it asked for."""
    expect(page.locator(".tile:not([hidden]) canvas[data-painted]").nth(least - 1)).to_be_attached()
    expect(page.locator(".tile:not([hidden]) canvas[data-key]:not([data-painted])")).to_have_count(0)


def tile(page: Page, name: str) -> Locator:
    """The tile of an image, which is searched for."""
    page.get_by_role("searchbox").fill(name)
    expect(page.locator(".tile:not([hidden])")).to_have_count(1)
    return page.locator(".tile:not([hidden])").filter(has_text=name)


def open_image(page: Page, name: str) -> None:
    """Search for an image and open it in the editor."""
    tile(page, name).click()
    shows(page, name)


def show_wall(page: Page) -> None:
    """Go back to all images."""
    page.keyboard.press("Escape")
    page.get_by_role("searchbox").fill("")
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator(".tile:not([hidden])")).not_to_have_count(1)


def shows(page: Page, name: str) -> None:
    """Wait until the editor shows an image."""
    expect(page.locator(".editor h2")).to_have_text(name)
    expect(page.locator(".editor")).to_have_attribute("data-ready", name)


def point(page: Page, x: float, y: float) -> tuple[float, float]:
    """The position on screen of a position in the fitted image, both as shares of its sides."""
    box = page.locator(".stage canvas").bounding_box()
    assert box is not None
    width, height = page.evaluate("[...document.querySelector('.editor').dataset.size.split(' ')].map(Number)")
    zoom = min((box["width"] - 2 * MARGIN) / width, (box["height"] - 2 * MARGIN) / height)
    left = box["x"] + (box["width"] - width * zoom) / 2
    top = box["y"] + (box["height"] - height * zoom) / 2
    return left + x * width * zoom, top + y * height * zoom


def click(page: Page, x: float, y: float, button: Literal["left", "right"] = "left") -> None:
    """Click on the image and wait for the mask."""
    editor = page.locator(".editor")
    marks = int(editor.get_attribute("data-marks") or 0)
    page.mouse.click(*point(page, x, y), button=button)
    expect(editor).to_have_attribute("data-marks", str(marks + 1))


def drag(page: Page, *points: tuple[float, float]) -> None:
    """Drag over the image along some points."""
    page.mouse.move(*point(page, *points[0]))
    page.mouse.down()
    for each in points[1:]:
        page.mouse.move(*point(page, *each), steps=6)
    page.mouse.up()


def area(page: Page, above: float = -1, below: float = 101) -> float:
    """The share of the image that the chosen class has in the editor, in percent, once it is between two others."""

    def read() -> float:
        text = page.locator(".class[aria-checked=true] .count").last.inner_text()
        found = re.search(r"([\d.]+)%", text)
        return float(found.group(1)) if found else 0.0

    return until(page, read, lambda share: above < share < below)


def has_area(page: Page, share: float) -> None:
    """Wait until the chosen class has this share of the image, in percent."""
    area(page, share - 0.01, share + 0.01)


def project(page: Page) -> dict[str, Any]:
    """What the server says of the project."""
    return page.evaluate("fetch('/api/project').then((answer) => answer.json())")


def counts(page: Page) -> dict[str, int]:
    """The counts of the project, from the server."""
    return project(page)["counts"]


def ready(page: Page, name: str = ".") -> str:
    """Wait until the editor shows an image whose name matches, and return its name."""
    expect(page.locator(".editor")).to_have_attribute("data-ready", re.compile(name))
    return page.locator(".editor h2").inner_text()
