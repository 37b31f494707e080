"""The object under construction: marks of a person become a mask."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from cachetools import LRUCache
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw

from likewise.app.photos import Photo
from likewise.app.project import Project
from likewise.app.schemas import Marks, Stroke
from likewise.engine.protocol import FeatureExtractor
from likewise.predict.selector import Selector

KEPT = 4
"""Images that stay prepared."""

Mask = Bool[np.ndarray, "h w"]


class Selections:
    """Prepared images, the last few of them. Several threads may use it.

    Args:
        extractor: the backbone.
    """

    def __init__(self, project: Project, extractor: FeatureExtractor) -> None:
        self.project, self.extractor = project, extractor
        self._prepared: LRUCache[tuple[int, str], Selector] = LRUCache(KEPT)
        self._last: LRUCache[tuple[int, str], Mask] = LRUCache(KEPT)
        self._latest = 0
        self._lock = threading.RLock()

    def prepare(self, photo: Photo) -> Selector:
        """Return what makes masks of an image; the last few are kept."""
        key = (photo.id, photo.version)
        with self._lock:
            if key not in self._prepared:
                self._prepared[key] = Selector(self.project.path(photo), extractor=self.extractor)
            return self._prepared[key]

    def prepare_ahead(self, photo: Photo) -> None:
        """Prepare an image before its first mark, unless another one was opened meanwhile."""
        self._latest = photo.id
        with self._lock:
            if self._latest == photo.id:
                self.prepare(photo)

    def select(self, photo: Photo, marks: Marks) -> Mask:
        """Return the mask of the object that the marks show.

        Raises:
            ArgumentError: no mark of the object, or one outside the image.
        """
        key = (photo.id, photo.version)
        if marks.polygon:
            found = fill_polygon(marks.polygon, self.project.size(photo))
        else:
            selector = self.prepare(photo)
            found = selector.mask(
                [(x, y) for x, y, _ in marks.points],
                [label for _, _, label in marks.points],
                marks.box,
                draw_strokes(marks.strokes, selector.size) if marks.strokes else None,
                self._last.get(key) if marks.previous else None,
            )
        with self._lock:
            self._last[key] = found
        return found


def draw_strokes(strokes: Sequence[Stroke], size: tuple[int, int]) -> UInt8[np.ndarray, "h w"]:
    """Return strokes as pixels: 0 unknown, 1 object, 2 not the object."""
    plane = Image.new("L", (size[1], size[0]))
    pen = ImageDraw.Draw(plane)
    for stroke in strokes:
        value, radius = 1 if stroke.inside else 2, stroke.width / 2
        pen.line(stroke.points, fill=value, width=max(1, round(stroke.width)))
        for x, y in stroke.points:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=value)
    return np.array(plane)


def fill_polygon(corners: Sequence[tuple[float, float]], size: tuple[int, int]) -> Mask:
    """Return the pixels inside a polygon of (x, y) in pixels."""
    plane = Image.new("1", (size[1], size[0]))
    ImageDraw.Draw(plane).polygon([tuple(corner) for corner in corners], fill=1)
    return np.array(plane)
