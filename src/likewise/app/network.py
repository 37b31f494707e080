"""Networks that were trained in a project, and their answers."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cachetools import LRUCache

from likewise.app.masks import Labels
from likewise.app.photos import TRAINING, ConflictError
from likewise.app.project import Project
from likewise.io.images import Source
from likewise.predict.scene_parser import SceneParser

WEIGHTS = "weights.safetensors"
"""File of a run's weights; it exists after the first validation or the end of the run."""
SIDE = 512
"""Pixels of the long side at which images are answered in the background."""


class Network:
    """A network that labels pixels with the classes of a project.

    Args:
        run: folder of `likewise train`.
        classes: ids of its classes after the background.

    Attributes:
        name: changes with its weights.

    Raises:
        WeightsError, ModelError: it cannot be loaded.
    """

    def __init__(self, run: Path, classes: Sequence[int]) -> None:
        self.name = f"{run.name}-{(run / WEIGHTS).stat().st_mtime_ns}"
        self.parser = SceneParser(run)
        self._ids = np.array([0, *classes], np.uint8)

    def parse(self, image: Source) -> tuple[Labels, np.ndarray]:
        """Return the class id of each pixel, and its probability."""
        found = self.parser.parse(image)
        return self._ids[found.labels], found.probability


class Networks:
    """The trained networks of a project; the last two stay open. Several threads may use it."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._open: LRUCache[tuple[str, int], Network] = LRUCache(2)
        self._lock = threading.Lock()

    def open(self, trained: dict[str, Any] | None) -> Network:
        """Return a network by its record in the settings.

        Raises:
            ConflictError: there is none, or its folder was deleted.
        """
        if trained is None or not has_weights(self.project, trained):
            raise ConflictError("there is no trained network yet; train one first")
        run = self.project.folder / TRAINING / trained["run"]
        key = trained["run"], (run / WEIGHTS).stat().st_mtime_ns
        with self._lock:
            if key not in self._open:
                self._open[key] = Network(run, trained["classes"])
            return self._open[key]


def has_weights(project: Project, trained: dict[str, Any] | None) -> bool:
    """Return whether a record of a network, as in the settings, is one of a network that is on disk."""
    return trained is not None and (project.folder / TRAINING / trained["run"] / WEIGHTS).is_file()


def last_trained(project: Project) -> dict[str, Any] | None:
    """Return the run and the class ids of the network that was trained last; None without one."""
    name = project.store.setting("training run")
    last = None if name is None else {"run": name, "classes": project.store.setting("training classes")}
    return next((each for each in (last, project.settings.get("network")) if has_weights(project, each)), None)
