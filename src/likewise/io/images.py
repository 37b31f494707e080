"""Images as they are in the wild, in; images that are never half written, out.

Inside the project an image is ``(h w 3)`` uint8 RGB, upright (as a viewer shows it). Everything that a file may
hold beside that ends here: orientation tags, other colour modes and depths, palettes, alpha, several frames,
damage. Colour profiles are not applied: the numbers in the file are taken as sRGB.

Every failure of a file is a `ImageError` whose message names the file, what came and what to do.
"""

import stat
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, UnidentifiedImageError

from likewise.errors import ImageError
from likewise.io.atomic import write_atomically

Source = str | Path | Image.Image | np.ndarray

# How a stored image is turned to stand upright, by the value of its EXIF orientation tag.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

_NOT_IMAGES = (
    (b"<!doctype html", "a web page, not an image: the download went wrong, download it again"),
    (b"<html", "a web page, not an image: the download went wrong, download it again"),
    (b"<svg", "an SVG drawing: export it as PNG first"),
    (b"<?xml", "an XML document: export it as PNG first if it is a drawing"),
    (b"%pdf", "a PDF document: export its pages as PNG first"),
    (b"version https://git-lfs", "a Git LFS pointer: run `git lfs pull` first"),
)


def format_size(height: int, width: int) -> str:
    """A size as messages give it: ``640x480 (width x height)``."""
    return f"{width}x{height} (width x height)"


def read_image(image: Source) -> UInt8[np.ndarray, "h w 3"]:
    """The image as RGB, upright.

    A path, an image of Pillow's, or an array that is already ``(h w 3)`` uint8 RGB (returned as it is where
    it is contiguous and writable).

    - EXIF orientation is honoured, of files and of Pillow's images alike.
    - Of an animation or a multi-page file the first frame is read.
    - Transparent images are laid on white, as a page shows them.
    - Greyscale of more than 8 bits is scaled, not clipped: 16-bit files by the smallest usual camera depth
      (8, 10, 12, 14, 16 bits) that holds their brightest pixel, since 12-bit cameras write 16-bit files;
      floats as they are in [0, 1] or [0, 255]; anything else from its minimum to its maximum.
    - CMYK and the other colour spaces become RGB by Pillow's plain conversion.

    Raises `ImageError` for what cannot be read, `ValueError` for an array of another shape or type.
    """
    if isinstance(image, np.ndarray):
        return _checked_array(image)
    name, decoded = opened(image)
    try:
        if decoded.mode.startswith("I") or decoded.mode == "F":
            return np.repeat(to_8_bits(np.asarray(decoded))[..., None], 3, axis=2)
        if decoded.has_transparency_data:
            # RGBA first: only this way do palettes and colour keys give up their transparency
            rgba = decoded.convert("RGBA")
            white = Image.new("RGBA", decoded.size, "white")
            return np.array(Image.alpha_composite(white, rgba).convert("RGB"))
        return np.array(decoded.convert("RGB"))
    except (ValueError, OSError) as error:
        raise ImageError(f"{name}: cannot convert mode {decoded.mode} to RGB ({error}); save it as RGB") from error


def save_image(array: np.ndarray, path: str | Path) -> None:
    """Writes ``(h w)`` bool, uint8 or uint16, or ``(h w 3)`` RGB or ``(h w 4)`` RGBA uint8, as the suffix
    says.

    Bool becomes 0/255. The file appears whole or not at all.
    """
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    save_pillow(Image.fromarray(array), path)


def save_pillow(image: Image.Image, path: str | Path) -> None:
    """Writes Pillow's image as the suffix says, whole or not at all."""
    jpeg = Path(path).suffix.lower() in {".jpg", ".jpeg"}
    with write_atomically(path) as part:
        if jpeg:  # full chroma: contours are thin and coloured, and the usual halving smears them
            image.save(part, quality=92, subsampling=0)
        else:
            image.save(part)


def opened(source: str | Path | Image.Image) -> tuple[str, Image.Image]:
    """What to call it in messages, and its first frame: decoded, upright, in the mode it is stored in."""
    if isinstance(source, Image.Image):
        name = getattr(source, "filename", "") or f"the given {source.mode} image"
        return str(name), _decoded(str(name), source)
    name = str(source)
    path = Path(source)
    head = _first_bytes(name, path)
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        _read_heic_too(name)
    try:
        with Image.open(path) as image:
            return name, _decoded(name, image)
    except UnidentifiedImageError:
        start = head.lstrip().lower()
        known = next((words for magic, words in _NOT_IMAGES if start.startswith(magic)), None)
        raise ImageError(
            f"{name}: {known or 'not an image in a format that can be read; save it as JPEG or PNG'}"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"{name}: refused, since so large an image may be a decompression bomb ({error}); scale it "
            "down, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust it"
        ) from error
    except ImageError:
        raise
    except Exception as error:  # on damaged bytes Pillow's readers raise nearly anything
        raise _damaged(name, error) from error


def _decoded(name: str, image: Image.Image) -> Image.Image:
    if not image.width or not image.height:
        raise ImageError(f"{name}: has no pixels, its size is {format_size(image.height, image.width)}")
    try:
        image.load()
    except Exception as error:  # as above
        raise _damaged(name, error) from error
    try:
        # after loading: PNG may store the tag behind the pixels, TIFF and HEIF turn themselves and drop the
        # tag
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF; viewers too show the image as it is stored
        turn = None
    return image.copy() if turn is None else image.transpose(turn)


def _damaged(name: str, error: Exception) -> ImageError:
    return ImageError(f"{name}: damaged or cut short ({error}); copy or download it again")


def _first_bytes(name: str, path: Path) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(f"{name}: a folder, where one image is needed; name a file in it")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{name}: neither a file nor a folder; name an image file")
        if status.st_size == 0:
            raise ImageError(f"{name}: empty (0 bytes); copy or download it again")
        with path.open("rb") as file:
            return file.read(64)
    except FileNotFoundError:
        advice = "a web address; download it first" if "://" in name else "no such file; check the name"
        raise ImageError(f"{name}: {advice}") from None
    except OSError as error:
        raise ImageError(f"{name}: cannot be read ({error.strerror}); check the name and its permissions") from error


def _read_heic_too(name: str) -> None:
    try:
        import pillow_heif
    except ImportError:
        raise ImageError(f"{name}: a HEIC image; to read it, run: pip install likewise[heic]") from None
    pillow_heif.register_heif_opener()


def _checked_array(image: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    if image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8 and image.size:
        # torch takes neither negative strides nor read-only memory
        return np.require(image, requirements=["C", "W"])
    if image.ndim == 3 and image.shape[0] == 3 and image.shape[2] != 3:
        advice = "put the channels last: image.transpose(1, 2, 0)"
    elif image.ndim == 3 and image.shape[2] == 4:
        advice = "drop the alpha channel: image[..., :3]"
    elif image.ndim == 2:
        advice = "repeat the grey plane: np.stack([image] * 3, axis=2)"
    elif image.ndim == 3 and image.shape[2] == 3 and image.size:
        advice = "scale it to 0-255 and convert it: image.astype(np.uint8)"
    else:
        advice = "give one image at a time, with at least one pixel"
    raise ValueError(
        f"an image array must be (height, width, 3) uint8 RGB; got shape {image.shape} {image.dtype}; {advice}"
    )


def to_8_bits(values: np.ndarray) -> UInt8[np.ndarray, "h w"]:
    """Greyscale of any depth, scaled as `read_image` says."""
    finite = values if values.dtype.kind != "f" else np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(finite.min()), float(finite.max())
    if values.dtype.kind == "f":
        if low >= 0 and high <= 1:
            high, low = 1.0, 0.0
        elif low >= 0 and high <= 255:
            high, low = 255.0, 0.0
    elif low >= 0 and high <= 65535:
        low, high = 0.0, float(next(top for top in (255, 1023, 4095, 16383, 65535) if high <= top))
    scaled = (finite.astype(np.float32) - low) * (255 / (high - low or 1.0))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
