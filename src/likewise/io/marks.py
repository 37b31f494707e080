"""Read scribbles and boxes as masks of the image's size."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8

from likewise.errors import ArgumentError, ImageError
from likewise.io.images import Source
from likewise.io.opening import format_size
from likewise.io.stored_values import check_size, is_grey, label_plane, listed, present_values, stored_values

Box = tuple[float, float, float, float]
"""`(x0, y0, x1, y1)` in pixels from the top left corner, the last two exclusive."""

STROKE_CONTRAST = 64
"""A stroke's colour channel exceeds the other two by more than this, of 255; dark green (0, 128, 0) passes."""


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
    stored = stored_values(scribbles)
    name, values, palette = stored.name, stored.values, stored.palette
    check_size(name, "scribbles image", values.shape[:2], size)
    if palette is not None:
        used = palette[present_values(values), :3]
        # above 140: in PASCAL VOC's palette, label 1 is dark red and label 2 dark green, both of brightness 128
        bright = (_strokes(used) & (used.max(axis=1) > 140)).any()
        if bright or not set(present_values(values)) <= {0, 1, 2}:
            values = palette[values]
    if values.ndim == 3 and not is_grey(values[..., :3]):
        foreground, background = _coloured_strokes(name, values)
    else:
        labels = label_plane(name, values)
        present = present_values(labels)
        if not set(present) <= {0, 1, 2}:
            raise ImageError(
                f"{name}: scribbles are values 0 (unknown), 1 (foreground) and 2 (background), or green (foreground) "
                f"and red (background) strokes; this grey image holds {listed(present)}"
            )
        foreground, background = labels == 1, labels == 2
    if not foreground.any():
        raise ImageError(f"{name}: no foreground stroke; draw one over the object in green, or with label 1")
    return foreground, background


def parse_box(text: str) -> Box:
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


def parse_points(text: str) -> list[tuple[float, float, int]]:
    """Return the points of ``x,y,+`` and ``x,y,-``, several with spaces between: label 1 on the object, 0 not.

    Raises:
        ArgumentError: Anything else.
    """
    found = []
    for point in text.split():
        x, y, sign = (*point.split(","), "+", "", "")[:3]
        try:
            found.append((float(x), float(y), {"+": 1, "-": 0}[sign]))
        except (ValueError, KeyError):
            raise ArgumentError(
                f"a point is x,y,+ on the object or x,y,- not on it, in pixels, such as 210,140,+; got {point!r}"
            ) from None
    return found


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
