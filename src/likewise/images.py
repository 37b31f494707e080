"""Pictures and masks as they are in the wild, in; files that are never half written, out.

Inside the project a picture is ``(h w 3)`` uint8 RGB, upright (as a viewer shows it), a mask is ``(h w)``
bool. Everything that a file may hold beside that ends here: orientation tags, other colour modes and depths,
palettes, alpha, several frames, damage. Colour profiles are not applied: the numbers in the file are taken as
sRGB.

Every failure of a file is a `PictureError` whose message names the file, what came and what to do.
"""

import contextlib
import math
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import ExifTags, Image, UnidentifiedImageError

Source = str | Path | Image.Image | np.ndarray

# How a stored picture is turned to stand upright, by the value of its EXIF orientation tag.
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

_NOT_PICTURES = (
    (b"<!doctype html", "a web page, not a picture: the download went wrong, download it again"),
    (b"<html", "a web page, not a picture: the download went wrong, download it again"),
    (b"<svg", "an SVG drawing: export it as PNG first"),
    (b"<?xml", "an XML document: export it as PNG first if it is a drawing"),
    (b"%pdf", "a PDF document: export its pages as PNG first"),
    (b"version https://git-lfs", "a Git LFS pointer: run `git lfs pull` first"),
)

PART_PREFIX = ".likewise-part-"  # names of files being written; see `written`


class PictureError(ValueError):
    """A file (or an image object) that cannot be used as the picture or mask it was given as."""


def shown_size(height: int, width: int) -> str:
    """A size as messages give it: ``640x480 (width x height)``."""
    return f"{width}x{height} (width x height)"


def read_picture(picture: Source) -> UInt8[np.ndarray, "h w 3"]:
    """The picture as RGB, upright.

    A path, an image of Pillow's, or an array that is already ``(h w 3)`` uint8 RGB (returned as it is where
    it is contiguous and writable).

    - EXIF orientation is honoured, of files and of Pillow's images alike.
    - Of an animation or a multi-page file the first frame is read.
    - Transparent pictures are laid on white, as a page shows them.
    - Greyscale of more than 8 bits is scaled, not clipped: 16-bit files by the smallest usual camera depth
      (8, 10, 12, 14, 16 bits) that holds their brightest pixel, since 12-bit cameras write 16-bit files;
      floats as they are in [0, 1] or [0, 255]; anything else from its minimum to its maximum.
    - CMYK and the other colour spaces become RGB by Pillow's plain conversion.

    Raises `PictureError` for what cannot be read, `ValueError` for an array of another shape or type.
    """
    if isinstance(picture, np.ndarray):
        return _checked_array(picture)
    name, image = _opened(picture)
    try:
        if image.mode.startswith("I") or image.mode == "F":
            return np.repeat(_to_8_bits(np.asarray(image))[..., None], 3, axis=2)
        if image.has_transparency_data:
            # RGBA first: only this way do palettes and colour keys give up their transparency
            rgba = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            return np.array(Image.alpha_composite(white, rgba).convert("RGB"))
        return np.array(image.convert("RGB"))
    except (ValueError, OSError) as error:
        raise PictureError(f"{name}: cannot convert mode {image.mode} to RGB ({error}); save it as RGB") from error


def read_mask(
    mask: Source, *, label: int | None = None, size: tuple[int, int] | None = None
) -> Bool[np.ndarray, "h w"]:
    """Where the object is. An empty mask is allowed here; the models refuse it.

    What counts as the object, in this order:

    1. with `label`: the pixels whose stored value is `label`: palette indices for a palette PNG, grey values
       otherwise; colours and alpha play no part;
    2. an alpha channel that is not constant: alpha above 127;
    3. 1-bit pictures and boolean arrays: as they are; floats in [0, 1]: above 0.5;
    4. at most one value beside 0 (0/1, 0/255, 0/7): that value; two colours of which one is black: the other;
    5. black and white with a soft edge (anti-aliasing, JPEG): above 127.

    Several values otherwise are a label picture, and an error lists them and asks for `label`.

    `size` is the picture's ``(h, w)``; a mask of another size raises `PictureError`.
    """
    name, values, palette = _stored_values(mask)
    _check_size(name, "mask", values.shape[:2], size)
    if label is not None:
        labels = _plane_of_labels(name, values)
        chosen = labels == label
        if not chosen.any():
            raise PictureError(f"{name}: no pixel has label {label}; there are {_listed(_present(labels))}")
        return chosen
    if values.ndim == 3:
        if values.shape[2] == 4 and values[..., 3].min() != values[..., 3].max():
            return values[..., 3] > 127
        return _coloured_mask(name, values[..., :3])
    if palette is not None and _is_grey(palette[_present(values), :3]):
        values = palette[values, 0]  # a quantised black and white picture: its indices mean nothing
    return _grey_mask(name, values)


def read_labels(path: Source) -> UInt8[np.ndarray, "h w"]:
    """The stored values of a label picture (palette indices or grey values): 0 background, 255 ignored."""
    name, values, _ = _stored_values(path)
    labels = _plane_of_labels(name, values)
    if labels.size and not 0 <= labels.min() <= labels.max() <= 255:
        raise PictureError(f"{name}: labels must lie in 0-255, there are {_listed(_present(labels))}")
    return labels.astype(np.uint8)


def read_scribbles(
    scribbles: Source, *, size: tuple[int, int] | None
) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """The foreground strokes and the background strokes; every other pixel is unknown.

    Two ways to draw them:

    - a label picture (palette or grey): 0 unknown, 1 foreground, 2 background;
    - colours on a transparent, black or white canvas: **green is foreground, red is background**. A pixel
      belongs to a stroke where its green (or red) exceeds both other channels by more than 64 of 255, so that
      bright and dark greens count and soft edges do too. Strokes painted onto the photograph itself are
      refused, since the grass in it would be green too: paint them on a layer of their own and save that.

    A palette picture is read by its indices if they are 0, 1, 2, unless its palette makes bright green or red
    of them, as a drawing program does that saves colours as a palette.

    `size` is the picture's ``(h, w)``. Raises `PictureError` for another size, other values or colours, and
    where no foreground stroke is found. Background strokes may be missing.
    """
    name, values, palette = _stored_values(scribbles)
    _check_size(name, "scribbles picture", values.shape[:2], size)
    if palette is not None:
        used = palette[_present(values), :3]
        # above 140: the customary label palette (PASCAL VOC) has 1 dark red and 2 dark green, of 128
        vivid = (_strokes(used) & (used.max(axis=1) > 140)).any()
        if vivid or not set(_present(values)) <= {0, 1, 2}:
            values = palette[values]
    if values.ndim == 3 and not _is_grey(values[..., :3]):
        foreground, background = _coloured_strokes(name, values)
    else:
        labels = _plane_of_labels(name, values)
        present = _present(labels)
        if not set(present) <= {0, 1, 2}:
            raise PictureError(
                f"{name}: scribbles are values 0 (unknown), 1 (foreground), 2 (background), or green "
                f"(foreground) and red (background) strokes in colour; this is grey with {_listed(present)}"
            )
        foreground, background = labels == 1, labels == 2
    if not foreground.any():
        raise PictureError(
            f"{name}: no foreground stroke; draw one over the object in green (or with value 1 in a label picture)"
        )
    return foreground, background


def parse_box(text: str) -> tuple[float, float, float, float]:
    """The four numbers of ``x0,y0,x1,y1``; whether they make a box is for `box_mask` to say."""
    parts = text.split(",")
    try:
        x0, y0, x1, y1 = (float(part) for part in parts)
    except ValueError:
        raise ValueError(f"a box is four numbers x0,y0,x1,y1 in pixels, such as 40,30,200,180; got {text!r}") from None
    return x0, y0, x1, y1


def box_mask(box: tuple[float, float, float, float], size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """True inside the box, for a picture of ``(h, w)``.

    The box is ``(x0, y0, x1, y1)`` in pixels from the top left corner, x1 and y1 exclusive; with fractions, a
    pixel is inside when its centre is. What reaches beyond the picture is cut off. Raises `ValueError` for a
    box that is not finite, reversed, without a pixel, or wholly outside.
    """
    height, width = size
    x0, y0, x1, y1 = box
    shown = ",".join(f"{edge:g}" for edge in box)
    what = f"box {shown} (x0,y0,x1,y1) in a picture of {shown_size(height, width)}"
    if not all(math.isfinite(edge) for edge in box):
        raise ValueError(f"{what}: all four numbers must be finite")
    if x1 < x0 or y1 < y0:
        raise ValueError(f"{what}: reversed; x0,y0 is the top left corner and x1,y1 the bottom right one")
    left, top, right, bottom = (math.ceil(edge - 0.5) for edge in (x0, y0, x1, y1))
    if left >= right or top >= bottom:
        raise ValueError(f"{what}: holds no pixel; x1 must exceed x0 and y1 must exceed y0, by a pixel at least")
    if left >= width or top >= height or right <= 0 or bottom <= 0:
        raise ValueError(f"{what}: lies wholly outside the picture")
    mask = np.zeros((height, width), dtype=bool)
    mask[max(top, 0) : bottom, max(left, 0) : right] = True
    return mask


@contextlib.contextmanager
def written(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; it takes the place of `path` when the block succeeds.

    The temporary name has the same suffix (writers go by it) and is hidden. The data reach the disk before
    the rename, so `path` is either absent, or what it was, or whole. When the block fails nothing is left.
    Missing folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.parent / f"{PART_PREFIX}{secrets.token_hex(6)}{path.suffix}"
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


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
    with written(path) as part:
        if jpeg:  # full chroma: contours are thin and coloured, and the usual halving smears them
            image.save(part, quality=92, subsampling=0)
        else:
            image.save(part)


def _opened(source: str | Path | Image.Image) -> tuple[str, Image.Image]:
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
        known = next((words for magic, words in _NOT_PICTURES if start.startswith(magic)), None)
        raise PictureError(
            f"{name}: {known or 'not a picture in a format that can be read; save it as JPEG or PNG'}"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(
            f"{name}: refused, since so large a picture may be a decompression bomb ({error}); scale it "
            "down, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust it"
        ) from error
    except PictureError:
        raise
    except Exception as error:  # on damaged bytes Pillow's readers raise nearly anything
        raise _damaged(name, error) from error


def _decoded(name: str, image: Image.Image) -> Image.Image:
    if not image.width or not image.height:
        raise PictureError(f"{name}: has no pixels, its size is {shown_size(image.height, image.width)}")
    try:
        image.load()
    except Exception as error:  # as above
        raise _damaged(name, error) from error
    try:
        # after loading: PNG may store the tag behind the pixels, TIFF and HEIF turn themselves and drop the
        # tag
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF; viewers too show the picture as it is stored
        turn = None
    return image.copy() if turn is None else image.transpose(turn)


def _damaged(name: str, error: Exception) -> PictureError:
    return PictureError(f"{name}: damaged or cut short ({error}); copy or download it again")


def _first_bytes(name: str, path: Path) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise PictureError(f"{name}: a folder, where one picture is needed; name a file in it")
        if not stat.S_ISREG(status.st_mode):
            raise PictureError(f"{name}: neither a file nor a folder; name a picture file")
        if status.st_size == 0:
            raise PictureError(f"{name}: empty (0 bytes); copy or download it again")
        with path.open("rb") as file:
            return file.read(64)
    except FileNotFoundError:
        advice = "a web address; download it first" if "://" in name else "no such file; check the name"
        raise PictureError(f"{name}: {advice}") from None
    except OSError as error:
        raise PictureError(f"{name}: cannot be read ({error.strerror}); check the name and its permissions") from error


def _read_heic_too(name: str) -> None:
    try:
        import pillow_heif
    except ImportError:
        raise PictureError(f"{name}: a HEIC picture; to read it, run: pip install likewise[heic]") from None
    pillow_heif.register_heif_opener()


def _checked_array(picture: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    if picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8 and picture.size:
        # torch takes neither negative strides nor read-only memory
        return np.require(picture, requirements=["C", "W"])
    if picture.ndim == 3 and picture.shape[0] == 3 and picture.shape[2] != 3:
        advice = "put the channels last: picture.transpose(1, 2, 0)"
    elif picture.ndim == 3 and picture.shape[2] == 4:
        advice = "drop the alpha channel: picture[..., :3]"
    elif picture.ndim == 2:
        advice = "repeat the grey plane: np.stack([picture] * 3, axis=2)"
    elif picture.ndim == 3 and picture.shape[2] == 3 and picture.size:
        advice = "scale it to 0-255 and convert it: picture.astype(np.uint8)"
    else:
        advice = "give one picture at a time, with at least one pixel"
    raise ValueError(
        f"a picture array must be (height, width, 3) uint8 RGB; got shape {picture.shape} {picture.dtype}; {advice}"
    )


def _to_8_bits(values: np.ndarray) -> UInt8[np.ndarray, "h w"]:
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


def _stored_values(source: Source) -> tuple[str, np.ndarray, UInt8[np.ndarray, "256 4"] | None]:
    """What to call it, the values as stored, and the RGBA palette if it has one.

    Values are ``(h w)`` of any type (of a palette picture its indices), or ``(h w 3)`` or ``(h w 4)`` uint8.
    """
    if isinstance(source, np.ndarray):
        plane = source.ndim == 2 and source.dtype.kind in "buif"
        colours = source.ndim == 3 and source.shape[2] in (3, 4) and source.dtype == np.uint8
        if not (plane or colours) or not source.size:
            raise ValueError(
                "a mask array must be (height, width) of bool, integers or floats, or (height, width, 3 or "
                f"4) uint8; got shape {source.shape} {source.dtype}"
            )
        return "the given array", source, None
    name, image = _opened(source)
    if image.mode == "P":
        # 256 rows whatever the file holds, so that indices beyond a short palette are black, not an error
        palette = np.zeros((256, 4), dtype=np.uint8)
        image.apply_transparency()
        stored = np.array(image.getpalette("RGBA") or [], dtype=np.uint8).reshape(-1, 4)
        palette[: len(stored)] = stored
        return name, np.asarray(image), palette
    if image.mode in {"1", "L", "F"} or image.mode.startswith("I"):
        return name, np.asarray(image), None
    return name, np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB")), None


def _check_size(name: str, kind: str, found: tuple[int, ...], size: tuple[int, int] | None) -> None:
    if size is None or found == size:
        return
    reason = "draw it on a picture of the same size"
    if found == (size[1], size[0]):
        reason = (
            "width and height are exchanged: the picture carries an EXIF rotation that the tool which made "
            f"the {kind} ignored; turn the {kind} to match what a viewer shows"
        )
    raise PictureError(
        f"{name}: the {kind} is {shown_size(found[0], found[1])}, but its picture is {shown_size(*size)}; {reason}"
    )


def _plane_of_labels(name: str, values: np.ndarray) -> np.ndarray:
    """``(h w)`` integers."""
    if values.ndim == 3:
        if not _is_grey(values[..., :3]):
            raise PictureError(
                f"{name}: labels are the stored values of a palette or greyscale picture, and this one is in "
                "colour; save it as a palette PNG whose indices are the labels"
            )
        return values[..., 0]
    if values.dtype.kind == "f":
        if not np.array_equal(values, np.rint(values)):
            raise PictureError(f"{name}: labels are whole numbers, and this holds fractions")
        return values.astype(np.int64)
    return values.astype(np.uint8) if values.dtype == bool else values


def _coloured_mask(name: str, colours: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    if _is_grey(colours):
        return _grey_mask(name, colours[..., 0])
    painted = colours.max(axis=2) > 0
    if (colours[painted] == colours[painted][0]).all():
        return painted
    raise PictureError(
        f"{name}: a picture in several colours, where a mask is needed; save the mask as a black and white "
        "PNG, or as a palette PNG and say which index is the object with --label (label=...)"
    )


def _grey_mask(name: str, values: np.ndarray) -> Bool[np.ndarray, "h w"]:
    if values.dtype == bool:
        return values.copy()
    if values.dtype.kind == "f":
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise PictureError(f"{name}: a mask of floats must lie in [0, 1]; it spans {_span(values)}")
        return values > 0.5
    present = _present(values)
    if len(present) == 1 or (len(present) == 2 and present[0] == 0):
        return values > 0
    if present[0] >= 0:
        grey = values if present[-1] <= 255 else _to_8_bits(values)
        if _has_soft_edges(grey):
            return grey > 127
    if len(present) > 64:
        raise PictureError(
            f"{name}: holds {len(present)} different values, so it looks like a photograph; a mask is black "
            "and white, or a label picture with --label (label=...)"
        )
    raise PictureError(
        f"{name}: holds several labels, {_listed(present)}; say which one is the object with --label (label=...)"
    )


def _has_soft_edges(grey: np.ndarray) -> bool:
    """Whether this is black and white with soft edges rather than labels.

    A label picture such as 0, 15, 255 (PASCAL VOC, 255 to be ignored) must not pass: taking its 255 for the
    object would be silently wrong. Soft edges have greys on both sides of the middle, and fewer of them than
    white.
    """
    counts = np.bincount(grey.ravel(), minlength=256)
    between = counts[17:239].nonzero()[0] + 17
    if len(between) < 3 or not between[0] <= 127 < between[-1]:
        return False
    return bool(counts[:17].sum() > 0 and counts[17:239].sum() < counts[239:].sum())


def _strokes(colours: UInt8[np.ndarray, "*axes 3"]) -> Bool[np.ndarray, "..."]:
    """Where a colour is green, and where it is red, along a new first axis."""
    red, green, blue = np.moveaxis(colours.astype(np.int16), -1, 0)
    return np.stack([green - np.maximum(red, blue) > 64, red - np.maximum(green, blue) > 64])


def _coloured_strokes(name: str, colours: np.ndarray) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    drawn = colours[..., 3] > 127 if colours.shape[2] == 4 else np.ones(colours.shape[:2], dtype=bool)
    colours = colours[..., :3]
    foreground, background = _strokes(colours) & drawn
    canvas = (colours.max(axis=2) <= 64) | (colours.min(axis=2) >= 191)
    other = drawn & ~foreground & ~background & ~canvas
    # a few pixels of other colours arise where strokes cross softly
    if other.sum() > 0.25 * (foreground.sum() + background.sum()):
        shown = tuple(int(value) for value in colours[other][0])
        raise PictureError(
            f"{name}: {int(other.sum())} pixels are neither green (foreground) nor red (background) strokes "
            f"nor a plain canvas, for example RGB {shown}; draw on a transparent, black or white canvas, "
            "not on the photo"
        )
    return foreground, background


def _is_grey(colours: UInt8[np.ndarray, "*axes 3"]) -> bool:
    return bool((colours[..., :1] == colours[..., 1:]).all())


def _present(values: np.ndarray) -> np.ndarray:
    """The different values, ascending."""
    if values.dtype in (np.uint8, np.uint16):  # many times quicker than sorting a large picture
        return np.bincount(values.ravel()).nonzero()[0]
    return np.unique(values)


def _listed(values: np.ndarray) -> str:
    shown = ", ".join(str(int(value)) for value in values[:24])
    return f"{shown}, ... ({len(values)} in all)" if len(values) > 24 else shown


def _span(values: np.ndarray) -> str:
    return f"{values.min():g} to {values.max():g}"
