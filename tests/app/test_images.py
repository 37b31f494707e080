"""The images of the documentation: the loop as an animation below 3 MB, and three screens.

They are written to build/app, and with LIKEWISE_APP_DOCS=1 to docs.
"""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Page, expect

from app.conftest import ROOT, SHOTS, Server
from app.pages import click, painted, point, ready, settled, shows

WIDTH = 880
LARGEST = 3 << 20
"""Bytes of the animation."""
ARROW = ((0, 0), (0, 19), (5, 15), (9, 23), (12, 21), (8, 14), (14, 14))
COIN = (0.53, 0.78)
"""A coin of photo-01.jpg."""


class Film:
    """Screenshots with a pointer and the key that is pressed, as frames of an animation."""

    def __init__(self, page: Page) -> None:
        self.page, self.pointer = page, (640.0, 420.0)
        self.frames: list[Image.Image] = []
        self.durations: list[int] = []

    def shoot(self, milliseconds: int, key: str = "", pressed: bool = False) -> None:
        frame = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        draw = ImageDraw.Draw(frame, "RGBA")
        x, y = self.pointer
        if pressed:
            draw.ellipse((x - 15, y - 15, x + 15, y + 15), fill=(238, 51, 119, 90))
        arrow = [(x + dx, y + dy) for dx, dy in ARROW]
        draw.polygon(arrow, fill=(20, 26, 24, 255), outline=(255, 255, 255, 255), width=2)
        if key:
            draw.rounded_rectangle(
                (30, 596, 98, 664), 14, fill=(20, 26, 24, 235), outline=(255, 255, 255, 255), width=3
            )
            draw.text((64, 630), key, fill="white", font=ImageFont.load_default(40), anchor="mm")
        self.frames.append(frame.resize((WIDTH, WIDTH * frame.height // frame.width), Image.Resampling.LANCZOS))
        self.durations.append(milliseconds)

    def move(self, x: float, y: float, steps: int = 5) -> None:
        self.page.mouse.move(x, y)
        x0, y0 = self.pointer
        for step in range(1, steps + 1):
            share = step / steps
            self.pointer = (x0 + (x - x0) * share, y0 + (y - y0) * share)
            self.shoot(70)

    def save(self, path: Path) -> None:
        first, *rest = self.frames
        first.save(
            path,
            save_all=True,
            append_images=rest,
            duration=self.durations,
            loop=0,
            quality=62,
            method=4,
            minimize_size=True,
        )


@pytest.fixture
def keep() -> Callable[[Path, str], None]:
    """Keep an image of build/app in docs, if asked to."""

    def copy(path: Path, name: str) -> None:
        if os.environ.get("LIKEWISE_APP_DOCS"):
            shutil.copy(path, ROOT / "docs" / name)

    return copy


def save_screen(page: Page, name: str) -> Path:
    """Save the screen as a small JPEG."""
    path = SHOTS / name
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(path, quality=88)
    return path


def test_the_loop_as_an_animation(
    serve: Callable[[Path], Server],
    open_page: Callable[[Server], Page],
    coin_photos: Path,
    keep: Callable[[Path, str], None],
) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page = open_page(serve(coin_photos))
    expect(page.locator(".tile.loaded").nth(14)).to_be_visible()
    settled(page)
    film = Film(page)
    film.shoot(1400)

    film.move(110, 260)
    film.shoot(300, pressed=True)
    page.locator(".tile").first.click()
    shows(page, "photo-01.jpg")
    film.shoot(500)
    film.move(*point(page, *COIN))
    click(page, *COIN)
    film.shoot(250, pressed=True)
    film.shoot(1400)
    keep(save_screen(page, "app-editor.jpg"), "app-editor.jpg")
    page.keyboard.press("a")
    film.shoot(700, key="A")
    page.keyboard.press("Escape")
    film.shoot(250)
    expect(page.locator(".tile .presence").nth(2)).to_have_text(re.compile("%"), timeout=120_000)
    settled(page)
    painted(page, 8)
    film.shoot(2600)
    keep(save_screen(page, "app-wall.jpg"), "app-wall.jpg")

    page.get_by_label("Sort by").select_option("review")
    painted(page, 4)
    film.shoot(1200)
    page.keyboard.press("r")
    name = ready(page)
    film.shoot(900)
    keep(save_screen(page, "app-review.jpg"), "app-review.jpg")
    for _ in range(5):
        key = "x" if "%" in (text := page.locator(".class .count").last.inner_text()) and float(text[:-1]) < 50 else "a"
        film.shoot(450, key=key.upper())
        page.keyboard.press(key)
        expect(page.locator(".editor h2")).not_to_have_text(name)
        name = ready(page)
        film.shoot(350)
    page.keyboard.press("Escape")
    settled(page)
    painted(page, 8)
    film.shoot(2600)

    path = SHOTS / "app.webp"
    film.save(path)
    assert path.stat().st_size < LARGEST
    keep(path, "app.webp")
