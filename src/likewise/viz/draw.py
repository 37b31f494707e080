"""Colours of classes, overlays and outlines."""

import colorsys
import io

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw

from likewise.io.labels import IGNORE, MOST_CLASSES

# Paul Tol's "vibrant" colour scheme, distinguishable with the common colour vision deficiencies; colours that are rare
# in photographs come first.
_VIBRANT = (
    (238, 51, 119),  # magenta
    (51, 187, 238),  # cyan
    (238, 119, 51),  # orange
    (0, 119, 187),  # blue
    (0, 153, 136),  # teal
    (204, 51, 17),  # red
)
_IGNORED = (187, 187, 187)

OPACITY, DIM = 0.4, 0.35
"""Opacity of the tint of a class, and darkening of the background, in [0, 1]."""


def palette(k: int) -> UInt8[np.ndarray, "k 3"]:
    """Return the RGB colours of `k` classes; the colour of a class does not depend on `k`.

    The first six are distinguishable with colour vision deficiencies. From the seventh on, hues are a golden angle
    apart and brightness alternates.
    """
    colours = list(_VIBRANT[:k])
    for index in range(len(colours), k):
        hue = (0.11 + index * 0.6180339887) % 1.0
        saturation, value = ((0.75, 0.95), (0.9, 0.65), (0.55, 0.8))[index % 3]
        red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
        colours.append((round(red * 255), round(green * 255), round(blue * 255)))
    return np.array(colours, dtype=np.uint8).reshape(k, 3)


def label_palette() -> UInt8[np.ndarray, "256 3"]:
    """Return the palette of a label PNG: 0 black, classes from 1 as in `palette`, 255 (ignored) grey."""
    colours = np.zeros((256, 3), dtype=np.uint8)
    colours[1:IGNORE] = palette(MOST_CLASSES)
    colours[IGNORE] = _IGNORED
    return colours


def paletted(labels: UInt8[np.ndarray, "h w"], first_label: int = 1) -> Image.Image:
    """Return labels as a palette image whose indices are the labels.

    `first_label` is that of the first class: 1 if 0 is the background (black), else 0.
    """
    colours = label_palette()
    image = Image.fromarray(labels)
    image.putpalette((colours if first_label else np.roll(colours, -1, axis=0)).tobytes())
    return image


def crossed_out(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Return an image with its diagonals drawn over it: red, with white borders."""
    drawn = Image.fromarray(image)
    right, below = drawn.width - 1, drawn.height - 1
    pen = ImageDraw.Draw(drawn)
    for colour, width in (((255, 255, 255), 5), (_VIBRANT[-1], 3)):
        pen.line([(0, 0), (right, below)], fill=colour, width=width)
        pen.line([(0, below), (right, 0)], fill=colour, width=width)
    return np.array(drawn)


def overlay(
    image: UInt8[np.ndarray, "h w 3"], labels: UInt8[np.ndarray, "h w"] | Bool[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the image with each class tinted and outlined, and the background dimmed.

    Args:
        labels: 0 for the background, i + 1 for class i, 255 for ignored pixels (tinted grey); or a mask of one class.
            Without any object, the image is returned unchanged.
    """
    if not labels.any():
        return image.copy()
    labels = labels.astype(np.uint8)
    colours = label_palette()
    # one lookup table for each label and channel: twice as fast as blending in floats
    levels = np.arange(256)
    blended = (1 - OPACITY) * levels + OPACITY * colours[:, :, None]
    blended[0] = (1 - DIM) * levels
    table = np.rint(blended).astype(np.uint8)
    drawn = np.stack([table[labels, channel, image[..., channel]] for channel in range(3)], axis=2)
    return _draw_contours(drawn, labels, colours)


def outline(
    image: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"], colour: tuple[int, int, int] = _VIBRANT[0]
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the image with a contour around the mask and the interior unchanged."""
    colours = np.array([(0, 0, 0), colour], dtype=np.uint8)
    return _draw_contours(image, mask.astype(np.uint8), colours)


def _draw_contours(
    image: UInt8[np.ndarray, "h w 3"], labels: UInt8[np.ndarray, "h w"], colours: UInt8[np.ndarray, "n 3"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw a coloured line inside each region and a white line outside, so that it contrasts with any background."""
    drawn = image.copy()
    width = line_width(*labels.shape)
    for index in range(1, len(colours)):
        mask = labels == index
        if index == IGNORE or not mask.any():
            continue
        sides = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        rows, columns = (slice(max(side[0] - width, 0), side[-1] + 1 + width) for side in sides)
        inside = mask[rows, columns]
        background = labels[rows, columns] == 0
        part = drawn[rows, columns]
        # pixels beyond the image edge count as inside, so that no line follows the edge
        part[inside & _dilate(~inside, width)] = colours[index]
        part[background & _dilate(inside, max(1, width // 2))] = 255
    return drawn


def _dilate(mask: Bool[np.ndarray, "h w"], width: int) -> Bool[np.ndarray, "h w"]:
    """Return the mask dilated by an octagon, so that lines have nearly the same width in every direction.

    An octagon is a diamond followed by a square, each grown by one pixel at a time.
    """
    square = round(0.414 * width)  # tan(22.5 degrees), the part of a regular octagon
    for step in range(width):
        rows = mask.copy()
        rows[1:] |= mask[:-1]
        rows[:-1] |= mask[1:]
        across = rows if step >= width - square else mask
        dilated = rows.copy()
        dilated[:, 1:] |= across[:, :-1]
        dilated[:, :-1] |= across[:, 1:]
        mask = dilated
    return mask


def line_width(height: int, width: int) -> int:
    """Return the width of a contour in an image of this size, in pixels."""
    return max(2, round(min(height, width) / 160))


def png(image: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Return an image as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="png")
    return buffer.getvalue()
