"""Read masks and label maps as arrays of the image's size.

Inside the project a mask is ``(h w)`` bool. Sources are those of `likewise.io.images.read_image`, and arrays of other
types where a function says so.
"""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, UInt8, UInt32

from likewise.errors import ArgumentError, ImageError, warn
from likewise.io.components import label_pieces
from likewise.io.depth import DEPTHS
from likewise.io.images import Source
from likewise.io.stored_values import (
    MaskSource,
    StoredValues,
    check_size,
    is_grey,
    label_plane,
    listed,
    present_values,
    stored_values,
)

Colour = tuple[int, int, int]
Label = int | Colour | Literal["nonzero"]
"""What selects the object in a mask of several classes: a value, an RGB colour, or everything that is not 0."""

SOFT_EDGE = (17, 239)
"""Grey values between these belong to the soft edges of a black-and-white mask, not to its black or white."""

MOST_FLAT = 0.1
"""Largest fraction of the values beside black and white that may lie in flat areas; noise and soft edges are not flat.
JPEG of quality 50 to 100, stored as PNG, has at most 0.06 (drawn shapes); labels have more than 0.5."""

LOSSY_DISTANCE = 40
"""Largest difference of a channel between a colour and its copy in a lossy file."""

LEAST_PAINT = 48
"""Brightness of the brightest channel from which a colour on black can be distinguished from noise."""

TINT = 16
"""Largest difference of a channel between a shade of a colour and the same shade with the noise of a lossy file."""

FEW = 8
"""Pixels of other colours than one with at most as many different values are no noise."""

EVEN = 24
"""Largest range of a channel in an area of one colour in a lossy file."""

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
    stored = stored_values(mask)
    name, values, palette = stored.name, stored.values, stored.palette
    check_size(name, "mask", values.shape[:2], size)
    if label is not None:
        return _labelled(stored, label)
    if values.ndim == 3:
        if values.shape[2] == 4 and values[..., 3].min() != values[..., 3].max():
            return values[..., 3] > values[..., 3].max() // 2
        return _coloured_mask(name, values[..., :3], stored.lossy)
    if palette is not None and is_grey(palette[present_values(values), :3]):
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
    stored = stored_values(source)
    name, labels = stored.name, label_plane(stored.name, stored.values)
    if labels.size and not 0 <= labels.min() <= labels.max() <= 255:
        raise ImageError(f"{name}: labels must lie in 0-255; its labels are {listed(present_values(labels))}")
    return labels.astype(np.uint8)


def _labelled(stored: StoredValues, label: Label) -> Bool[np.ndarray, "h w"]:
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
        if values.ndim == 3 and not is_grey(values[..., :3]):
            raise ImageError(
                f"{stored.name}: label {label} of an image in colours, {_colours(values)}; select the object's with "
                "--label R,G,B (label=(r, g, b))"
            )
        labels = label_plane(stored.name, values)
        chosen, known = labels == label, listed(present_values(labels))
    if not chosen.any():
        text = ",".join(map(str, label)) if isinstance(label, tuple) else label
        raise ImageError(f"{stored.name}: no pixel has label {text}; its labels are {known}")
    return chosen


def _coloured_mask(name: str, colours: UInt8[np.ndarray, "h w 3"], lossy: bool) -> Bool[np.ndarray, "h w"]:
    if is_grey(colours):
        return _grey_mask(name, colours[..., 0], lossy)
    painted = colours.max(axis=2) > 0
    if (colours[painted] == colours[painted][0]).all():
        return painted
    colour = _paint(colours, lossy)
    if colour is not None:
        return colours @ colour > 0.5 * (colour @ colour)
    raise ImageError(
        f"{name}: has several colours, {_colours(colours)}; select the object's with --label R,G,B (label=(r, g, b))"
    )


def _paint(colours: UInt8[np.ndarray, "h w 3"], lossy: bool) -> Float32[np.ndarray, "3"] | None:
    """Return the colour of an image of one colour on black, with soft edges or noise; None if it has other colours."""
    brightness = colours.max(axis=2)
    brightest = int(brightness.max())
    if brightest < LEAST_PAINT:
        return None
    colour = np.median(colours[brightness > brightest // 2], axis=0).astype(np.float32)
    away = np.abs(colours - colour).max(axis=2)
    distance = min(LOSSY_DISTANCE, 0.4 * float(colour.max()))
    others = (brightness > distance) & (away > distance)
    if not lossy:  # it may be a lossy one, saved again: then values hardly repeat
        share = (colours @ colour) / (colour @ colour)
        tinted = np.abs(colours - share[..., None] * colour).max(axis=2) > TINT
        if (found := len(np.unique(_packed(colours[tinted])))) <= FEW and 4 * found < tinted.sum():
            return None
    # a lossy format blurs colours along outlines; an area of another colour is thick, or even
    if _windows(others, 5).all(axis=(2, 3)).any():
        return None
    ranges = [np.ptp(_windows(colours[..., channel], 3), axis=(2, 3)) for channel in range(3)]
    even = _windows(others, 3).all(axis=(2, 3)) & (np.max(ranges, axis=0) <= EVEN)
    return None if even.sum() > 2 else colour


def _windows(plane: np.ndarray, side: int) -> np.ndarray:
    """Return the squares of `side` pixels in a plane, none if it is smaller."""
    if min(plane.shape) < side:
        return np.zeros((0, 0, side, side), plane.dtype)
    return np.lib.stride_tricks.sliding_window_view(plane, (side, side))


def _packed(colours: UInt8[np.ndarray, "*axes c"]) -> UInt32[np.ndarray, " n"]:
    """Return RGB colours as numbers."""
    return colours[..., :3].reshape(-1, 3).astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)


def _by_frequency(colours: UInt8[np.ndarray, "*axes c"]) -> UInt8[np.ndarray, "n 3"]:
    """Return the distinct RGB colours, the most frequent first."""
    found, counts = np.unique(_packed(colours), return_counts=True)
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
    present = present_values(values)
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
        f"{name}: holds several labels, {listed(present)}; select the object's with --label N (label=N), or all with "
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
