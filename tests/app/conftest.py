"""Fixtures: servers of the app, Debian's Chromium, and a folder for screenshots, `build/app`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Playwright, expect, sync_playwright

from app.pages import settled
from support.coin_photos import write_coin_photos

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "build/app"
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip

expect.set_options(timeout=60_000)


@dataclass
class Server:
    """`likewise app` in a process of its own."""

    photos: Path | None
    project: Path
    port: int = 0
    process: subprocess.Popen[str] | None = field(default=None, repr=False)
    link: str = ""

    def start(self) -> str:
        """Start, also again on the same port; return the address."""
        command = [sys.executable, "-m", "likewise", "app", "--no-browser", "--project", str(self.project)]
        command += [str(self.photos)] if self.photos else []
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=self.project.parent,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"(http://127\.0\.0\.1:(\d+))/\?token=\S+", line):
                self.link, self.port = found.group(), int(found.group(2))
                return found.group(1)
        pytest.fail("the server printed no link")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        """Kill with SIGKILL."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a server on a folder of photographs."""
    servers: list[Server] = []

    def start(photos: Path | None) -> Server:
        server = Server(photos, tmp_path / f"project-{len(servers)}")
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        if server.process and server.process.poll() is None:
            server.kill()


@pytest.fixture
def chromium(playwright: Playwright, tmp_path: Path) -> Iterator[BrowserContext]:
    """A Chromium with a new, empty profile; scripts of its pages must not fail."""
    context = playwright.chromium.launch_persistent_context(
        tmp_path / "profile",
        executable_path=CHROMIUM,
        args=list(ARGUMENTS),
        viewport={"width": 1280, "height": 720},
        color_scheme="light",
        accept_downloads=True,
    )
    failures: list[str] = []
    context.on("weberror", lambda failure: failures.append(failure.error.stack or str(failure.error)))
    yield context
    context.close()
    assert failures == []


@pytest.fixture
def open_page(chromium: BrowserContext) -> Callable[[Server], Page]:
    """Open a server's page with the link that it printed."""

    def open_link(server: Server) -> Page:
        page = chromium.new_page()
        page.goto(server.link)
        expect(page.locator("body")).to_have_attribute("data-screen", re.compile("."))
        return page

    return open_link


@pytest.fixture
def open_wall(serve: Callable[[Path], Server], open_page: Callable[[Server], Page]) -> Callable[[Path, int], Page]:
    """Open a folder in a server of its own, and wait until the wall has its number of images and nothing runs."""

    def open_folder(photos: Path, number: int) -> Page:
        page = open_page(serve(photos))
        expect(page.locator(".tile").first).to_have_attribute("aria-setsize", str(number))
        settled(page)
        return page

    return open_folder


@pytest.fixture(scope="session")
def coin_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 photographs, most of them of coins."""
    folder = tmp_path_factory.mktemp("coins") / "coins"
    write_coin_photos(folder)
    return folder


@pytest.fixture
def shoot(request: pytest.FixtureRequest) -> Callable[[Page, str], None]:
    """Keep a screenshot in `build/app`."""
    SHOTS.mkdir(parents=True, exist_ok=True)

    def keep(page: Page, name: str) -> None:
        page.screenshot(path=SHOTS / f"{name}.png")

    return keep
