"""Kills of a project that is written: what a person accepted is there, whole, and can be undone."""

import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest

from likewise.app.masks import MaskFiles
from likewise.app.project import Project
from support.app_client import write_photos

KILLS = int(os.environ.get("LIKEWISE_KILLS", "5"))
"""Times that the process is killed."""

WRITE = """
import sys
import numpy as np
from pathlib import Path
from likewise.app.project import Project

project = Project(Path(sys.argv[1]))
project.scan()
if not project.classes:
    project.add_class("disc")
generator = np.random.default_rng(int(sys.argv[2]))
print("ready", flush=True)
while True:
    id = int(generator.integers(1, 4))
    labels = (generator.random((120, 160)) < 0.01).astype(np.uint8)
    print("accepting", id, flush=True)
    project.accept(id, labels, "edited", example=True)
    print("accepted", id, project.decision(id).mask, flush=True)
"""

pytestmark = pytest.mark.slow


def test_nothing_accepted_is_lost_when_a_write_is_killed(tmp_path):
    write_photos(tmp_path / "photos", 3)
    accepted: dict[int, str] = {}
    writes = 0
    for kill in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITE, tmp_path / "photos", str(kill)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        chance = random.Random(kill)
        lines = [process.stdout.readline() for _ in range(chance.randint(1, 8))]
        time.sleep(chance.uniform(0, 0.03))
        process.kill()
        under_way = None
        for line in [*lines, *process.stdout]:
            if not line.endswith("\n"):
                break
            word, id, *mask = line.split()
            under_way = int(id) if word == "accepting" else None
            if mask:
                accepted[int(id)] = mask[0]
                writes += 1
        process.wait()
        project = Project(tmp_path / "photos")
        for id, name in accepted.items():
            found = project.decision(id)
            assert found.mask == name or id == under_way, f"kill {kill}"
            assert found.mask is not None
            assert np.array_equal(project.mask(id), MaskFiles(project.masks.folder).get(found.mask))
            accepted[id] = found.mask
        states = project.store.states()
        while project.store.undo():
            pass
        assert project.store.states() == {}
        while project.store.redo():
            pass
        assert project.store.states() == states
        project.close()
    assert writes > 0
