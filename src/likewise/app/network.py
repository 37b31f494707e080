"""Answers of a trained network, in the shape of those of a concept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from likewise.app.masks import Labels
from likewise.io.images import Source
from likewise.predict.scene_parser import SceneParser

SIDE = 512
"""Pixels of the long side at which images are answered in the background."""


class Network:
    """A network that labels pixels with the classes of a project.

    Args:
        run: folder of `likewise train`.
        classes: ids of its classes after the background.

    Raises:
        WeightsError, ModelError: it cannot be loaded.
    """

    def __init__(self, run: Path, classes: Sequence[int]) -> None:
        self.parser = SceneParser(run)
        self._ids = np.array([0, *classes], np.uint8)

    def parse(self, image: Source) -> tuple[Labels, np.ndarray]:
        """Return the class id of each pixel, and its probability."""
        found = self.parser.parse(image)
        return self._ids[found.labels], found.probability
