"""Episodes and label maps for tests of metrics."""

import numpy as np

from likewise.data.episodes import Episode


def episode(*classes: str, query: str = "q", seed: int = 0) -> Episode:
    return Episode(classes, tuple(("s",) for _ in classes), query, seed)


def labels(*rows: str) -> np.ndarray:
    """A label map drawn as text: one digit per pixel, x for ignored."""
    return np.array([[255 if c == "x" else int(c) for c in row] for row in rows], np.uint8)
