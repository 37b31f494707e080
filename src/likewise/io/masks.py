"""Read masks, label maps, scribbles and boxes as arrays of the image's size.

Inside the project a mask is ``(h w)`` bool. Sources are those of `likewise.io.images.read_image`, and arrays of other
types where a function says so.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, UInt8

from likewise.errors import ArgumentError, ImageError, warn
from likewise.io.components import label_pieces
from likewise.io.images import DEPTHS, LOSSY, Source, format_size, is_tensor, open_file, tensor_values

Colour = tuple[int, int, int]
Label = int | Colour | Literal["nonzero"]
"""What selects the object in a mask of several classes: a value, an RGB colour, or everything that is not 0."""

MaskSource = Source | Callable[[], np.ndarray]
"""A source of `read_image`, the path of a .npy or .npz file, or a function that returns an array."""

SOFT_EDGE = (17, 239)
"""Grey values between these belong to the soft edges of a black-and-white mask, not to its black or white."""

MOST_FLAT = 0.1
"""Largest fraction of the values beside black and white that may lie in flat areas; noise and soft edges are not flat.
JPEG of quality 50 to 100, stored as PNG, has at most 0.06 (drawn shapes); labels have more than 0.5."""

LOSSY_DISTANCE = 40
"""Largest difference of a channel between a colour and its copy in a lossy file."""

STROKE_CONTRAST = 64
"""A stroke's colour channel exceeds the other two by more than this, of 255; dark green (0, 128, 0) passes."""

MOST_LABELS = 64
"""A grey image with more different values than this is reported as a photograph, not as a label image."""


def read_mask(
    mask: MaskSource, *, label: Label | None = None, size: tuple[int, int] | None = None
) -> Bool[np.ndarray, "h w"]:
    """Return where the object is; the result may be empty.

    The first matching rule applies:

    1. With `label`: pixels of that stored value (palette images store indices, others grey values), of that colour, or
       of any but 0.
    2. An alpha channel that is not constant: alpha above half of its maximum, since paint may be translucent.
    3. 1-bit images and boolean arrays: their true pixels. Floats in [0, 1]: above 0.5.
    4. One value beside 0 (0/1, 0/255, 0/7), or one colour beside black: that value or colour.
    5. Black and white, or black and one colour, with soft edges or noise (antialiasing, JPEG): above the middle.
    6. Instance ids (more than 8 bits or more than 64 values, each in one piece): all but 0, with a warning.

    Values are those stored: a TIFF whose PhotometricInterpretation displays 0 as white is not inverted.

    Args:
        mask: Also a bool, integer or float array ``(h w)``.
        label: The object's value or colour in a mask of several classes.
        size: Expected ``(h, w)``.

    Raises:
        ImageError: The file cannot be read, has another size, or matches no rule; the message then lists its values.
    """
    stored = _stored_values(mask)
    name, values, palette = stored.name, stored.values, stored.palette
    _check_size(name, "mask", values.shape[:2], size)
    if label is not None:
        return _labelled(stored, label)
    if values.ndim == 3:
        if values.shape[2] == 4 and values[..., 3].min() != values[..., 3].max():
            return values[..., 3] > values[..., 3].max() // 2
        return _coloured_mask(name, values[..., :3], stored.lossy)
    if palette is not None and _is_grey(palette[_present(values), :3]):
        values = palette[values, 0]  # a quantised black-and-white image: its indices carry no meaning
    return _grey_mask(name, values, stored.lossy)


def parse_label(text: str) -> Label:
    """Return the label that a text names: ``7``, ``128,0,0``, ``#800000`` or ``nonzero``.

    Raises:
        ArgumentError: None of them.
    """
    if text == "nonzero":
        return "nonzero"
    if text.startswith("#") and len(text) == 7:
        parts = [text[at : at + 2] for at in (1, 3, 5)]
        numbers = [int(part, 16) if set(part.lower()) <= set("0123456789abcdef") else -1 for part in parts]
    else:
        numbers = [int(part) if part.strip().isdecimal() else -1 for part in text.split(",")]
    if len(numbers) == 1 and numbers[0] >= 0:
        return numbers[0]
    if len(numbers) == 3 and 0 <= min(numbers) <= max(numbers) <= 255:
        return numbers[0], numbers[1], numbers[2]
    raise ArgumentError(
        f"a label is a number, a colour such as 128,0,0 or #800000, or nonzero (all but 0); got {text!r}"
    )


def read_labels(source: Source) -> UInt8[np.ndarray, "h w"]:
    """Return the stored values of a label image: palette indices or grey values in [0, 255].

    Raises:
        ImageError: The file cannot be read, is in colour, or holds other values.
    """
    stored = _stored_values(source)
    name, labels = stored.name, _label_plane(stored.name, stored.values)
    if labels.size and not 0 <= labels.min() <= labels.max() <= 255:
        raise ImageError(f"{name}: labels must lie in 0-255; its labels are {_listed(_present(labels))}")
    return labels.astype(np.uint8)


def read_scribbles(
    scribbles: Source, *, size: tuple[int, int] | None
) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Return the foreground strokes and the background strokes; all other pixels are unknown.

    Two formats are supported:

    - A label image (palette or grey): 0 unknown, 1 foreground, 2 background.
    - Colours on a transparent, black or white canvas: **green is foreground, red is background**. A stroke pixel has a
      green (or red) channel above both others by more than `STROKE_CONTRAST`, so that dark strokes and soft edges
      count. Strokes on the photograph itself are refused, since its own greens would count too.

    A palette image is read by its indices if these are 0, 1 and 2, unless the palette gives them bright green or red,
    as drawing programs that save colours as a palette do.

    Args:
        size: Expected ``(h, w)``.

    Raises:
        ImageError: Another size, other values or colours, or no foreground stroke. Background strokes may be absent.
    """
    stored = _stored_values(scribbles)
    name, values, palette = stored.name, stored.values, stored.palette
    _check_size(name, "scribbles image", values.shape[:2], size)
    if palette is not None:
        used = palette[_present(values), :3]
        # above 140: in PASCAL VOC's palette, label 1 is dark red and label 2 dark green, both of brightness 128
        bright = (_strokes(used) & (used.max(axis=1) > 140)).any()
        if bright or not set(_present(values)) <= {0, 1, 2}:
            values = palette[values]
    if values.ndim == 3 and not _is_grey(values[..., :3]):
        foreground, background = _coloured_strokes(name, values)
    else:
        labels = _label_plane(name, values)
        present = _present(labels)
        if not set(present) <= {0, 1, 2}:
            raise ImageError(
                f"{name}: scribbles are values 0 (unknown), 1 (foreground) and 2 (background), or green (foreground) "
                f"and red (background) strokes; this grey image holds {_listed(present)}"
            )
        foreground, background = labels == 1, labels == 2
    if not foreground.any():
        raise ImageError(f"{name}: no foreground stroke; draw one over the object in green, or with label 1")
    return foreground, background


def parse_box(text: str) -> tuple[float, float, float, float]:
    """Return the four numbers of ``x0,y0,x1,y1``; `box_mask` checks that they form a box.

    Raises:
        ArgumentError: Not four numbers.
    """
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        raise ArgumentError(
            f"a box is four numbers x0,y0,x1,y1 in pixels, such as 40,30,200,180; got {text!r}"
        ) from None
    return x0, y0, x1, y1


def box_mask(box: Sequence[float], size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Return a mask that is true inside the box.

    Args:
        box: ``(x0, y0, x1, y1)`` in pixels from the top left corner, x1 and y1 exclusive. A pixel is inside if its
            centre is. Parts outside the image are cut off.
        size: ``(h, w)`` of the image.

    Raises:
        ArgumentError: The box is not four finite numbers, is normalised (all in [0, 1]), is reversed, contains no
            pixel, or lies outside the image.
    """
    if len(box) != 4:
        raise ArgumentError(f"a box is four numbers (x0, y0, x1, y1) in pixels; got {box!r}")
    height, width = size
    x0, y0, x1, y1 = box
    numbers = ",".join(f"{edge:g}" for edge in box)
    name = f"box {numbers} (x0,y0,x1,y1) in an image of {format_size(height, width)}"
    if not all(math.isfinite(edge) for edge in box):
        raise ArgumentError(f"{name}: all four numbers must be finite")
    if all(0 <= edge <= 1 for edge in box) and (width > 1 or height > 1):
        raise ArgumentError(
            f"{name}: normalised numbers; multiply x by {width} and y by {height}, since a box is in pixels"
        )
    if x1 < x0 or y1 < y0:
        raise ArgumentError(f"{name}: reversed; x0,y0 is the top left corner and x1,y1 the bottom right corner")
    left, top, right, bottom = (math.ceil(edge - 0.5) for edge in (x0, y0, x1, y1))
    if left >= right or top >= bottom:
        raise ArgumentError(f"{name}: contains no pixel; x1 must exceed x0 and y1 must exceed y0 by at least one pixel")
    if left >= width or top >= height or right <= 0 or bottom <= 0:
        raise ArgumentError(f"{name}: lies outside the image")
    mask = np.zeros((height, width), dtype=bool)
    mask[max(top, 0) : bottom, max(left, 0) : right] = True
    return mask


@dataclass(frozen=True)
class _Stored:
    """The values of a mask as stored.

    Attributes:
        name: For messages.
        values: ``(h w)`` of any type (palette indices for a palette image), or ``(h w 3)`` or ``(h w 4)`` uint8.
        palette: RGBA palette of a palette image.
        lossy: Whether the format may have changed values a little.
    """

    name: str
    values: np.ndarray
    palette: UInt8[np.ndarray, "256 4"] | None = None
    lossy: bool = False


def _stored_values(source: MaskSource) -> _Stored:
    name = "the given array"
    if isinstance(source, str | Path) and Path(source).suffix.lower() in (".npy", ".npz"):
        name, source = str(source), read_array(Path(source))
    elif callable(source):
        source = source()
    if is_tensor(source):
        source = tensor_values(source)
    if isinstance(source, np.ndarray):
        plane = source.ndim == 2 and source.dtype.kind in "buif"
        colours = source.ndim == 3 and source.shape[2] in (3, 4) and source.dtype == np.uint8
        if not (plane or colours) or not source.size:
            raise ImageError(
                "a mask array is (height, width) of bool, integers or floats, or (height, width, 3 or 4) uint8; "
                f"{'got' if name == 'the given array' else name + ' has'} shape {source.shape} {source.dtype}"
            )
        return _Stored(name, source)
    opened = open_file(source)
    name, image, lossy = opened.name, opened.image, opened.format in LOSSY
    if image.mode == "P":
        # 256 rows, so that an index beyond a short palette is black instead of an error
        palette = np.zeros((256, 4), dtype=np.uint8)
        image.apply_transparency()
        stored = np.array(image.getpalette("RGBA") or [], dtype=np.uint8).reshape(-1, 4)
        palette[: len(stored)] = stored
        return _Stored(name, np.asarray(image), palette, lossy)
    if image.mode in {"1", "L", "F"} or image.mode.startswith("I"):
        values = np.asarray(image)
        return _Stored(name, 255 - values if opened.inverted else values, None, lossy)
    colours = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return _Stored(name, np.asarray(colours), None, lossy)


def read_stored(path: Path) -> np.ndarray:
    """Return the values of a mask file as stored: ``(h w)`` palette indices or grey values, or ``(h w 3 or 4)``.

    Raises:
        ImageError: The file cannot be read.
    """
    return _stored_values(path).values


def read_array(path: Path) -> np.ndarray:
    """Return the array in a .npy file, or the only one in a .npz file (or its ``mask``).

    Raises:
        ImageError: The file cannot be read, or holds Python objects or several arrays.
    """
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        with content:
            names = content.files
            chosen = names[0] if len(names) == 1 else next((name for name in names if name in ("mask", "masks")), None)
            if chosen is not None:
                return content[chosen]
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file; check the name") from None
    except Exception as error:  # zipfile and numpy raise several types on damaged data
        raise ImageError(
            f"{path}: cannot be read as an array ({error}); save it with np.save(path, mask) as numbers or bool"
        ) from error
    raise ImageError(f"{path}: holds several arrays, {', '.join(names)}; name one of them mask")


def _check_size(name: str, kind: str, found: tuple[int, ...], size: tuple[int, int] | None) -> None:
    if size is None or found == size:
        return
    advice = "draw it on an image of the same size"
    if found == (size[1], size[0]):
        advice = (
            "width and height are swapped: the image has an EXIF rotation that the tool which made "
            f"the {kind} ignored; rotate the {kind} to match the displayed image"
        )
    raise ImageError(
        f"{name}: the {kind} is {format_size(found[0], found[1])}, but its image is {format_size(*size)}; {advice}"
    )


def _label_plane(name: str, values: np.ndarray) -> np.ndarray:
    """Return stored values as ``(h w)`` integers."""
    if values.ndim == 3:
        if not _is_grey(values[..., :3]):
            raise ImageError(
                f"{name}: labels are the stored values of a palette or greyscale image, and this one is in colour; "
                "save it as a palette PNG whose indices are the labels"
            )
        return values[..., 0]
    if values.dtype.kind == "f":
        if not np.array_equal(values, np.rint(values)):
            raise ImageError(f"{name}: labels are whole numbers, and this image holds fractions")
        return values.astype(np.int64)
    return values.astype(np.uint8) if values.dtype == bool else values


def _labelled(stored: _Stored, label: Label) -> Bool[np.ndarray, "h w"]:
    """Return the pixels that `label` selects, at least one."""
    values = stored.values
    if isinstance(label, tuple):
        if stored.palette is not None:
            values = stored.palette[values]
        if values.ndim == 2:
            raise ImageError(f"{stored.name}: has no colours; select a value with --label N (label=N)")
        away = np.abs(values[..., :3].astype(np.int16) - np.array(label, np.int16)).max(axis=2)
        chosen, known = away <= (LOSSY_DISTANCE if stored.lossy else 0), _colours(values)
    elif label == "nonzero":
        chosen, known = (values if values.ndim == 2 else values[..., :3].max(axis=2)) != 0, "0"
    else:
        labels = _label_plane(stored.name, values)
        chosen, known = labels == label, _listed(_present(labels))
    if not chosen.any():
        text = ",".join(map(str, label)) if isinstance(label, tuple) else label
        raise ImageError(f"{stored.name}: no pixel has label {text}; its labels are {known}")
    return chosen


def _coloured_mask(name: str, colours: UInt8[np.ndarray, "h w 3"], lossy: bool) -> Bool[np.ndarray, "h w"]:
    if _is_grey(colours):
        return _grey_mask(name, colours[..., 0], lossy)
    painted = colours.max(axis=2) > 0
    if (colours[painted] == colours[painted][0]).all():
        return painted
    bright = colours[colours.max(axis=2) > 127]
    if bright.size:
        colour = _by_frequency(bright)[0].astype(np.float32)
        share = (colours @ colour) / (colour @ colour)
        away = np.abs(colours - share[..., None] * colour).max(axis=2) > (LOSSY_DISTANCE if lossy else 2)
        grey = np.rint(share.clip(0, 1) * 255).astype(np.uint8)
        # a lossy format blurs colours along outlines, an area of another colour is thick
        if not (_inner(away, 2) if lossy else away).any() and _has_soft_edges(grey, lossy):
            return grey > 127
    raise ImageError(
        f"{name}: has several colours, {_colours(colours)}; select the object's with --label R,G,B (label=(r, g, b))"
    )


def _inner(mask: Bool[np.ndarray, "h w"], width: int) -> Bool[np.ndarray, "_h _w"]:
    """Return where a mask is true in the whole square of `width` pixels around a pixel, for inner pixels."""
    side = 2 * width + 1
    if min(mask.shape) < side:
        return np.zeros((0, 0), bool)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(mask, (side, side)).all(axis=(2, 3)))


def _by_frequency(colours: UInt8[np.ndarray, "*axes c"]) -> UInt8[np.ndarray, "n 3"]:
    """Return the distinct RGB colours, the most frequent first."""
    packed = colours[..., :3].reshape(-1, 3).astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    found, counts = np.unique(packed, return_counts=True)
    ordered = found[np.argsort(-counts, kind="stable")]
    return np.stack([ordered >> 16, ordered >> 8 & 255, ordered & 255], axis=1).astype(np.uint8)


def _colours(colours: UInt8[np.ndarray, "*axes c"]) -> str:
    found = _by_frequency(colours)
    text = "; ".join(",".join(map(str, colour)) for colour in found[:6].tolist())
    return f"{text}; ... ({len(found)} in all)" if len(found) > 6 else text


def _grey_mask(name: str, values: np.ndarray, lossy: bool = False) -> Bool[np.ndarray, "h w"]:
    if values.dtype == bool:
        return values.copy()
    if values.dtype.kind == "f":
        if np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1:
            return values > 0.5
        if not np.array_equal(values, np.rint(values)):
            raise ImageError(f"{name}: a float mask must lie in [0, 1]; it spans {values.min():g} to {values.max():g}")
        values = values.astype(np.int64)
    present = _present(values)
    if len(present) == 1 or (len(present) == 2 and present[0] == 0):
        return values > 0
    if present[0] >= 0:
        depth = next((depth for depth in DEPTHS if present[-1] <= depth), present[-1])
        grey = values if depth == 255 else np.rint(values * (255 / depth))
        if _has_soft_edges(grey.astype(np.uint8), lossy):
            return grey > 127
    if _has_instances(values, present):
        warn(
            f"{name}: read as instance ids: its {len(present) - 1} objects are one mask; select one of them with "
            "--label N (label=N)"
        )
        return values > 0
    if len(present) > MOST_LABELS:
        raise ImageError(
            f"{name}: holds {len(present)} different values and is probably a photograph; a mask is black and white, "
            "or a label image with --label (label=...)"
        )
    raise ImageError(
        f"{name}: holds several labels, {_listed(present)}; select the object's with --label N (label=N), or all with "
        "--label nonzero"
    )


def _has_soft_edges(grey: UInt8[np.ndarray, "h w"], lossy: bool) -> bool:
    """Return whether values are black and white with soft edges or noise, as opposed to labels.

    In between are fewer values than white ones, and they are not flat. A label image such as 0, 15, 255 (PASCAL VOC,
    with 255 to be ignored) must not pass: its 255 would become the object.
    """
    low, high = SOFT_EDGE
    counts = np.bincount(grey.ravel(), minlength=256)
    black, white = counts[:128].argmax(), 128 + counts[128:].argmax()
    if not (black < low and white >= high and counts[black] and counts[white]):
        return False
    if counts[low:high].sum() >= counts[high:].sum():
        return False
    others = (grey != black) & (grey != white)
    flat = others[1:-1, 1:-1].copy()
    for rows, columns in ((0, 1), (2, 1), (1, 0), (1, 2)):
        height, width = flat.shape
        flat &= grey[rows : rows + height, columns : columns + width] == grey[1:-1, 1:-1]
    return lossy or bool(flat.sum() <= MOST_FLAT * others.sum())


def _has_instances(values: np.ndarray, present: np.ndarray) -> bool:
    """Return whether the values are plainly ids of objects: many or deep, 0 among them, and nearly all in one piece."""
    # labels of classes have 8 bits in files, and 64 in arrays that name no type
    if present[0] != 0 or (values.dtype.itemsize not in (2, 4) and len(present) <= MOST_LABELS):
        return False
    if (values[:, 1:] == values[:, :-1]).mean() < 0.5:  # a photograph
        return False
    return int(label_pieces(values).max()) <= 1.1 * (len(present) - 1)


def _strokes(colours: UInt8[np.ndarray, "*axes 3"]) -> Bool[np.ndarray, "..."]:
    """Return where a colour is green and where it is red, stacked along a new first axis."""
    red, green, blue = np.moveaxis(colours.astype(np.int16), -1, 0)
    return np.stack([green - np.maximum(red, blue) > STROKE_CONTRAST, red - np.maximum(green, blue) > STROKE_CONTRAST])


def _coloured_strokes(name: str, colours: np.ndarray) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    drawn = colours[..., 3] > 127 if colours.shape[2] == 4 else np.ones(colours.shape[:2], dtype=bool)
    colours = colours[..., :3]
    foreground, background = _strokes(colours) & drawn
    canvas = (colours.max(axis=2) <= 64) | (colours.min(axis=2) >= 191)
    other = drawn & ~foreground & ~background & ~canvas
    # soft crossings of strokes leave a few pixels of other colours
    if other.sum() > 0.25 * (foreground.sum() + background.sum()):
        example = tuple(int(value) for value in colours[other][0])
        raise ImageError(
            f"{name}: {int(other.sum())} pixels are neither green (foreground) nor red (background) strokes nor plain "
            f"canvas, for example RGB {example}; draw on a transparent, black or white canvas, not on the photograph"
        )
    return foreground, background


def _is_grey(colours: UInt8[np.ndarray, "*axes 3"]) -> bool:
    return bool((colours[..., :1] == colours[..., 1:]).all())


def _present(values: np.ndarray) -> np.ndarray:
    """Return the distinct values in ascending order."""
    if values.dtype in (np.uint8, np.uint16):  # faster than np.unique, which sorts
        return np.bincount(values.ravel()).nonzero()[0]
    return np.unique(values)


def _listed(values: np.ndarray) -> str:
    text = ", ".join(str(int(value)) for value in values[:24])
    return f"{text}, ... ({len(values)} in all)" if len(values) > 24 else text
