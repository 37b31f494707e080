"""Open image files of any format with what they say about their values."""

import io
import stat
import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from likewise.errors import ImageError, requires_extra
from likewise.io.depth import NODATA, parse_nodata

Source = str | Path | Image.Image | np.ndarray | bytes | BinaryIO | Any
"""What `read_image` accepts; `Any` stands for a torch tensor, since this module does not import torch."""

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF", "BMP", "GIF", "JPEG2000", "PPM")
"""Pillow's names of the formats that are read. Others stay closed: Pillow runs Ghostscript on an EPS file."""

TRANSPOSED = (5, 6, 7, 8)
"""Values of the EXIF orientation that swap width and height."""

LOSSY = ("JPEG", "MPO", "WEBP", "AVIF", "HEIF", "JPEG2000")
"""Pillow's names of formats that may change a value a little."""

_MIN_IS_WHITE, _PHOTOMETRIC = 0, 262
_OTHER_BYTE = {";16L": ";16B", ";16B": ";16L", ";16N": ";16B" if sys.byteorder == "little" else ";16L"}

_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

_OTHER_CONTENT = (
    (b"<!doctype html", "a web page, not an image; the download failed, download it again"),
    (b"<html", "a web page, not an image; the download failed, download it again"),
    (b"<svg", "an SVG drawing; export it as PNG first"),
    (b"<?xml", "an XML document; if it is a drawing, export it as PNG first"),
    (b"%pdf", "a PDF document; export its pages as PNG first"),
    (b"%!ps", "a PostScript drawing; export it as PNG first"),
    (b"version https://git-lfs", "a Git LFS pointer; run `git lfs pull` first"),
)


ALLOW_MORE = (
    "if you trust it, allow more with --max-pixels (allow_pixels); `segment` reads TIFF files of any size in windows, "
    "with 'likewise[tiff]'"
)


def allow_pixels(most: int) -> None:
    """Allow images of up to `most` pixels in this process; Pillow's own limit is 179 million."""
    Image.MAX_IMAGE_PIXELS = most // 2  # Pillow warns above this and refuses above twice as many
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def format_size(height: int, width: int) -> str:
    """Return a size for messages: ``640x480 (width x height)``."""
    return f"{width}x{height} (width x height)"


@dataclass(frozen=True)
class Opened:
    """A decoded image file.

    Attributes:
        name: For messages.
        image: The upright first frame in its stored mode; of 16-bit colours, the high bytes.
        format: Pillow's name of the format; None for an image made in memory.
        inverted: Whether Pillow has inverted the stored values (TIFF's PhotometricInterpretation 0).
        nodata: The value that stands for missing data (GDAL's TIFF tag).
        low: The low bytes of 16-bit colours.
        size: Height and width of the whole upright image; `image` may be smaller.
        again: What the whole image can be read from once more.
    """

    name: str
    image: Image.Image
    size: tuple[int, int]
    format: str | None = None
    inverted: bool = False
    nodata: float | None = None
    low: Image.Image | None = None
    again: Source = None


def open_file(source: Source, short: int | None = None) -> Opened:
    """Return the decoded image with what its file says about the values.

    Args:
        short: See `likewise.io.images.read_scaled`. Reduces JPEG files, while they are decoded, and no others.

    Raises:
        ImageError: As in `read_image`.
    """
    if isinstance(source, Image.Image):
        name = str(getattr(source, "filename", "") or f"the given {source.mode} image")
        image = _decode(name, source, in_place=False)
        return Opened(name, image, (image.height, image.width), source.format, again=source)
    name, file, head = _open_file(source)
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        with requires_extra("heic", f"{name}: reading a HEIC image"):
            import pillow_heif
        pillow_heif.register_heif_opener()
    try:
        with Image.open(file, formats=readable_formats()) as image:
            tags = getattr(image, "tag_v2", {})
            inverted = tags.get(_PHOTOMETRIC) == _MIN_IS_WHITE and image.mode == "L"
            upright, size = _decode_scaled(name, image, short)
            opened = Opened(name, upright, size, image.format, inverted, parse_nodata(tags.get(NODATA)))
        again = file.getvalue() if isinstance(file, io.BytesIO) else file
        return replace(opened, low=_low_bytes(name, file), again=again)
    except UnidentifiedImageError:
        start = head.lstrip().lower()
        reason = next((reason for magic, reason in _OTHER_CONTENT if start.startswith(magic)), None)
        raise ImageError(f"{name}: {reason or 'not an image in a supported format; save it as JPEG or PNG'}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name}: too large, possibly a decompression bomb ({error}); {ALLOW_MORE}") from error
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders raise almost any type on damaged data
        raise _damaged(name, error) from error


def _low_bytes(name: str, file: Path | io.BytesIO) -> Image.Image | None:
    """Return the low bytes of 16-bit RGB or RGBA, or None: Pillow decodes the high bytes only.

    Decoded in the other byte order, each value's low byte takes the place of its high byte.
    """
    if isinstance(file, io.BytesIO):
        file.seek(0)
    with Image.open(file, formats=readable_formats()) as image:
        if image.mode not in ("RGB", "RGBA") or image.format not in ("PNG", "TIFF"):
            return None
        swapped = []
        for tile in image.tile:
            mode, *rest = tile.args if isinstance(tile.args, tuple) else (tile.args,)
            if str(mode)[-4:] not in _OTHER_BYTE:
                return None
            mode = mode[:-4] + _OTHER_BYTE[mode[-4:]]
            swapped.append(tile._replace(args=(mode, *rest) if isinstance(tile.args, tuple) else mode))
        image.tile = swapped
        return _decode(name, image)


def readable_formats() -> list[str]:
    """Return those of `FORMATS` that this Pillow reads; HEIF only after pillow_heif has registered it."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def scaled_size(height: int, width: int, short: int) -> tuple[int, int]:
    """Return the (height, width) of an image whose short side is reduced to `short` pixels.

    A strip is reduced further, to the area of an image four times as long as wide.
    """
    scale = min(1.0, short / min(height, width), 2 * short / (height * width) ** 0.5)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _decode_scaled(name: str, image: Image.Image, short: int | None) -> tuple[Image.Image, tuple[int, int]]:
    """Return the decoded upright image, a JPEG with its short side reduced to `short`, and the size of the whole."""
    width, height = image.size
    if short is None or image.format not in ("JPEG", "MPO") or min(width, height) <= short:
        upright = _decode(name, image)
        return upright, (upright.height, upright.width)
    rows, columns = scaled_size(height, width, short)
    drafted = image.draft(None, (columns, rows))
    _load(name, image)
    # a decoder that divides the size rounds up: its last pixels may lie partly outside
    box = drafted[1] if drafted else None
    upright = _turn(image.resize((columns, rows), Image.Resampling.BILINEAR, box), in_place=True)
    return upright, (width, height) if (upright.height, upright.width) != (rows, columns) else (height, width)


def _decode(name: str, image: Image.Image, *, in_place: bool = True) -> Image.Image:
    """Return the decoded upright image."""
    _load(name, image)
    return _turn(image, in_place=in_place)


def _load(name: str, image: Image.Image) -> None:
    if not image.width or not image.height:
        raise ImageError(f"{name}: has no pixels; its size is {format_size(image.height, image.width)}")
    try:
        image.load()
    except Exception as error:  # see open_file
        raise _damaged(name, error) from error


def _turn(image: Image.Image, *, in_place: bool) -> Image.Image:
    """Return a loaded image upright: PNG may store EXIF after the pixels, TIFF and HEIF turn and drop it on loading."""
    try:
        if not in_place:
            return ImageOps.exif_transpose(image)
        ImageOps.exif_transpose(image, in_place=True)
        return image
    except Exception:  # viewers display images with damaged EXIF as stored
        return image if in_place else image.copy()


def _damaged(name: str, error: Exception) -> ImageError:
    return ImageError(f"{name}: damaged or truncated ({error}); copy or download it again")


def _open_file(source: Source) -> tuple[str, Path | io.BytesIO, bytes]:
    """Return a name for messages, something that Pillow opens, and the first 64 bytes."""
    if isinstance(source, str | Path):
        return str(source), Path(source), _first_bytes(str(source), Path(source))
    if isinstance(source, bytes | bytearray | memoryview):
        name, content = "the given bytes", bytes(source)
    elif hasattr(source, "read"):
        name, content = str(getattr(source, "name", "the given file")), source.read()
        if not isinstance(content, bytes):
            raise ImageError(f"{name}: opened as text; open it in binary mode ('rb')")
    else:
        raise ImageError(
            f"cannot read an image from {type(source).__name__}; give a path, a PIL.Image, bytes, a binary file "
            "object, a numpy array (height, width, 3) or (height, width) uint8, or a torch tensor (3, height, width) "
            "uint8"
        )
    if not content:
        raise ImageError(f"{name}: empty (0 bytes)")
    return name, io.BytesIO(content), content[:64]


def _first_bytes(name: str, path: Path) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(f"{name}: a folder; give an image file")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{name}: neither a file nor a folder; give an image file")
        if status.st_size == 0:
            raise ImageError(f"{name}: empty (0 bytes); copy or download it again")
        with path.open("rb") as file:
            return file.read(64)
    except FileNotFoundError:
        reason = "a web address; download it first" if "://" in name else "no such file; check the name"
        raise ImageError(f"{name}: {reason}") from None
    except OSError as error:
        raise ImageError(f"{name}: cannot be read ({error.strerror}); check the name and its permissions") from error
