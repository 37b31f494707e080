"""What the container file starts, without a container: its command, its health check and the files that it copies."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from likewise import Example, FewShot
from support.fakes import noise

pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()


def arguments(start: str) -> list[str]:
    """Return the command of the last instruction that starts so."""
    (*_, line) = (line for line in LINES if line.startswith(start))
    return json.loads(line[line.index("[") :])


def test_its_files_exist_and_its_user_is_not_root():
    copied = [
        name for line in LINES if line.startswith("COPY ") and "--from" not in line for name in line.split()[1:-1]
    ]
    assert copied
    assert all((ROOT / name).exists() for name in copied)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {f"!{name}" for name in copied} <= set(ignored)
    (user,) = (line.split()[1] for line in LINES if line.startswith("USER "))
    assert int(user.partition(":")[0]) > 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="stops the server by SIGTERM")
def test_its_command_serves_and_its_health_check_succeeds(tmp_path):
    mask = np.zeros((60, 80), bool)
    mask[20:50, 20:60] = True
    FewShot().learn(Example(noise(0), mask=mask)).save(tmp_path / "job.concept")
    program, *given = arguments("ENTRYPOINT") + arguments("CMD")
    assert program == "likewise"
    command = [value.replace("/concept/", f"{tmp_path}/") for value in given] + ["--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "LIKEWISE_SERVE_TOKEN": "sixteen letters or more"}
    server = subprocess.Popen(
        [sys.executable, "-m", "likewise", *command], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        port = re.search(r":(\d+)/segment", server.stdout.readline())[1]
        check = [value.replace(":8790", f":{port}") for value in arguments("HEALTHCHECK")]
        assert subprocess.run([sys.executable, *check[1:]], check=False).returncode == 0
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) in (0, -signal.SIGTERM)
        assert subprocess.run([sys.executable, *check[1:]], check=False, capture_output=True).returncode == 1
    finally:
        server.kill()
        server.communicate()
