"""A network trained on the accepted images, by `likewise train mcibi` in a process of its own."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from likewise.app.masks import encode_png
from likewise.app.network import last_trained
from likewise.app.photos import TRAINING, ConflictError
from likewise.app.project import ImageClass, Project
from likewise.errors import MissingExtraError

NEEDED = 8
"""Decided images from which on a network is trained; fewer are left to the examples."""
CHECKPOINTS, CHECKPOINT_EVERY = 8, 10
"""Checkpoints of a run at least, and steps between two at most: what a stop or a kill loses."""
TIMED = 20
"""Last steps whose time tells how long the others take."""
KEEP_EVERY, KEEP_FROM = 5, 20
"""Every n-th image is kept for validation, from this number of images on."""
CURVE = 200
"""Points of the curve that are sent."""
EVERY = 1.0
"""Seconds between two looks at the log."""


class Training:
    """The network of a project: its data, its run and how far that is.

    Attributes:
        progress: steps done and all steps; None if it does not run.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._lock = threading.Lock()
        self.error: str | None = None
        self.progress: tuple[int, int] | None = None
        _end_orphan(self.project.store.setting("training process"))

    @property
    def why_not(self) -> str | None:
        """Why no network can be trained; None if one can."""
        lacking = [name for name in ("torch", "timm", "lightning_fabric", "tensorboard") if find_spec(name) is None]
        if lacking:
            return (
                f"training needs packages that are not installed, such as {lacking[0]}: pip install 'likewise[train]'"
            )
        return None

    @property
    def run(self) -> Path | None:
        """Folder of the last run."""
        name = self.project.store.setting("training run")
        return self.project.folder / TRAINING / name if name else None

    @property
    def state(self) -> str:
        """ "idle", "running", "stopped", "done" or "failed"."""
        if self._process is not None:
            return "running"
        run = self.run
        if run is None or not run.is_dir():
            return "idle"
        if (run / "record.json").is_file():
            return "done"
        return "failed" if self.error else "stopped"

    def images(self) -> list[int]:
        """Return the ids of images that a network would learn from."""
        there = {photo.id for photo in self.project.present() if not photo.error}
        return sorted(id for id, decision in self.project.decisions.items() if decision.status != "new" and id in there)

    def start(self, iterations: int) -> None:
        """Start training on the images that are accepted now, or resume it if these and `iterations` are the same.

        Raises:
            MissingExtraError: torch is not installed.
            ConflictError: it is running, or too few images are accepted.
        """
        if self.why_not:
            raise MissingExtraError(self.why_not)
        ids, classes = self.images(), self._classes()
        if len(ids) < NEEDED or not classes:
            raise ConflictError(f"{len(ids)} images are accepted; a network needs {NEEDED}, with a class")
        with self._lock:
            if self._process is not None:
                raise ConflictError("a network is being trained; wait for it, or stop it")
            digest = self._digest()
            name = f"{digest}-{iterations}"
            self._drop_others(digest)
            data = self.project.folder / TRAINING / f"{digest}-data"
            if not (data / "complete").is_file():
                self._write_data(data, ids, [one.id for one in classes])
            self.project.store.set_setting("training run", name)
            self.project.store.set_setting("training classes", [one.id for one in classes])
            run = self.project.folder / TRAINING / name
            run.mkdir(parents=True, exist_ok=True)
            words = {
                "data.root": str(data),
                "data.classes": json.dumps(["background", *(one.name for one in classes)]),
                "data.keep_every": KEEP_EVERY if len(ids) >= KEEP_FROM else "null",
                "steps": iterations,
                "validation.every": max(1, iterations // 8),
                "checkpoint_every": max(1, min(CHECKPOINT_EVERY, iterations // CHECKPOINTS)),
            }
            command = [sys.executable, "-m", "likewise", "train", "mcibi", "-o", str(run)]
            command += [f"{key}={value}" for key, value in words.items()]
            self.error, self._stopping = None, False
            with (run / "output.txt").open("wb") as log:
                self._process = subprocess.Popen(
                    command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
                )
            born = psutil.Process(self._process.pid).create_time()
            self.project.store.set_setting("training process", [self._process.pid, born])
            self.progress = 0, iterations
        threading.Thread(target=self._watch, args=(self._process, run, iterations), daemon=True).start()

    def _classes(self) -> list[ImageClass]:
        return sorted(self.project.classes.values(), key=lambda one: one.id)

    def _digest(self) -> str:
        """Return a text that changes with what a network would learn from."""
        decided = [(id, self.project.decision(id).mask) for id in self.images()]
        content = json.dumps([decided, [(one.id, one.name) for one in self._classes()]])
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    def _drop_others(self, digest: str) -> None:
        """Delete runs and their images, except those of these images, and the network that answers."""
        adopted = (self.project.settings.get("network") or {}).get("run", "")
        folder = self.project.folder / TRAINING
        for entry in folder.iterdir() if folder.is_dir() else ():
            if not entry.name.startswith(digest) and entry.name != adopted:
                shutil.rmtree(entry, ignore_errors=True)

    def _write_data(self, data: Path, ids: list[int], classes: list[int]) -> None:
        shutil.rmtree(data, ignore_errors=True)
        (data / "images").mkdir(parents=True)
        (data / "labels").mkdir()
        table = np.zeros(256, np.uint8)
        table[classes] = np.arange(1, len(classes) + 1)
        for id in ids:
            path = self.project.path(self.project.photo(id))
            labels = self.project.mask(id)
            assert labels is not None
            shutil.copyfile(path, data / "images" / f"{id}{path.suffix.lower()}")
            (data / "labels" / f"{id}.png").write_bytes(encode_png(table[labels]))
        (data / "complete").touch()  # last: a server that is killed before writes all again

    def _watch(self, process: subprocess.Popen[bytes], run: Path, iterations: int) -> None:
        sent = -1
        while True:
            try:
                code: int | None = process.wait(EVERY)
            except subprocess.TimeoutExpired:
                code = None
            curve = read_curve(run / "metrics.csv", "loss")
            if curve and curve[-1][0] != sent:
                sent = int(curve[-1][0])
                self.progress = sent, iterations
                self._send("running", sent, curve[-1][1], iterations)
            if code is not None:
                break
        if code and not self._stopping:
            lines = (run / "output.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
            self.error = lines[-1] if lines else f"exit code {code}"
            self.project.events.send("problem", detail=f"training failed: {self.error}")
        self._process = self.progress = None
        self.project.store.set_setting("training process", None)
        self._send(self.state, max(sent, 0), curve[-1][1] if curve else None, iterations)

    def _send(self, state: str, iteration: int, loss: float | None, iterations: int) -> None:
        self.project.events.send("train", state=state, iteration=iteration, iterations=iterations, loss=loss)

    def stop(self) -> None:
        """End the process; started again with the same images, it resumes."""
        process = self._process
        if process is not None:
            self._stopping = True
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()

    def adopt(self, *, adopt: bool) -> None:
        """Let the network that was trained last answer images, or the concept again.

        Raises:
            ConflictError: there is no trained network.
        """
        network = last_trained(self.project)
        if adopt and network is None:
            raise ConflictError("there is no trained network yet; train one first")
        self.project.change_settings({"network": network if adopt else None})

    def describe(self) -> dict[str, Any]:
        """Return the answer of `GET train`."""
        run, state, trained = self.run, self.state, last_trained(self.project)
        digest, _, steps = run.name.rpartition("-") if run else ("", "", "0")
        iterations = int(steps)
        curve = read_curve(run / "metrics.csv", "loss") if run else []
        seconds = read_curve(run / "metrics.csv", "seconds")[-TIMED:] if run and state == "running" else []
        left = None
        if len(seconds) > 1:
            (first, start), (last, end) = seconds[0], seconds[-1]
            left = (iterations - last) * (end - start) / (last - first)
        return {
            "available": self.why_not is None,
            "why": self.why_not,
            "state": state,
            "images_needed": NEEDED,
            "images": len(self.images()),
            "iteration": int(curve[-1][0]) if curve else 0,
            "iterations": iterations,
            "seconds_left": left,
            "resumes": state == "stopped" and digest == self._digest(),
            "curve": thinned(curve),
            "scores": read_curve(run / "validation.csv", None) if run else [],
            "error": self.error,
            "adopted": self.project.settings.get("network") is not None,
            "is_newer": trained is not None and trained != self.project.settings.get("network"),
            "can_adopt": trained is not None,
        }


def thinned(curve: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return at most about `CURVE` points of a curve, the last one among them."""
    step = max(1, len(curve) // CURVE)
    return curve[::-1][::step][::-1]


def read_curve(path: Path, column: str | None) -> list[tuple[int, float]]:
    """Return step and value of each complete row of a log of a run; without a name, of the second column."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return []
    rows = list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))
    return [(int(row["step"]), float(row[column or list(row)[1]])) for row in rows]


def _end_orphan(recorded: list[float] | None) -> None:
    """End the training process of a server that was killed, so that two never write to one run."""
    if recorded:
        try:
            process = psutil.Process(int(recorded[0]))
            if process.create_time() == recorded[1]:
                process.kill()  # its last checkpoint is whole at any time
                process.wait(10)
        except psutil.Error:
            pass
