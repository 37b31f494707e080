"""Pages of TIFF files, read a few rows at a time: mosaics, stacks, images of any number of channels and any depth.

tifffile reads and writes them; Pillow reads whole images, of few modes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Shaped, UInt8

from likewise.errors import ArgumentError, ImageError, requires_extra
from likewise.io.depth import NODATA, Range, parse_nodata, to_8_bits, value_range

GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737)
"""GeoTIFF's tags: pixel scale, tie points, transformation, and the keys of the coordinate system."""
USER_DEFINED = 32767
"""GeoTIFF's code of a coordinate system without a number."""
MIN_IS_WHITE, PALETTE = 0, 3
"""Values of TIFF's PhotometricInterpretation."""
MOST_PAGES = 10_000
"""Pages that are looked through."""
LARGEST_SEGMENT = 1 << 29
"""Bytes of a decoded strip or tile above which a file is refused: it cannot be read a few rows at a time."""
SAMPLED_BANDS, SAMPLED_ROWS, SAMPLED_COLUMNS = 16, 8, 4096
"""Bands of rows, evenly spread, their rows, and columns of each, whose values determine the scale."""


@dataclass(frozen=True)
class TiffPage:
    """A page of a TIFF file, as a source of `likewise.io.images.read_image`.

    Attributes:
        path: The file.
        page: From 0.
        channels: The channels for red, green and blue, or one for grey, from 1; empty: the first three, or the first of
            one or two.
        scale: The values that become black and white; None: those of the page.
    """

    path: Path
    page: int = 0
    channels: tuple[int, ...] = ()
    scale: Range | None = None

    def __str__(self) -> str:
        return f"{self.path}, page {self.page + 1}" if self.page else str(self.path)


def parse_channels(text: str) -> tuple[int, ...]:
    """Return the channels that a text names: ``4,3,2`` or ``1``.

    Raises:
        ArgumentError: Anything else.
    """
    numbers = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if len(numbers) not in (1, 3) or min(numbers) < 1:
        raise ArgumentError(f"channels are one or three numbers from 1, such as 4,3,2; got {text!r}")
    return tuple(numbers)


class Raster:
    """An open page; made by `open_raster`.

    Attributes:
        size: Height and width in pixels.
        channels: The number that is read, 1 or 3.
        nodata: The value that stands for missing data.
        geo: GeoTIFF's tags as tifffile takes them.
        epsg: The code of the map's coordinate system, if the file states one.
    """

    def __init__(self, file: Any, page: Any, source: TiffPage) -> None:
        self._file, self._page, self.source = file, page, source
        self.size = height, width = page.imagelength, page.imagewidth
        samples = page.samplesperpixel
        self._separate = page.planarconfig == 2 and samples > 1
        chosen = source.channels or ((1, 2, 3) if samples > 2 else (1,))
        if wrong := [channel for channel in chosen if channel > samples]:
            raise ImageError(f"{source}: has {samples} channels, no channel {wrong[0]}; give others with --channels")
        self._chosen = [channel - 1 for channel in chosen]
        self.channels = len(chosen)
        self._tile = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, height), width)
        self._across = math.ceil(width / self._tile[1])
        self._down = math.ceil(height / self._tile[0])
        bytes_of_segment = math.prod(self._tile) * (1 if self._separate else samples) * page.dtype.itemsize
        if bytes_of_segment > LARGEST_SEGMENT:
            raise ImageError(
                f"{source}: is stored in one piece of {bytes_of_segment >> 20} MB; store it in tiles, "
                "as `gdal_translate -co TILED=YES` or `vips tiffsave --tile` do"
            )
        self.nodata = parse_nodata(page.tags.valueof(NODATA))
        self.geo = [
            (tag.code, int(tag.dtype), tag.count, tag.value, True)
            for tag in (page.tags.get(code) for code in GEO_TAGS)
            if tag is not None
        ]

    @property
    def deep(self) -> bool:
        """Whether values have more than 8 bits."""
        return self._page.dtype not in (np.uint8, bool)

    @property
    def epsg(self) -> int | None:
        keys = {code: value for code, *_, value, _ in self.geo}.get(34735, ())
        codes = {keys[at]: keys[at + 3] for at in range(4, len(keys) - 3, 4)}
        code = codes.get(3072, codes.get(2048, 0))  # projected or geographic
        return code if 0 < code < USER_DEFINED else None

    def place(self, corners: Float64[np.ndarray, "n 2"]) -> Float64[np.ndarray, "n 2"]:
        """Return where corners (x, y) in pixels lie on the map; in pixels, if the file does not say."""
        tags = {code: value for code, *_, value, _ in self.geo}
        keys = tags.get(34735, ())
        if (1025, 0, 1, 2) in zip(keys[::4], keys[1::4], keys[2::4], keys[3::4], strict=False):
            corners = corners - 0.5  # the places of the file are of the centres of pixels
        if 34264 in tags:
            matrix = np.array(tags[34264], np.float64).reshape(4, 4)
            return corners @ matrix[:2, :2].T + matrix[:2, 3]
        if 33550 in tags and 33922 in tags:
            scale, tie = np.array(tags[33550][:2]) * (1, -1), tags[33922]
            return (corners - tie[:2]) * scale + tie[3:5]
        return corners

    def rows(self, start: int, stop: int) -> Shaped[np.ndarray, "rows w c"]:
        """Return the values of some rows as stored; 0 where a sparse file has none.

        Raises:
            ImageError: The file is cut or damaged, or its compression is not supported.
        """
        page, (tall, wide) = self._page, self._tile
        found = np.zeros((stop - start, self.size[1], self.channels), page.dtype)
        planes = list(enumerate(self._chosen)) if self._separate else [(slice(None), 0)]
        for band in range(start // tall, math.ceil(stop / tall)):
            for column in range(self._across):
                for target, plane in planes:
                    values = self._segment((plane * self._down + band) * self._across + column)
                    if values is None:
                        continue
                    top, left = band * tall, column * wide
                    part = values[max(start - top, 0) : stop - top, : self.size[1] - left]
                    part = part[..., 0] if self._separate else part[..., self._chosen]
                    row = max(top - start, 0)
                    found[row : row + len(part), left : left + part.shape[1], target] = part
        return found

    def _segment(self, index: int) -> np.ndarray | None:
        page = self._page
        try:
            count = page.databytecounts[index]
            if not count:
                return None
            self._file.filehandle.seek(page.dataoffsets[index])
            data = self._file.filehandle.read(count)
            if len(data) < count:
                raise ImageError(f"{self.source}: is cut: its data ends too early; copy or download it again")
            tables = {"jpegtables": page.jpegtables} if page.jpegtables is not None else {}
            decoded = page.decode(data, index, **tables)[0]
            return None if decoded is None else decoded[0]
        except (ImageError, MemoryError):
            raise
        except Exception as error:  # codecs raise almost any type
            if "imagecodecs" in str(error) or "COMPRESSION" in str(error):
                raise ImageError(
                    f"{self.source}: its compression, {getattr(page.compression, 'name', page.compression)}, cannot be "
                    "read here; install 'likewise[tiff]', or store it with `gdal_translate -co COMPRESS=DEFLATE`"
                ) from error
            raise ImageError(f"{self.source}: damaged ({error}); copy or download it again") from error

    def sampled_range(self) -> Range:
        """Return the values that become black and white, from a sample of the rows unless they are given."""
        if self.source.scale:
            return self.source.scale
        height, width = self.size
        starts = np.unique(np.linspace(0, max(height - SAMPLED_ROWS, 0), SAMPLED_BANDS).astype(int)).tolist()
        if not self.deep:
            starts = starts[:1]  # their range is known
        step = max(1, width // SAMPLED_COLUMNS)
        rows = (self.rows(start, min(start + SAMPLED_ROWS, height))[:, ::step] for start in starts)
        return value_range(np.concatenate([each.reshape(-1, self.channels) for each in rows]), self.nodata)

    def pixels(self, values: Shaped[np.ndarray, "rows w c"], scale: Range) -> UInt8[np.ndarray, "rows w 3"]:
        """Return stored values as RGB."""
        if values.dtype == bool:
            values = values.astype(np.uint8)
        grey = values if values.dtype == np.uint8 and scale == (0, 255) else to_8_bits(values, scale=scale)
        if self._page.photometric == MIN_IS_WHITE:
            grey = 255 - grey
        return np.repeat(grey, 3, axis=2) if self.channels == 1 else np.ascontiguousarray(grey)

    def missing(self, values: Shaped[np.ndarray, "rows w c"]) -> Bool[np.ndarray, "rows w"]:
        """Return where no channel has data."""
        none = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
        if self.nodata is not None:
            none |= values == self.nodata
        return np.asarray(none.all(axis=2))


@contextmanager
def open_raster(source: TiffPage) -> Iterator[Raster]:
    """Yield a page of a TIFF file.

    Raises:
        ImageError: No such file, no TIFF, no such page or channel, or a file that is stored in one large piece.
        MissingExtraError: tifffile is not installed.
    """
    with requires_extra("tiff", f"{source.path}: reading a page, channels or windows of a TIFF file"):
        import tifffile
    try:
        file = tifffile.TiffFile(source.path)
    except FileNotFoundError:
        raise ImageError(f"{source.path}: no such file; check the name") from None
    except Exception as error:  # damaged headers raise almost any type
        raise ImageError(f"{source.path}: not a TIFF file, or a damaged one ({error})") from error
    with file:
        listed: Any = islice(file.pages, MOST_PAGES)  # one by one: a damaged file can list pages without end
        kept = (each for each in listed if not each.is_reduced and not each.is_mask)
        found = list(islice(kept, source.page + 1))
        if source.page >= len(found):
            raise ImageError(f"{source.path}: has {len(found)} pages, no page {source.page + 1}")
        page: Any = found[source.page]
        if page.dtype is None or page.photometric == PALETTE:
            raise ImageError(f"{source}: holds palette colours or values of an unknown type; save it as RGB")
        if not (page.dataoffsets and all(page.shape) and all(page.tile if page.is_tiled else page.chunks)):
            raise ImageError(f"{source}: a damaged TIFF file, which says nowhere where its pixels are")
        yield Raster(file, page, source)


def count_pages(path: Path) -> int:
    """Return the number of pages of a TIFF file, without reduced copies and masks; 1 for an unreadable one."""
    from PIL import Image

    try:
        with Image.open(path, formats=["TIFF"]) as image:
            kinds = []
            for index in range(getattr(image, "n_frames", 1)):
                image.seek(index)
                kinds.append(int(image.tag_v2.get(254, 0)))  # type: ignore[attr-defined]
    except Exception:  # what reads the image says why
        return 1
    return max(1, sum(not kind & 0b101 for kind in kinds))
