"""`likewise app` as a process: its link, its end, kills, and training."""

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx2
import numpy as np
import psutil
import pytest

from support.app_client import pixels, png, wait_until, write_photos

KILLS = int(os.environ.get("LIKEWISE_KILLS", "5"))
"""Times that the server is killed while it writes."""

pytestmark = pytest.mark.slow


@contextmanager
def server(*words, token=None, **environment):
    """Yield a started server: the process, its link, and a client with its token, of the project in `token`."""
    command = [sys.executable, "-m", "likewise", "app", *map(str, words), "--no-browser"]
    if "--port" not in command:
        command += ["--port", "0"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | environment
    )
    try:
        line = process.stdout.readline()
        link = re.search(r"http://\S+", line)
        assert link, line + process.stdout.read()
        base = link[0].partition("/?")[0]
        secret = ((token or Path(words[0]) / ".likewise-app") / "session").read_text()
        headers = {"authorization": f"Bearer {secret}"}
        with httpx2.Client(base_url=base, headers=headers, timeout=300, trust_env=False) as client:
            yield process, link[0], client
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_link_opens_the_page_and_the_end_is_clean(tmp_path):
    write_photos(tmp_path / "photos", 2)
    with server(tmp_path / "photos") as (process, link, client):
        browser = httpx2.Client(trust_env=False, timeout=60)
        assert browser.get(link, follow_redirects=False).status_code == 303
        assert browser.get(f"{client.base_url}/api/project").json()["name"] == "photos"
        wait_until(lambda: client.get("/api/project").json()["counts"]["all"] == 2)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_a_project_elsewhere_opens_its_folder_again(tmp_path):
    write_photos(tmp_path / "photos", 2)
    with server(tmp_path / "photos", "--project", tmp_path / "project", token=tmp_path / "project") as (_, _, client):
        wait_until(lambda: client.get("/api/project").json()["counts"]["all"] == 2)
    with server("--project", tmp_path / "project", token=tmp_path / "project") as (_, _, client):
        assert client.get("/api/project").json()["root"] == str(tmp_path / "photos")
    (tmp_path / "photos").rename(tmp_path / "moved")
    words = [sys.executable, "-m", "likewise", "app", "--project", tmp_path / "project", "--no-browser"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "photos" in done.stderr


def test_two_pages_follow_each_other(tmp_path):
    write_photos(tmp_path / "photos", 1)
    with server(tmp_path / "photos") as (_, _, client), client.stream("GET", "/api/events") as events:
        lines = events.iter_lines()
        next(lines)
        client.post("/api/classes", json={"name": "cat"})
        assert any("add class" in line for line, _ in zip(lines, range(200), strict=False))


def test_a_port_that_is_taken_is_named(tmp_path):
    write_photos(tmp_path / "photos", 1)
    with server(tmp_path / "photos") as (_, link, _):
        port = re.search(r":(\d+)/", link)[1]
        words = [sys.executable, "-m", "likewise", "app", tmp_path / "photos", "--port", port, "--no-browser"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert port in done.stderr


@pytest.mark.parametrize(
    ("words", "needed"), [(["--host", "0.0.0.0"], "LIKEWISE_APP_PASSWORD"), (["nowhere"], "nowhere")]
)
def test_a_wrong_call_says_what_is_needed(words, needed, tmp_path):
    command = [sys.executable, "-m", "likewise", "app", *words, "--no-browser"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert needed in done.stderr


def test_without_its_extra_the_app_names_it(tmp_path):
    code = (
        "import sys; sys.modules['fastapi'] = None\n"
        "from likewise.cli import main\nsys.argv = ['likewise', 'app']\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "likewise[app]" in done.stderr


def test_the_app_runs_without_torch(tmp_path):
    write_photos(tmp_path / "photos", 1)
    code = (
        "import sys\nfrom likewise.app.workspace import Workspace\nfrom likewise.app import server\n"
        "import pathlib\nopened = Workspace([pathlib.Path('photos')]).open_folder('photos')\n"
        "opened.close()\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_nothing_accepted_is_lost_when_the_server_is_killed_during_writes(tmp_path):
    """Each mask whose acceptance was answered is there after a kill at any time, and so are all before it."""
    masks = write_photos(tmp_path / "photos", 3)
    generator = np.random.default_rng(0)
    accepted: dict[int, np.ndarray] = {}
    sent: dict[int, np.ndarray] = {}
    writes = 0
    for kill in range(KILLS + 1):
        with server(tmp_path / "photos") as (process, _, client):
            wait_until(lambda client=client: client.get("/api/project").json()["counts"]["all"] == 3)
            if not client.get("/api/project").json()["classes"]:
                client.post("/api/classes", json={"name": "disc"})
            for id in sent:
                if np.array_equal(mask_of(client, id), sent[id]):  # stored, but the answer did not arrive
                    accepted |= sent
            for id, mask in accepted.items():
                np.testing.assert_array_equal(mask_of(client, id), mask)
            if kill == KILLS:
                break
            killer = subprocess.Popen(["sh", "-c", f"sleep {generator.uniform(0.05, 0.6):.3f}; kill -9 {process.pid}"])
            try:
                while True:
                    id = int(generator.integers(1, 4))
                    sent = {id: masks[id - 1] ^ (generator.random(masks[0].shape) < 0.01)}
                    client.put(f"/api/images/{id}/mask", content=png(sent[id])).raise_for_status()
                    accepted |= sent
                    writes += 1
            except httpx2.TransportError:
                killer.wait()
    print(f"{KILLS} kills, {writes} masks accepted")
    assert writes > 0


def mask_of(client, id: int) -> np.ndarray:
    return pixels(client.get(f"/api/images/{id}/mask").raise_for_status().content) > 0


STEPS = 4


def test_a_network_is_trained_stopped_killed_resumed_and_adopted(tmp_path):
    masks = write_photos(tmp_path / "photos", 10)
    with server(tmp_path / "photos") as (process, _, client):
        wait_until(lambda: client.get("/api/project").json()["counts"]["all"] == 10)
        client.post("/api/classes", json={"name": "disc"})
        assert client.post("/api/train", json={"iterations": STEPS}).status_code == 409
        for id, mask in enumerate(masks[:8], start=1):
            client.put(f"/api/images/{id}/mask", params={"as_example": id < 3}, content=png(mask)).raise_for_status()
        assert client.post("/api/train", json={"iterations": STEPS}).status_code == 202
        wait_for_step(client, 1)
        assert client.post("/api/train", json={"iterations": STEPS}).status_code == 409
        client.post("/api/train/stop")
        wait_until(lambda: client.get("/api/train").json()["state"] == "stopped")
        stopped = client.get("/api/train").json()
        assert stopped["resumes"]
        client.post("/api/train", json={"iterations": STEPS})
        wait_for_step(client, stopped["iteration"] + 1)
        trainer = psutil.Process(process.pid).children()
        process.kill()
    with server(tmp_path / "photos") as (_, _, client):
        assert not psutil.wait_procs(trainer, 10)[1]
        killed = client.get("/api/train").json()
        assert (killed["state"], killed["resumes"]) == ("stopped", True)
        client.post("/api/train", json={"iterations": STEPS})
        wait_until(lambda: client.get("/api/train").json()["state"] != "running", 900)
        done = client.get("/api/train").json()
        assert (done["state"], done["iteration"]) == ("done", STEPS), done["error"]
        assert [step for step, _ in done["curve"]] == list(range(1, STEPS + 1))
        assert done["curve"][: stopped["iteration"]] == stopped["curve"]
        assert client.post("/api/train/adopt", json={"adopt": True}).json()["adopted"]
        assert client.get("/api/images/10/mask?of=network&side=64").status_code == 200
        wait_until(lambda: client.get("/api/images/10").json()["presence"] in (None, 1.0))
        client.put("/api/images/9/mask", content=png(masks[8])).raise_for_status()
        assert not client.get("/api/train").json()["resumes"]
        assert not client.post("/api/train/adopt", json={"adopt": False}).json()["adopted"]


def wait_for_step(client, step: int) -> None:
    """Wait until training has done a step; it must not end before."""

    def reached() -> bool:
        now = client.get("/api/train").json()
        assert now["state"] == "running", now["error"]
        return now["iteration"] >= step

    wait_until(reached, 900)
