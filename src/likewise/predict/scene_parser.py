"""Scene parsing: images in, a class for every pixel out, at the size of the image.

    parser = SceneParser("runs/mcibi")          # a run of `likewise train`
    result = parser.parse("street.jpg")
    result.labels, result.areas

    image -> network size -> windows -> (scales, mirror images) -> probabilities -> blend -> labels at the image's size

An image of at most `window` pixels a side is parsed whole. A larger image is cut into overlapping windows, whose
probabilities are blended with weights that fall linearly towards the edge of a window, so that no seam appears. One row
of windows is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from likewise.data.class_names import mirrored_pairs
from likewise.errors import ArgumentError, ModelError
from likewise.io.images import Source, read_image
from likewise.io.labels import MOST_CLASSES
from likewise.io.resize import LARGEST_SIDE, resize_image
from likewise.ops.bilinear import neighbours, resize_bilinear
from likewise.predict.engines import open_scenes
from likewise.predict.result import SceneResult
from likewise.predict.windows import blend_windows

WINDOW = 768
"""Default side of a window in pixels. Larger windows are slower: each position attends to all others of its window."""
LARGEST_SCALE = 8.0
"""The largest scale, which bounds the memory."""
LEAST_WINDOW = 64
"""The smallest side of a window in pixels: two positions of the largest stride, 32."""
LARGEST_ENLARGED = 8
"""Largest area of an enlarged image in `side` squared: strips are enlarged less than to `side`."""
RESIZED = 64 << 20
"""Bytes of probabilities that are resized to the image at a time."""


class SceneParser:
    """Labels every pixel of an image with one of the classes that a network was trained on.

    Args:
        model: a folder of `likewise train`, the `weights.safetensors` of one, or a folder of `likewise export`.
        side: the short side, in pixels, to which images are resized; 0 keeps their size. Defaults to the side of
            training. Sides need not be multiples of the network's stride.
        scales: relative sizes at which each window is parsed; the probabilities are averaged.
        mirror: parse the mirror image too and average. Left and right classes are swapped in it.
        window: the side, in pixels, of the windows into which larger images are cut.
        overlap: the smallest fraction of a window's side that its neighbour shares, in [0, 0.5].
        engine: see `likewise.FewShot`.
        device: see `likewise.FewShot`.

    Raises:
        ModelError: a model of another method, more than 254 classes, or an unknown device.
        ArgumentError: a setting out of range.
        WeightsError: a file that is not of a run, or weights that do not fit.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        side: int | None = None,
        scales: Sequence[float] = (1.0,),
        mirror: bool = False,
        window: int = WINDOW,
        overlap: float = 0.25,
        engine: str = "auto",
        device: str = "auto",
    ) -> None:
        if not scales or not all(0 < scale <= LARGEST_SCALE for scale in scales):
            raise ArgumentError(f"scales are {list(scales)}; give one or more factors, each up to {LARGEST_SCALE:g}")
        if window < LEAST_WINDOW:
            raise ArgumentError(f"window is {window} pixels; it needs at least {LEAST_WINDOW}")
        if not 0 <= overlap <= 0.5:
            raise ArgumentError(f"overlap is {overlap}; it is a fraction of the window's side, in [0, 0.5]")
        if side is not None and not 0 <= side <= LARGEST_SIDE:
            raise ArgumentError(
                f"side is {side} pixels; give the short side, up to {LARGEST_SIDE}, or 0 for each image's own size"
            )
        self.network = open_scenes(model, engine=engine, device=device)
        self.model_name, self.fingerprint, names = self.network.name, self.network.fingerprint, self.network.classes
        if len(names) > MOST_CLASSES:
            raise ModelError(f"{model} has {len(names)} classes; labels are 8-bit, so {MOST_CLASSES} is the most")
        self.classes, self.stored = names, self.network.labels
        self.side = self.network.side if side is None else side
        self.scales, self.mirror, self.window, self.overlap = tuple(map(float, scales)), mirror, window, overlap
        self.partner = list(range(len(names)))
        for left, right in mirrored_pairs(names):
            self.partner[left], self.partner[right] = right, left

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that determine the results, for the records of a run."""
        return {
            "model": self.model_name,
            "weights": self.fingerprint,
            "side": self.side,
            "scales": list(self.scales),
            "mirror": self.mirror,
            "window": self.window,
            "overlap": self.overlap,
        }

    def parse(self, image: Source) -> SceneResult:
        """Label every pixel of the image.

        Raises:
            ImageError: a file that cannot be read.
        """
        pixels = read_image(image)
        height, width = pixels.shape[:2]
        labels, probability = np.empty((height, width), np.uint8), np.empty((height, width), np.float32)
        row = 0
        for band in self._bands(pixels):
            rows = slice(row, row + band.shape[1])
            labels[rows], probability[rows] = band.argmax(axis=0), band.max(axis=0).clip(0, 1)
            row = rows.stop
        return SceneResult(labels, probability, self.classes, pixels, stored=self.stored)

    def probabilities(self, image: Source) -> Float32[np.ndarray, "k h w"]:
        """The probability of each class at every pixel; they sum to 1. 4 bytes per class and pixel.

        Raises:
            ImageError: a file that cannot be read.
        """
        return np.concatenate(list(self._bands(read_image(image))), axis=1)

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        """The height and width to which an image is resized."""
        factor = self.side / min(height, width) if self.side else 1.0
        if factor > 1:
            factor = min(factor, max(1.0, self.side * (LARGEST_ENLARGED / (height * width)) ** 0.5))
        return max(1, round(height * factor)), max(1, round(width * factor))

    def _bands(self, image: UInt8[np.ndarray, "h w 3"]) -> Iterator[Float32[np.ndarray, "k _rows w"]]:
        """The probabilities at the size of the image, in bands of rows from top to bottom."""
        own = (image.shape[0], image.shape[1])
        size = self.network_size(*own)
        if size == own:
            yield from self._bands_at_network_size(image)
            return
        yield from resize_bands(self._bands_at_network_size(resize_image(image, *size)), size[0], own)

    def _bands_at_network_size(self, image: UInt8[np.ndarray, "h w 3"]) -> Iterator[Float32[np.ndarray, "k _rows w"]]:
        """The probabilities at the size of the resized image; a band ends where the next row of windows begins."""
        size = (image.shape[0], image.shape[1])
        yield from blend_windows(
            size, len(self.classes), self.window, self.overlap, lambda rows, columns: self._window(image[rows, columns])
        )

    def _window(self, image: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "k h w"]:
        """The mean of the probabilities over scales and mirror images."""
        size = (image.shape[0], image.shape[1])
        total = np.zeros((len(self.classes), *size), np.float32)
        for scale in self.scales:
            scaled = [max(1, round(length * scale)) for length in size]
            pixels = resize_image(image, *scaled)
            found = self.network.probabilities(np.stack([pixels, pixels[:, ::-1]] if self.mirror else [pixels]))
            own = (found[0] + found[1][self.partner, :, ::-1]) / 2 if self.mirror else found[0]
            total += resize_bilinear(own, size)
        return total / len(self.scales)


def resize_bands(
    bands: Iterator[Float32[np.ndarray, "k _rows _w"]], height: int, size: tuple[int, int]
) -> Iterator[Float32[np.ndarray, "k _rows wo"]]:
    """Resize planes to `size` (height, width) as `likewise.ops.bilinear.resize_bilinear` does, a few rows at a time.

    Args:
        bands: rows of the planes from top to bottom, `height` in all.
    """
    above, below, weight = neighbours(height, size[0], align_corners=False)
    kept: Float32[np.ndarray, "k rows w"] | None = None
    first = done = 0
    for band in bands:
        kept = band if kept is None else np.concatenate([kept, band], axis=1)
        ready = int(np.searchsorted(below, first + kept.shape[1]))
        rows = max(1, RESIZED // (4 * len(band) * size[1]))
        for start in range(done, ready, rows):
            part = slice(start, min(start + rows, ready))
            share = weight[part, None]
            found = kept[:, above[part] - first] * (1 - share) + kept[:, below[part] - first] * share
            yield resize_bilinear(found, (found.shape[1], size[1]))
        done = ready
        if done < size[0]:
            needless = min(int(above[done]) - first, kept.shape[1])
            kept, first = kept[:, needless:], first + needless
