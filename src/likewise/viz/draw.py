"""Images of results: colours, overlays, outlines and contact sheets, by Pillow and numpy alone."""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from likewise.io.labels import IGNORE

# Paul Tol's "vibrant" scheme, told apart under the common colour blindnesses; those rare in photographs
# first.
_VIBRANT = (
    (238, 51, 119),  # magenta
    (51, 187, 238),  # cyan
    (238, 119, 51),  # orange
    (0, 119, 187),  # blue
    (0, 153, 136),  # teal
    (204, 51, 17),  # red
)
_IGNORED = (187, 187, 187)

_PAPER = (250, 249, 246)
_INK = (34, 36, 42)
_FAINT_INK = (112, 116, 126)
_HAIRLINE = (222, 220, 214)
_MAT = (240, 238, 232)


def palette(k: int) -> UInt8[np.ndarray, "k 3"]:
    """The colours of `k` classes. A class keeps its colour whatever `k` is.

    The first six are told apart by the colour-blind; from the seventh on, hues a golden angle apart in
    alternating brightness.
    """
    colours = list(_VIBRANT[:k])
    for index in range(len(colours), k):
        hue = (0.11 + index * 0.6180339887) % 1.0
        bright = (0.95, 0.65, 0.8)[index % 3]
        red, green, blue = colorsys.hsv_to_rgb(hue, (0.75, 0.9, 0.55)[index % 3], bright)
        colours.append((round(red * 255), round(green * 255), round(blue * 255)))
    return np.array(colours, dtype=np.uint8).reshape(k, 3)


def label_palette(k: int) -> UInt8[np.ndarray, "256 3"]:
    """The palette of a label PNG: 0 black, classes 1 to `k` as `palette` colours them, 255 (ignored) grey."""
    colours = np.zeros((256, 3), dtype=np.uint8)
    colours[1 : k + 1] = palette(k)
    colours[IGNORE] = _IGNORED
    return colours


def paletted(labels: UInt8[np.ndarray, "h w"], first_label: int = 1) -> Image.Image:
    """Labels as a palette image whose indices they are.

    `first_label` is the label of the first class: 1 where 0 is the background (black), or 0.
    """
    image = Image.fromarray(labels)
    colours = label_palette(254)
    image.putpalette((colours if first_label else np.roll(colours, -1, axis=0)).tobytes())
    return image


def overlay(
    image: UInt8[np.ndarray, "h w 3"],
    labels: UInt8[np.ndarray, "h w"] | Bool[np.ndarray, "h w"],
    *,
    opacity: float = 0.4,
    dim: float = 0.35,
) -> UInt8[np.ndarray, "h w 3"]:
    """The image with each class tinted in its colour and outlined, and the rest dimmed towards black.

    `labels` are 0 for the background, i + 1 for class i, 255 for pixels to be ignored (tinted grey); a mask
    is one class. `opacity` of the tint and `dim` of the rest lie in [0, 1]. Without any object the image is
    returned as it is.
    """
    if not labels.any():
        return image.copy()
    labels = labels.astype(np.uint8)
    colours = label_palette(254)
    # one table for each label and channel: less than half the time of blending in floats
    levels = np.arange(256)
    blended = (1 - opacity) * levels + opacity * colours[:, :, None]
    blended[0] = (1 - dim) * levels
    table = np.rint(blended).astype(np.uint8)
    drawn = np.stack([table[labels, channel, image[..., channel]] for channel in range(3)], axis=2)
    return _contoured(drawn, labels, colours)


def outline(
    image: UInt8[np.ndarray, "h w 3"],
    mask: Bool[np.ndarray, "h w"],
    colour: tuple[int, int, int] = _VIBRANT[0],
) -> UInt8[np.ndarray, "h w 3"]:
    """The image with a contour around the mask, the pixels inside untouched."""
    colours = np.array([(0, 0, 0), colour], dtype=np.uint8)
    return _contoured(image, mask.astype(np.uint8), colours)


def _contoured(
    image: UInt8[np.ndarray, "h w 3"], labels: UInt8[np.ndarray, "h w"], colours: UInt8[np.ndarray, "n 3"]
) -> UInt8[np.ndarray, "h w 3"]:
    """A line in the class's colour just inside each region, a white one around it: one shows on any ground."""
    drawn = image.copy()
    width = line_width(*labels.shape)
    for index, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is None or index == IGNORE:
            continue
        rows, columns = (slice(max(side.start - width, 0), side.stop + width) for side in window)
        inside = labels[rows, columns] == index
        background = labels[rows, columns] == 0
        part = drawn[rows, columns]
        # what lies beyond the image's edge counts as inside, so that no line runs along the edge
        part[inside & _grown(~inside, width)] = colours[index]
        part[background & _grown(inside, max(1, width // 2))] = 255
    return drawn


def _grown(mask: Bool[np.ndarray, "h w"], width: int) -> Bool[np.ndarray, "h w"]:
    """The mask grown by an octagon, so that lines along it are as thick in slanted places as in straight ones.

    An octagon is a square and a diamond after each other, both quick; exact distances take several times as long.
    """
    square = round(0.414 * width)
    grown = ndimage.binary_dilation(mask, iterations=width - square)
    if square:  # no iterations would mean as many as change something
        grown = ndimage.binary_dilation(grown, np.ones((3, 3)), iterations=square)
    return grown


def line_width(height: int, width: int) -> int:
    """How thick a contour is drawn in an image of this size, in pixels."""
    return max(2, round(min(height, width) / 160))


@dataclass(frozen=True)
class Tile:
    """One image of a contact sheet, with a line of title above and a line of caption below."""

    image: UInt8[np.ndarray, "h w 3"]
    title: str = ""
    caption: str = ""


def contact_sheet(
    rows: Sequence[Sequence[Tile]], *, header: str = "", subtitle: str = "", tile_width: int = 400
) -> UInt8[np.ndarray, "h w 3"]:
    """Tiles in rows on a light ground, under a header.

    All tiles are `tile_width` wide; those of a row share a height that follows from their images. An image
    keeps its aspect and stands centred in its tile. Text that is too long for its tile is cut with an
    ellipsis.
    """
    if not rows or not all(rows):
        raise ValueError("a contact sheet needs at least one row, and in each row at least one tile")
    unit = tile_width / 400
    margin, gap = round(36 * unit), round(20 * unit)
    columns = max(len(row) for row in rows)
    width = 2 * margin + columns * tile_width + (columns - 1) * gap
    fonts = {name: ImageFont.load_default(size * unit) for name, size in _FONT_SIZES.items()}
    header_height = (round(44 * unit) if header else 0) + (round(28 * unit) if subtitle else 0)
    header_height += round(22 * unit) if header_height else 0
    heights = [_row_heights(row, tile_width, unit) for row in rows]
    height = 2 * margin + header_height + sum(map(sum, heights)) + (len(rows) - 1) * gap

    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    y = margin
    for text, font, ink, step in (
        (header, fonts["header"], _INK, round(44 * unit)),
        (subtitle, fonts["subtitle"], _FAINT_INK, round(28 * unit)),
    ):
        if text:
            draw.text((margin, y), _fitted(text, font, width - 2 * margin), font=font, fill=ink)
            y += step
    y = margin + header_height
    if header_height:
        draw.line([(margin, y - gap), (width - margin, y - gap)], fill=_HAIRLINE, width=max(1, round(unit)))
    for row, (title_height, image_height, caption_height) in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            x = margin + column * (tile_width + gap)
            draw.text((x, y), _fitted(tile.title, fonts["title"], tile_width), font=fonts["title"], fill=_INK)
            box = (x, y + title_height, x + tile_width, y + title_height + image_height)
            _place(sheet, draw, tile.image, box)
            draw.text(
                (x, box[3] + round(8 * unit)),
                _fitted(tile.caption, fonts["caption"], tile_width),
                font=fonts["caption"],
                fill=_FAINT_INK,
            )
        y += title_height + image_height + caption_height + gap
    return np.array(sheet)


_FONT_SIZES = {"header": 32, "subtitle": 18, "title": 19, "caption": 16}


def _row_heights(row: Sequence[Tile], tile_width: int, unit: float) -> tuple[int, int, int]:
    """Of the titles, the images and the captions."""
    tallest = max(tile.image.shape[0] / tile.image.shape[1] for tile in row)
    # upright images would make the row a column
    image_height = round(tile_width * min(max(tallest, 0.3), 1.1))
    return (
        round(30 * unit) if any(tile.title for tile in row) else 0,
        image_height,
        round(34 * unit) if any(tile.caption for tile in row) else 0,
    )


def _place(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, image: UInt8[np.ndarray, "h w 3"], box: tuple[int, ...]
) -> None:
    """The image in the box, as large as it goes without losing its aspect."""
    left, top, right, bottom = box
    height, width = image.shape[:2]
    scale = min((right - left) / width, (bottom - top) / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    resized = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)
    if size != (right - left, bottom - top):
        draw.rectangle((left, top, right - 1, bottom - 1), fill=_MAT)
    sheet.paste(resized, (left + (right - left - size[0]) // 2, top + (bottom - top - size[1]) // 2))


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text.rstrip()}…"
