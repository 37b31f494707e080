"""Answers of a trained network, in the shape of those of a concept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from likewise.app.masks import Labels
from likewise.app.photos import TRAINING
from likewise.app.project import Project
from likewise.io.images import Source
from likewise.predict.scene_parser import SceneParser

WEIGHTS = "weights.safetensors"
"""Of a run, from its first validation or its end on."""
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


def has_weights(project: Project, trained: dict[str, Any] | None) -> bool:
    """Return whether a record of a network, as in the settings, is one of a network that is on disk."""
    return trained is not None and (project.folder / TRAINING / trained["run"] / WEIGHTS).is_file()


def last_trained(project: Project) -> dict[str, Any] | None:
    """Return the run and the class ids of the network that was trained last; None without one."""
    name = project.store.setting("training run")
    last = None if name is None else {"run": name, "classes": project.store.setting("training classes")}
    return next((each for each in (last, project.settings.get("network")) if has_weights(project, each)), None)
