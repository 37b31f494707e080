"""What the tests of the app do on its page."""

from __future__ import annotations

import re
from typing import Literal

from playwright.sync_api import Locator, Page, expect

MARGIN = 12
"""Space around the fitted image, as in stage.js."""


def settled(page: Page, timeout: float = 120_000) -> None:
    """Wait until nothing runs."""
    expect(page.locator("footer.status .progress")).to_be_hidden(timeout=timeout)


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


def area(page: Page) -> float:
    """The share of the image that the chosen class has in the editor, in percent."""
    text = page.locator(".class[aria-checked=true] .count").last.inner_text()
    found = re.search(r"([\d.]+)%", text)
    return float(found.group(1)) if found else 0.0


def counts(page: Page) -> dict[str, int]:
    """The counts of the project, from the server."""
    return page.evaluate("fetch('/api/project').then((answer) => answer.json()).then(({ counts }) => counts)")
