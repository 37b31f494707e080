"""Fixtures: a Label Studio on loopback, backends of likewise, and Debian's Chromium."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from support.coin_photos import write_coin_photos

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "build/label-studio-shots"
PROGRAM = ROOT / "build/label-studio/bin/label-studio"
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
EMAIL, PASSWORD, LEGACY = "someone@example.com", "a-password-of-a-test", "0123456789abcdef0123456789abcdef01234567"
TOKEN = "a-token-of-some-length"
SECONDS = 600
"""Seconds that anything may take."""

expect.set_options(timeout=90_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker("integration")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def until(found: Callable[[], Any], what: str) -> Any:
    """Return what `found` returns, when it is not false."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.3)
    pytest.fail(f"{what}: not after {SECONDS} seconds")


@dataclass
class Studio:
    """Label Studio in a process of its own."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    access_token: str = field(default="", repr=False)
    """Of the kind that accounts have by default."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        (self.folder / "files").mkdir(parents=True)
        environment = {
            **os.environ,
            "ML_BLOCK_LOCAL_IP": "false",
            "SSRF_PROTECTION_ENABLED": "false",
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(self.folder / "files"),
            "COLLECT_ANALYTICS": "false",
            "LATEST_VERSION_CHECK": "false",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
        }
        environment.pop("PYTHONPATH", None)
        options = [
            "--no-browser",
            "--internal-host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--enable-legacy-api-token",
        ]
        account = ["--username", EMAIL, "--password", PASSWORD, "--user-token", LEGACY]
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "start", "--data-dir", str(self.folder / "data"), *options, *account],
                env=environment,
                stdout=log,
                stderr=log,
            )
        until(self.answers, "Label Studio")
        self.access_token = str(self.call("POST", "/api/token/", {})["token"])

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            return bool(self.call("GET", "/api/version"))
        except OSError:
            return False

    def call(self, method: str, path: str, body: Any = None, type: str = "application/json") -> Any:
        """Return the answer of the API; the body is JSON, or bytes of another type."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Token {LEGACY}", "Content-Type": type}
        request = urllib.request.Request(self.address + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            error.add_note(error.read().decode(errors="replace")[:2000])
            raise
        return json.loads(content) if content else None

    def upload(self, project: int, path: Path) -> None:
        edge = "edge-of-a-part"
        head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n'
        body = f"{head}Content-Type: image/jpeg\r\n\r\n".encode() + path.read_bytes() + f"\r\n--{edge}--\r\n".encode()
        self.call("POST", f"/api/projects/{project}/import", body, f"multipart/form-data; boundary={edge}")

    def tasks(self, project: int) -> list[dict[str, Any]]:
        return list(self.call("GET", f"/api/tasks?project={project}&fields=all&page=1&page_size=100")["tasks"])

    def predict_all(self, project: int) -> None:
        """Press "Retrieve predictions" for all tasks."""
        address = f"/api/dm/actions?id=retrieve_tasks_predictions&project={project}"
        self.call("POST", address, {"selectedItems": {"all": True, "excluded": []}})

    def annotate(self, task: int, results: list[dict[str, Any]]) -> int:
        return int(self.call("POST", f"/api/tasks/{task}/annotations/", {"result": results, "lead_time": 1})["id"])

    def connect(self, project: int, backend: Backend) -> int:
        body = {"project": project, "url": backend.address, "title": "likewise", "is_interactive": True}
        return int(self.call("POST", "/api/ml/", body)["id"])


@dataclass
class Backend:
    """`likewise serve label-studio` in a process of its own."""

    folder: Path
    studio: Studio
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/{TOKEN}"

    def start(self) -> None:
        """Start, also again on the same port."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "src"),
            "LIKEWISE_SERVE_TOKEN": TOKEN,
            "LABEL_STUDIO_API_KEY": self.studio.access_token,
        }
        options = ["--label-studio", self.studio.address, "--local-files", str(self.studio.folder / "files")]
        command = [sys.executable, "-m", "likewise", "serve", "label-studio", str(self.folder), *options]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert re.search(r"http://127\.0\.0\.1:\d+/TOKEN", self.process.stdout.readline())

    def call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return json.loads(answer.read())

    def version(self, project: dict[str, Any]) -> str:
        """Return the version of a project when nothing is left to learn."""
        until(lambda: self.call("GET", "/health")["learning"] == 0, "learning")
        return str(self.call("GET", f"/versions?project={self.name(project)}")["versions"][0])

    @staticmethod
    def name(project: dict[str, Any]) -> str:
        from likewise.serve.label_studio.records import project_id

        return project_id(project)

    def kill(self) -> None:
        """Kill with SIGKILL."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    if not PROGRAM.exists():
        pytest.fail(f"{PROGRAM} is missing; run `make test-integration`")
    studio = Studio(tmp_path_factory.mktemp("studio"))
    studio.start()
    yield studio
    assert studio.process is not None
    studio.process.terminate()
    studio.process.wait()


@pytest.fixture
def backend(studio: Studio, tmp_path: Path) -> Iterator[Backend]:
    backend = Backend(tmp_path / "concepts", studio)
    backend.start()
    yield backend
    backend.kill()


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of photographs, most of them of coins, and of masks of the coins."""
    folder = tmp_path_factory.mktemp("coins")
    write_coin_photos(folder / "photos", 8, masks=folder / "masks")
    return folder / "photos", folder / "masks"


@pytest.fixture
def page(studio: Studio, tmp_path: Path) -> Iterator[Page]:
    """A page of Label Studio in a Chromium with a new profile, logged in."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch_persistent_context(
            tmp_path / "profile",
            executable_path=CHROMIUM,
            args=list(ARGUMENTS),
            viewport={"width": 1280, "height": 860},
        )
        chromium.set_default_timeout(90_000)
        page = chromium.new_page()
        page.goto(f"{studio.address}/user/login/")
        page.fill("input[name=email]", EMAIL)
        page.fill("input[name=password]", PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_url(lambda address: "login" not in address)
        yield page
        chromium.close()


@pytest.fixture
def shoot() -> Callable[[Page, str], None]:
    """Keep a screenshot in `build/label-studio-shots`."""
    SHOTS.mkdir(parents=True, exist_ok=True)

    def keep(page: Page, name: str) -> None:
        page.screenshot(path=SHOTS / f"{name}.png")

    return keep
