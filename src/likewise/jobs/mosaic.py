"""Segment TIFF files in windows, from and to tiles: mosaics that do not fit in memory, and GeoTIFFs.

bands of rows -> windows -> probabilities -> blend -> labels -> tiles of the output files, runs -> regions
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from queue import Full, Queue
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from likewise.errors import ArgumentError, ImageError, warn
from likewise.io.annotations.geojson import write_features
from likewise.io.annotations.outlines import outline
from likewise.io.annotations.shapes import Polygons, Ring, encode_runs
from likewise.io.atomic import write_atomically
from likewise.io.components import Runs, find_runs, join_runs
from likewise.io.images import TIFF_SUFFIXES, read_size
from likewise.io.paths import ImageFile
from likewise.io.raster import GEO_TAGS, Raster, TiffPage, open_raster
from likewise.jobs.writers import Region, Regions
from likewise.ops.bilinear import resize_bilinear
from likewise.predict.edges import LARGEST
from likewise.predict.windows import blend_windows
from likewise.viz import draw

if TYPE_CHECKING:
    from likewise.predict.examples import Example
    from likewise.predict.segmenter import Segmenter

LARGE = 50_000_000
"""Pixels of a TIFF file above which it is segmented in windows."""
LEAST_WINDOW, MOST_WINDOW = 64, 4096
"""Bounds of the side of a window."""
OVERLAP = 0.25
"""Share of a window's side that its neighbour shares."""
MANY = 2000
"""Windows of an image above which their number is reported: they take ten minutes or more on one core."""
TILE = 256
"""Side of the tiles of output files in pixels."""
BIG = 1 << 30
"""Pixels above which output files are BigTIFF."""
BLOCK = 1 << 22
"""Pixels of a region that are turned at a time."""
FORMATS = ("mask", "labels", "probability")
"""Formats with a tiled file for each image."""
FORMATS_OF_WINDOWS = (*FORMATS, "geojson")
"""Formats with a file for each image that are written for images in windows."""


@dataclass(frozen=True)
class Mosaics:
    """Which images are segmented in windows, and how.

    Attributes:
        segmenter: Segments a window.
        window: Side of a window in pixels of the image; by default the size to which images are reduced.
        large: Pixels of a TIFF file above which it is segmented in windows. GeoTIFFs always are.
    """

    segmenter: Segmenter
    window: int = LARGEST
    large: int = LARGE

    def __post_init__(self) -> None:
        if not LEAST_WINDOW <= self.window <= MOST_WINDOW:
            raise ArgumentError(f"window is {self.window} pixels; give {LEAST_WINDOW} to {MOST_WINDOW}")

    def takes(self, file: ImageFile) -> bool:
        """Return whether an image is segmented in windows."""
        if file.path.suffix.lower() not in TIFF_SUFFIXES:
            return False
        try:
            import tifffile

            with tifffile.TiffFile(file.path) as opened:
                page: Any = opened.pages[0]
                geo = any(page.tags.get(code) is not None for code in GEO_TAGS)
                return geo or page.imagelength * page.imagewidth > self.large
        except Exception:  # not installed, or damaged: what reads the image says so
            return False

    def path_of(self, format: str, path: Path) -> Path:
        """Return the output file of a format, given that of an image in one piece."""
        return path.with_suffix(".tif") if format in FORMATS else path

    def write(self, file: ImageFile, outputs: Mapping[str, Path]) -> Regions:
        """Segment an image, write its outputs and return its regions.

        Raises:
            ImageError: The file cannot be read in windows, or a format that is not written for it.
            OutputError: The system refuses to write.
        """
        if wrong := next((format for format in outputs if format not in FORMATS_OF_WINDOWS), None):
            raise ImageError(
                f"{file.path}: is segmented in windows, which have no {wrong} output; choose from "
                f"{', '.join(FORMATS_OF_WINDOWS)} "
                "and formats with one file for all images"
            )
        with open_raster(TiffPage(file.path, file.page, file.channels, file.scale)) as raster:
            count = math.prod(math.ceil(length / (self.window * (1 - OVERLAP))) for length in raster.size)
            if count > MANY:
                warn(
                    f"{file.path}: {count} windows of {self.window} pixels, the size of the examples' images; larger "
                    "ones take less time: --window (window=...)"
                )
            classes = self.segmenter.concept.classes
            found = _Found()
            tiled = {format: path for format, path in outputs.items() if format in FORMATS}
            with _tile_writers(raster, tiled, len(classes)) as writers:
                for labels, probability in self._bands(raster, found):
                    found.add(labels, probability)
                    for writer in writers:
                        writer.write(labels, probability)
            if "geojson" in outputs:
                write_features(outputs["geojson"], found.features(classes), raster.place, raster.epsg)
            return found.regions(file.name, raster.size)

    def _bands(
        self, raster: Raster, found: _Found
    ) -> Iterator[tuple[UInt8[np.ndarray, "n w"], Float32[np.ndarray, "n w"]]]:
        """Yield labels and the probability of any class, a few rows at a time from top to bottom."""
        scale = raster.sampled_range()
        missing: Bool[np.ndarray, "n w"] = np.zeros((0, raster.size[1]), bool)
        held = slice(0, 0)
        pixels = np.zeros((0, raster.size[1], 3), np.uint8)
        known: list[np.ndarray] = []

        def planes(rows: slice, columns: slice) -> Float32[np.ndarray, "k h w"]:
            nonlocal held, pixels, missing
            if rows != held:
                values = raster.rows(rows.start, rows.stop)
                held, pixels, missing = rows, raster.pixels(values, scale), raster.missing(values)
                known.append(missing)
            window = np.ascontiguousarray(pixels[:, columns])
            size = (window.shape[0], window.shape[1])
            if missing[:, columns].all():
                return np.zeros((len(self.segmenter.concept.classes), *size), np.float32)
            answer = self.segmenter.probabilities(window)
            found.judge([one.presence for one in answer.judged or ()])
            return resize_bilinear(answer.probabilities[1:], size)

        classes = len(self.segmenter.concept.classes)
        for band in blend_windows(raster.size, classes, self.window, OVERLAP, planes):
            background = 1 - band.sum(axis=0)
            labels = np.where(band.max(axis=0) > background, band.argmax(axis=0) + 1, 0).astype(np.uint8)
            without = known.pop(0)[: len(labels)]
            labels[without] = 0
            probability = (1 - background).clip(0, 1)
            probability[without] = 0
            yield labels, probability


def window_of(examples: Sequence[Example]) -> int:
    """Return the side of windows in which objects are as large, in pixels, as in the images of the examples.

    A network sees an image, and a window, at one size. `LARGEST` if no example is a file.
    """
    sides = []
    for example in examples:
        with contextlib.suppress(ImageError):
            if isinstance(example.image, str | Path | TiffPage):
                height, width = read_size(Path(example.name))[0]
                sides.append((height * width) ** 0.5)
    return round(min(max(np.median(sides), LEAST_WINDOW), MOST_WINDOW)) if sides else LARGEST


class _Found:
    """Runs of objects, row by row, with the sum of the probability over each; the highest presence of each class."""

    def __init__(self) -> None:
        self.presences: list[float] = []
        self._runs: list[Runs] = []
        self._sums: list[np.ndarray] = []
        self._row = self._width = 0

    def judge(self, presences: list[float]) -> None:
        self.presences = [max(pair) for pair in zip(self.presences or presences, presences, strict=True)]

    def add(self, labels: UInt8[np.ndarray, "n w"], probability: Float32[np.ndarray, "n w"]) -> None:
        runs, self._width = find_runs(labels), labels.shape[1]
        sums = np.zeros((len(labels), labels.shape[1] + 1))
        np.cumsum(probability, axis=1, dtype=np.float64, out=sums[:, 1:])
        self._sums.append(sums[runs.row, runs.end] - sums[runs.row, runs.start])
        self._runs.append(runs._replace(row=runs.row + self._row))
        self._row += len(labels)

    def regions(self, name: str, size: tuple[int, int]) -> Regions:
        """Return a region for each connected piece; its score is its mean probability."""
        found = []
        for own, score in self._pieces():
            down = _turned(own)
            (coded,) = encode_runs(down, np.ones(len(down.row), np.intp), size).values()
            found.append(Region(int(own.value[0]), coded.counts, score))
        return Regions(name, *size, tuple(found), tuple(self.presences))

    def features(self, classes: Sequence[str]) -> Iterator[tuple[str, float, Polygons]]:
        """Yield class, score and polygons of each piece; polygons end at the edges of blocks."""
        for own, score in self._pieces():
            parts: list[tuple[Ring, ...]] = []
            for corner, mask in _blocks(own):
                parts += (tuple(ring + corner for ring in rings) for rings in outline(mask).parts)
            yield classes[int(own.value[0]) - 1], score, Polygons(tuple(parts))

    def _pieces(self) -> Iterator[tuple[Runs, float]]:
        """Yield the runs of each connected piece and its mean probability."""
        runs = Runs(*(np.concatenate(parts) for parts in zip(*self._runs, strict=True)))
        sums, pieces = np.concatenate(self._sums), join_runs(runs, self._width)
        order = np.argsort(pieces, kind="stable")
        starts = np.searchsorted(pieces[order], np.arange(1, pieces.max(initial=0) + 2))
        for first, last in pairwise(starts):
            own = order[first:last]
            part = Runs(*(each[own] for each in runs))
            yield part, min(float(sums[own].sum() / (part.end - part.start).sum()), 1.0)


def _turned(runs: Runs) -> Runs:
    """Return the runs down the columns of one piece, given those along its rows."""
    found = []
    for (left, top), mask in _blocks(runs):
        down = find_runs(np.ascontiguousarray(mask.T))
        found.append(Runs(down.row + left, down.start + top, down.end + top, down.value))
    return Runs(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _blocks(runs: Runs) -> Iterator[tuple[tuple[int, int], Bool[np.ndarray, "h w"]]]:
    """Yield the mask of one piece in columns of about `BLOCK` pixels, each with its left top corner."""
    top, height = int(runs.row[0]), int(runs.row[-1] + 1 - runs.row[0])
    right = int(runs.end.max())
    step = max(1, BLOCK // height)
    for left in range(int(runs.start.min()), right, step):
        width = min(step, right - left)
        start, end = (each.clip(left, left + width) - left for each in (runs.start, runs.end))
        changes = np.zeros((height, width + 1), np.int8)
        np.add.at(changes, (runs.row - top, start), 1)
        np.add.at(changes, (runs.row - top, end), -1)
        yield (left, top), changes[:, :-1].cumsum(axis=1, dtype=np.int8) > 0


class _TileWriter:
    """Writes an output file in tiles, in a thread, while the next rows are computed."""

    def __init__(self, format: str, part: Path, raster: Raster, classes: int, threads: ThreadPoolExecutor) -> None:
        self.format, self.classes = format, classes
        self.queue: Queue[np.ndarray | None] = Queue(1)
        options: dict[str, Any] = {"photometric": "minisblack", "dtype": np.uint8}
        if format == "probability":
            options["dtype"] = np.uint16
        elif format == "labels" or classes > 1:
            options["photometric"] = "palette"
            options["colormap"] = draw.label_palette().T.astype(np.uint16) * 257
        self.future = threads.submit(_write_tiles, self.queue, part, raster.size, raster.geo, options)

    def write(self, labels: UInt8[np.ndarray, "n w"], probability: Float32[np.ndarray, "n w"]) -> None:
        """Take the next rows; raise what the thread has raised."""
        if self.format == "probability":
            self._put(np.rint(probability * np.float32(65535)).astype(np.uint16))
        else:
            self._put(labels * np.uint8(255) if self.format == "mask" and self.classes == 1 else labels)

    def close(self) -> None:
        """Write what is left."""
        self._put(None)
        self.future.result()

    def _put(self, rows: np.ndarray | None) -> None:
        while True:
            if self.future.done():
                self.future.result()
                return
            with contextlib.suppress(Full):
                return self.queue.put(rows, timeout=0.2)


@contextlib.contextmanager
def _tile_writers(raster: Raster, outputs: Mapping[str, Path], classes: int) -> Iterator[list[_TileWriter]]:
    """Yield a writer for each output.

    Raises:
        OutputError: The system refuses to write.
    """
    with contextlib.ExitStack() as files, ThreadPoolExecutor(max(1, len(outputs))) as threads:
        parts = {format: files.enter_context(write_atomically(path)) for format, path in outputs.items()}
        writers = [_TileWriter(format, part, raster, classes, threads) for format, part in parts.items()]
        try:
            yield writers
        finally:  # a thread that waits for rows would never end
            problems = []
            for writer in writers:
                try:
                    writer.close()
                except Exception as error:
                    problems.append(error)
        if problems:
            raise problems[0]


def _write_tiles(
    queue: Queue[np.ndarray | None], part: Path, size: tuple[int, int], geo: list[Any], options: dict[str, Any]
) -> None:
    import tifffile

    with tifffile.TiffWriter(part, bigtiff=size[0] * size[1] > BIG) as file:
        file.write(
            _tiles(queue, size[1]), shape=size, tile=(TILE, TILE), compression="zlib", metadata=None, extratags=geo,
            maxworkers=1, **options,
        )  # fmt: skip


def _tiles(queue: Queue, width: int) -> Iterator[np.ndarray]:
    """Yield the tiles of the rows that come through a queue; None ends them."""
    waiting: list[np.ndarray] = []
    held, last = 0, False
    while not last:
        rows = queue.get()
        last = rows is None
        if rows is not None:
            waiting.append(rows)
            held += len(rows)
        while held >= TILE or (last and held):
            joined = np.concatenate(waiting)
            band, rest = joined[:TILE], joined[TILE:]
            for left in range(0, width, TILE):
                tile = np.zeros((TILE, TILE), band.dtype)
                part = band[:, left : left + TILE]
                tile[: part.shape[0], : part.shape[1]] = part
                yield tile
            waiting, held = [rest], len(rest)
