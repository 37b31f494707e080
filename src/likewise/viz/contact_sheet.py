"""Contact sheets: images in rows, with titles and captions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont, ImageOps

PAPER = (250, 249, 246)
INK = (34, 36, 42)
FAINT_INK = (112, 116, 126)
HAIRLINE = (222, 220, 214)
MAT = (240, 238, 232)
"""Colours, 8-bit RGB: of the sheet, its text, captions, lines, and of the space around an image."""

FONT_SIZES = {"header": 32, "subtitle": 18, "title": 19, "caption": 16}
"""Font sizes in pixels, as all lengths below."""
TILE, MARGIN, GAP = 400, 36, 20
"""Width of a tile, the border of the sheet, and the distance of two tiles."""
HEADER, SUBTITLE, BELOW_HEADER, TITLE, CAPTION = 44, 28, 22, 30, 34
"""Heights of the lines of text, and of the space below the header."""


@dataclass(frozen=True)
class Tile:
    """An image of a contact sheet, with a title above and a caption below."""

    image: UInt8[np.ndarray, "h w 3"]
    title: str = ""
    caption: str = ""


def contact_sheet(rows: Sequence[Sequence[Tile]], *, header: str, subtitle: str) -> UInt8[np.ndarray, "h w 3"]:
    """Return an image of tiles in rows on a light background, under a header.

    All tiles have one width; the tiles of a row share a height that fits their images. Images keep their aspect ratio
    and are centred. Text that exceeds its tile is cut with an ellipsis.
    """
    columns = max(len(row) for row in rows)
    width = 2 * MARGIN + columns * TILE + (columns - 1) * GAP
    fonts = {name: ImageFont.load_default(size) for name, size in FONT_SIZES.items()}
    top = MARGIN + HEADER + SUBTITLE + BELOW_HEADER
    tallest = [max(tile.image.shape[0] / tile.image.shape[1] for tile in row) for row in rows]
    heights = [round(TILE * min(max(ratio, 0.3), 1.1)) for ratio in tallest]  # bounded for very wide or tall images
    height = top + sum(heights) + len(rows) * (TITLE + CAPTION + GAP) - GAP + MARGIN
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)

    def write(x: int, y: int, text: str, font: str, ink: tuple[int, int, int], room: int) -> None:
        draw.text((x, y), _fit(text, fonts[font], room), font=fonts[font], fill=ink)

    write(MARGIN, MARGIN, header, "header", INK, width - 2 * MARGIN)
    write(MARGIN, MARGIN + HEADER, subtitle, "subtitle", FAINT_INK, width - 2 * MARGIN)
    draw.line([(MARGIN, top - GAP), (width - MARGIN, top - GAP)], fill=HAIRLINE)
    for row, own in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            x = MARGIN + column * (TILE + GAP)
            write(x, top, tile.title, "title", INK, TILE)
            fitted = ImageOps.pad(Image.fromarray(tile.image), (TILE, own), Image.Resampling.LANCZOS, color=MAT)
            sheet.paste(fitted, (x, top + TITLE))
            write(x, top + TITLE + own + 8, tile.caption, "caption", FAINT_INK, TILE)
        top += TITLE + own + CAPTION + GAP
    return np.array(sheet)


def _fit(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Return the text, cut with an ellipsis if it is wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text.rstrip()}…"
