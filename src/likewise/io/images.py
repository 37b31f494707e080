"""Read images into arrays and write them back.

Inside the project an image is a ``(h w 3)`` uint8 RGB array, upright as a viewer displays it. `read_image` resolves
EXIF orientation, colour modes, bit depths, palettes, transparency and multiple frames. Colour profiles are not applied:
stored values count as sRGB.
"""

import io
import stat
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from likewise.errors import ImageError, OutputError, requires_extra
from likewise.io.atomic import write_atomically
from likewise.io.depth import to_8_bits

Source = str | Path | Image.Image | np.ndarray | bytes | BinaryIO | Any
"""What `read_image` accepts; `Any` stands for a torch tensor, since this module does not import torch."""

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF", "BMP", "GIF", "JPEG2000", "PPM")
"""Pillow's names of the formats that are read. Others stay closed: Pillow runs Ghostscript on an EPS file."""

TRANSPOSED = (5, 6, 7, 8)
"""Values of the EXIF orientation that swap width and height."""

LOSSY = ("JPEG", "MPO", "WEBP", "AVIF", "HEIF", "JPEG2000")
"""Pillow's names of formats that may change a value a little."""

_MIN_IS_WHITE, _PHOTOMETRIC, _NODATA = 0, 262, 42113
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


def format_size(height: int, width: int) -> str:
    """Return a size for messages: ``640x480 (width x height)``."""
    return f"{width}x{height} (width x height)"


def read_image(source: Source) -> UInt8[np.ndarray, "h w 3"]:
    """Return an image as upright RGB.

    Args:
        source: A path, a Pillow image, the bytes of an image file, a binary file object, a numpy array ``(h w 3)`` or
            ``(h w)`` uint8, or a torch tensor ``(3 h w)`` or ``(1 h w)`` uint8. A contiguous, writable ``(h w 3)``
            array is returned without a copy.

    - EXIF orientation is applied, also to Pillow images.
    - Animations and multi-page files yield their first frame.
    - Transparent images are composed onto white.
    - Values of more than 8 bits are scaled (`to_8_bits`): integers from the smallest camera depth (8, 10, 12, 14 or 16
      bits) that holds the brightest pixel, since 12-bit cameras write 16-bit files; floats from [0, 1] or [0, 255];
      other ranges from minimum to maximum. Hot pixels and "no data" values do not count.
    - Other colour modes, such as CMYK, are converted by Pillow without a colour profile.

    Raises:
        ImageError: The source cannot be read or has an unsupported type; the message says what to do.
    """
    if is_tensor(source):
        source = _array_of_tensor(source)
    if isinstance(source, np.ndarray):
        return _checked_array(source)
    opened = open_file(source)
    name, image = opened.name, opened.image
    try:
        if image.mode.startswith("I") or image.mode == "F":
            return np.repeat(to_8_bits(np.asarray(image), opened.nodata)[..., None], 3, axis=2)
        if opened.low is not None:
            deep = np.asarray(image).astype(np.uint16) << 8 | np.asarray(opened.low)
            colours = Image.fromarray(to_8_bits(deep[..., :3]))
            if image.mode == "RGBA":
                colours.putalpha(image.getchannel("A"))
            image = colours
        if image.has_transparency_data:
            # via RGBA, the only mode that palettes and colour keys convert to with their transparency
            rgba = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            return np.array(Image.alpha_composite(white, rgba).convert("RGB"))
        return np.array(image.convert("RGB"))
    except (ValueError, OSError) as error:
        raise ImageError(f"{name}: cannot convert mode {image.mode} to RGB ({error}); save it as RGB") from error


def read_size(path: Path) -> tuple[tuple[int, int], int]:
    """Return ``(h, w)`` of the upright image and its EXIF orientation (1 to 8), from the header where possible.

    Raises:
        ImageError: The image cannot be read.
    """
    try:
        with Image.open(path, formats=_formats()) as image:
            # for a PNG without EXIF data in its header, getexif decodes the pixels
            has_exif = image.format != "PNG" or "exif" in image.info
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1) if has_exif else 1
            (width, height), format = image.size, image.format
    except Exception:  # HEIC, or a damaged file, for which read_image raises the error
        format, orientation = None, 1
    if format is None or (format == "TIFF" and orientation in TRANSPOSED):  # some versions of Pillow swap it already
        height, width = read_image(path).shape[:2]
        return (height, width), orientation
    return ((width, height) if orientation in TRANSPOSED else (height, width)), orientation


def save_image(array: np.ndarray, path: str | Path) -> None:
    """Write ``(h w)`` bool, uint8 or uint16, ``(h w 3)`` RGB or ``(h w 4)`` RGBA uint8 in the format of the suffix.

    Bool becomes 0 and 255. The file is written atomically.
    """
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    save_pillow(Image.fromarray(array), path)


def save_pillow(image: Image.Image, path: str | Path) -> None:
    """Write a Pillow image atomically in the format of the suffix.

    Raises:
        OutputError: An unknown suffix, or the system refuses to write.
    """
    if Path(path).suffix.lower() not in Image.registered_extensions():
        raise OutputError(f"{path}: no image format has the suffix {Path(path).suffix!r}; use .png or .jpg")
    # JPEG without chroma subsampling: overlays have thin coloured contours
    options: dict[str, Any] = (
        {"quality": 92, "subsampling": 0} if Path(path).suffix.lower() in (".jpg", ".jpeg") else {}
    )
    with write_atomically(path) as part:
        image.save(part, **options)


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
    """

    name: str
    image: Image.Image
    format: str | None = None
    inverted: bool = False
    nodata: float | None = None
    low: Image.Image | None = None


def open_image(source: Source) -> tuple[str, Image.Image]:
    """Return a name for messages, and the decoded, upright first frame in its stored mode.

    Raises:
        ImageError: As in `read_image`.
    """
    opened = open_file(source)
    return opened.name, opened.image


def open_file(source: Source) -> Opened:
    """Return the decoded image with what its file says about the values.

    Raises:
        ImageError: As in `read_image`.
    """
    if isinstance(source, Image.Image):
        name = str(getattr(source, "filename", "") or f"the given {source.mode} image")
        return Opened(name, _decode(name, source), source.format)
    name, file, head = _open_file(source)
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        with requires_extra("heic", f"{name}: reading a HEIC image"):
            import pillow_heif
        pillow_heif.register_heif_opener()
    try:
        with Image.open(file, formats=_formats()) as image:
            tags = getattr(image, "tag_v2", {})
            inverted = tags.get(_PHOTOMETRIC) == _MIN_IS_WHITE and image.mode == "L"
            opened = Opened(name, _decode(name, image), image.format, inverted, _number(tags.get(_NODATA)))
        return replace(opened, low=_low_bytes(name, file))
    except UnidentifiedImageError:
        start = head.lstrip().lower()
        reason = next((reason for magic, reason in _OTHER_CONTENT if start.startswith(magic)), None)
        raise ImageError(f"{name}: {reason or 'not an image in a supported format; save it as JPEG or PNG'}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"{name}: too large, possibly a decompression bomb ({error}); scale it down, or raise "
            "PIL.Image.MAX_IMAGE_PIXELS if you trust the file"
        ) from error
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
    with Image.open(file, formats=_formats()) as image:
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


def _number(text: object) -> float | None:
    try:
        return float(str(text).strip("\0 "))
    except ValueError:
        return None


def _formats() -> list[str]:
    """Return those of `FORMATS` that this Pillow reads; HEIF only after pillow_heif has registered it."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _decode(name: str, image: Image.Image) -> Image.Image:
    if not image.width or not image.height:
        raise ImageError(f"{name}: has no pixels; its size is {format_size(image.height, image.width)}")
    try:
        image.load()
    except Exception as error:  # see open_image
        raise _damaged(name, error) from error
    try:
        # after load: PNG may store EXIF behind the pixels, and TIFF and HEIF rotate while loading and drop the tag
        return ImageOps.exif_transpose(image)
    except Exception:  # viewers display images with damaged EXIF as stored
        return image.copy()


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


def is_tensor(source: object) -> bool:
    """Return whether an object is a torch tensor, without importing torch."""
    return any(base.__module__ == "torch" and base.__name__ == "Tensor" for base in type(source).__mro__)


def tensor_values(tensor: Any) -> np.ndarray:
    """Return the values of a torch tensor on any device as a numpy array."""
    return tensor.detach().cpu().numpy()


def _array_of_tensor(tensor: Any) -> np.ndarray:
    array = tensor_values(tensor)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[0] not in (1, 3):
        raise ImageError(
            f"an image tensor is (3, height, width) uint8 RGB; got shape {tuple(array.shape)} {tensor.dtype}; "
            "move the channels first and scale the values to 0-255"
        )
    return array[0] if array.shape[0] == 1 else array.transpose(1, 2, 0)


def _checked_array(image: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    if image.dtype == np.uint8 and image.size:
        if image.ndim == 2:
            return np.repeat(image[..., None], 3, axis=2)
        if image.ndim == 3 and image.shape[2] == 3:
            # torch.from_numpy takes neither negative strides nor read-only memory
            return np.require(image, requirements=["C", "W"])
    if image.ndim == 3 and image.shape[0] == 3 and image.shape[2] != 3:
        advice = "move the channels last: image.transpose(1, 2, 0)"
    elif image.ndim == 3 and image.shape[2] == 4:
        advice = "drop the alpha channel: image[..., :3]"
    elif image.size and (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        advice = "scale it to 0-255 and convert it: image.astype(np.uint8)"
    else:
        advice = "give one image at a time, with at least one pixel"
    raise ImageError(
        "an image array is (height, width, 3) uint8 RGB or (height, width) uint8 grey; "
        f"got shape {image.shape} {image.dtype}; {advice}"
    )
