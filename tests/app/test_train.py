"""A network of your own, on real photographs: its live curve, a stop, a killed server, the comparison, adopting."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from app.conftest import Server
from app.pages import settled

COW = 10
MARKED, IMAGES = 9, 14
"""Images with an accepted mask, and all images."""
STEPS = 8
LONG = 1_500_000
"""Milliseconds that training may take on a busy machine."""


@pytest.fixture
def cows(shared_data: Path, tmp_path: Path) -> dict[str, np.ndarray]:
    """Photographs in `tmp_path / "cows"`, and where the cow is."""
    data = shared_data / "full/VOC2012"
    if not data.is_dir():
        pytest.skip(f"{data} is not there")
    (tmp_path / "cows").mkdir()
    found: dict[str, np.ndarray] = {}
    for path in sorted((data / "SegmentationClassAug").glob("*.png")):
        cow = np.asarray(Image.open(path)) == COW
        if cow.mean() > 0.05 and len(found) < IMAGES:
            found[f"{path.stem}.jpg"] = cow
            shutil.copy(data / f"JPEGImages/{path.stem}.jpg", tmp_path / "cows")
    return found


def mark(page: Page, masks: dict[str, np.ndarray]) -> None:
    """Accept masks, as a script would; the first two are examples."""
    address = page.url.split("/#")[0].rstrip("/")
    headers = {"origin": address}
    page.request.post(f"{address}/api/classes", data={"name": "cow"}, headers=headers)
    images = page.request.get(f"{address}/api/images").json()["items"]
    for number, image in enumerate(images[:MARKED]):
        content = io.BytesIO()
        Image.fromarray(masks[image["name"]].astype(np.uint8)).save(content, format="png")
        address_of = f"{address}/api/images/{image['id']}/mask?as_example={'true' if number < 2 else 'false'}"
        put = page.request.put(address_of, data=content.getvalue(), headers={**headers, "content-type": "image/png"})
        assert put.ok, put.text()


def test_a_network_is_trained_through_a_stop_and_a_kill_compared_and_adopted(
    serve: Callable[[Path], Server],
    open_page: Callable[[Server], Page],
    shoot: Callable[[Page, str], None],
    cows: dict[str, np.ndarray],
    tmp_path: Path,
) -> None:
    server = serve(tmp_path / "cows")
    page = open_page(server)
    expect(page.locator(".tile").first).to_have_attribute("aria-setsize", str(IMAGES))
    settled(page)
    mark(page, cows)
    settled(page)
    block = page.locator(".training")
    block.locator("summary").click()
    expect(block).to_contain_text(f"{MARKED} accepted images")
    block.get_by_role("spinbutton", name="Iterations").fill(str(STEPS))
    block.get_by_role("button", name="Train a network").click()

    # the curve is live; then a stop
    expect(block.locator("svg[role=img]")).to_be_visible(timeout=LONG)
    expect(page.locator("footer.status")).to_contain_text("Training")
    shoot(page, "train-1-curve")
    block.get_by_role("button", name="Stop").click()
    expect(block).to_have_attribute("data-state", "stopped")
    expect(block).to_contain_text("It resumes")
    shoot(page, "train-2-stopped")

    # it resumes, and the server is killed meanwhile
    block.get_by_role("button", name="Resume").click()
    expect(block).to_have_attribute("data-state", "running")
    server.kill()
    expect(page.locator(".offline")).to_be_visible()
    server.start()
    expect(page.locator(".offline")).to_be_hidden()
    expect(block.get_by_role("button", name="Resume")).to_be_visible()
    block.get_by_role("button", name="Resume").click()
    expect(block).to_have_attribute("data-state", "done", timeout=LONG)
    expect(block.locator("figcaption")).to_contain_text(f"at {STEPS}")

    # both answers, side by side
    block.get_by_role("button", name="Compare").click()
    pairs = page.get_by_role("dialog").locator(".pairs li")
    expect(pairs).to_have_count(IMAGES - MARKED)
    for of in ("concept", "network"):
        expect(pairs.locator(f"canvas[data-of={of}][data-painted]")).to_have_count(IMAGES - MARKED, timeout=LONG)
    shoot(page, "train-3-compare")
    page.keyboard.press("Escape")

    # the network answers, until the concept does again
    adopt = block.get_by_role("switch", name=re.compile("Use its answers"))
    adopt.set_checked(True, force=True)
    expect(page.locator(".tile .presence", has_text="100%").first).to_be_visible(timeout=LONG)
    settled(page)
    expect(adopt).to_be_checked()
    shoot(page, "train-4-adopted")
    page.reload()
    block.locator("summary").click()
    expect(adopt).to_be_checked()
    adopt.set_checked(False, force=True)
    expect(adopt).not_to_be_checked()
