"""Read masks, label maps, scribbles and boxes as arrays of the image's size.

Inside the project a mask is ``(h w)`` bool. Sources are those of `likewise.io.images.read_image`, and arrays of other
types where a function says so.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8

from likewise.errors import ArgumentError, ImageError
from likewise.io.images import Source, format_size, is_tensor, open_image, tensor_values, to_8_bits

SOFT_EDGE = (17, 239)
"""Grey values between these belong to the soft edges of a black-and-white mask, not to its black or white."""

STROKE_CONTRAST = 64
"""A stroke's colour channel exceeds the other two by more than this, of 255; dark green (0, 128, 0) passes."""

MOST_LABELS = 64
"""A grey image with more different values than this is reported as a photograph, not as a label image."""


def read_mask(
    mask: Source, *, label: int | None = None, size: tuple[int, int] | None = None
) -> Bool[np.ndarray, "h w"]:
    """Return where the object is; the result may be empty.

    The first matching rule applies:

    1. With `label`: pixels whose stored value is `label`. Palette images store indices, others grey values; colours
       and alpha are ignored.
    2. An alpha channel that is not constant: alpha above 127.
    3. 1-bit images and boolean arrays: their true pixels. Floats in [0, 1]: above 0.5.
    4. One value beside 0 (0/1, 0/255, 0/7), or one colour beside black: that value or colour.
    5. Black and white with soft edges (antialiasing, JPEG): above 127.

    Args:
        mask: Also a bool, integer or float array ``(h w)``.
        label: The object's value in a mask of several classes.
        size: Expected ``(h, w)``.

    Raises:
        ImageError: The file cannot be read, has another size, or matches no rule; the message then lists its values.
    """
    name, values, palette = _stored_values(mask)
    _check_size(name, "mask", values.shape[:2], size)
    if label is not None:
        labels = _label_plane(name, values)
        chosen = labels == label
        if not chosen.any():
            raise ImageError(f"{name}: no pixel has label {label}; its labels are {_listed(_present(labels))}")
        return chosen
    if values.ndim == 3:
        if values.shape[2] == 4 and values[..., 3].min() != values[..., 3].max():
            return values[..., 3] > 127
        return _coloured_mask(name, values[..., :3])
    if palette is not None and _is_grey(palette[_present(values), :3]):
        values = palette[values, 0]  # a quantised black-and-white image: its indices carry no meaning
    return _grey_mask(name, values)


def read_labels(source: Source) -> UInt8[np.ndarray, "h w"]:
    """Return the stored values of a label image: palette indices or grey values in [0, 255].

    Raises:
        ImageError: The file cannot be read, is in colour, or holds other values.
    """
    name, values, _ = _stored_values(source)
    labels = _label_plane(name, values)
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
    name, values, palette = _stored_values(scribbles)
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
        ArgumentError: The box is not four finite numbers, is reversed, contains no pixel, or lies outside the image.
    """
    if len(box) != 4:
        raise ArgumentError(f"a box is four numbers (x0, y0, x1, y1) in pixels; got {box!r}")
    height, width = size
    x0, y0, x1, y1 = box
    numbers = ",".join(f"{edge:g}" for edge in box)
    name = f"box {numbers} (x0,y0,x1,y1) in an image of {format_size(height, width)}"
    if not all(math.isfinite(edge) for edge in box):
        raise ArgumentError(f"{name}: all four numbers must be finite")
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


def _stored_values(source: Source) -> tuple[str, np.ndarray, UInt8[np.ndarray, "256 4"] | None]:
    """Return a name for messages, the values as stored, and the RGBA palette of a palette image.

    Values are ``(h w)`` of any type (palette indices for a palette image), or ``(h w 3)`` or ``(h w 4)`` uint8.
    """
    if is_tensor(source):
        source = tensor_values(source)
    if isinstance(source, np.ndarray):
        plane = source.ndim == 2 and source.dtype.kind in "buif"
        colours = source.ndim == 3 and source.shape[2] in (3, 4) and source.dtype == np.uint8
        if not (plane or colours) or not source.size:
            raise ImageError(
                "a mask array is (height, width) of bool, integers or floats, or (height, width, 3 or 4) uint8; "
                f"got shape {source.shape} {source.dtype}"
            )
        return "the given array", source, None
    name, image = open_image(source)
    if image.mode == "P":
        # 256 rows, so that an index beyond a short palette is black instead of an error
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


def _coloured_mask(name: str, colours: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    if _is_grey(colours):
        return _grey_mask(name, colours[..., 0])
    painted = colours.max(axis=2) > 0
    if (colours[painted] == colours[painted][0]).all():
        return painted
    raise ImageError(
        f"{name}: has several colours; save the mask as a black and white PNG, or as a palette PNG and select "
        "the object's index with --label (label=...)"
    )


def _grey_mask(name: str, values: np.ndarray) -> Bool[np.ndarray, "h w"]:
    if values.dtype == bool:
        return values.copy()
    if values.dtype.kind == "f":
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise ImageError(f"{name}: a float mask must lie in [0, 1]; it spans {values.min():g} to {values.max():g}")
        return values > 0.5
    present = _present(values)
    if len(present) == 1 or (len(present) == 2 and present[0] == 0):
        return values > 0
    if present[0] >= 0:
        grey = values if present[-1] <= 255 else to_8_bits(values)
        if _has_soft_edges(grey):
            return grey > 127
    if len(present) > MOST_LABELS:
        raise ImageError(
            f"{name}: holds {len(present)} different values and is probably a photograph; a mask is black and white, "
            "or a label image with --label (label=...)"
        )
    raise ImageError(f"{name}: holds several labels, {_listed(present)}; select the object's with --label (label=...)")


def _has_soft_edges(grey: np.ndarray) -> bool:
    """Return whether values are black and white with soft edges, as opposed to labels.

    Soft edges have greys on both sides of the middle, and fewer of them than white. A label image such as 0, 15, 255
    (PASCAL VOC, with 255 to be ignored) must not pass: its 255 would become the object.
    """
    low, high = SOFT_EDGE
    counts = np.bincount(grey.ravel(), minlength=256)
    between = counts[low:high].nonzero()[0] + low
    if len(between) < 3 or not between[0] <= 127 < between[-1]:
        return False
    return bool(counts[:low].sum() > 0 and counts[low:high].sum() < counts[high:].sum())


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
