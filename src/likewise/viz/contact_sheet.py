"""Contact sheets: images in rows, with titles and captions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

PAPER = (250, 249, 246)
INK = (34, 36, 42)
FAINT_INK = (112, 116, 126)
HAIRLINE = (222, 220, 214)
MAT = (240, 238, 232)

FONT_SIZES = {"header": 32, "subtitle": 18, "title": 19, "caption": 16}
"""In pixels, for tiles 400 pixels wide; like all lengths below, they scale with the tile width."""


@dataclass(frozen=True)
class Tile:
    """An image of a contact sheet, with a title above and a caption below."""

    image: UInt8[np.ndarray, "h w 3"]
    title: str = ""
    caption: str = ""


def contact_sheet(
    rows: Sequence[Sequence[Tile]], *, header: str = "", subtitle: str = "", tile_width: int = 400
) -> UInt8[np.ndarray, "h w 3"]:
    """Return an image of tiles in rows on a light background, under a header.

    All tiles are `tile_width` pixels wide; the tiles of a row share a height that fits their images. Images keep their
    aspect ratio and are centred. Text that exceeds its tile is cut with an ellipsis.
    """
    if not rows or not all(rows):
        raise ValueError("a contact sheet needs at least one row, and each row at least one tile")
    unit = tile_width / 400
    margin, gap = round(36 * unit), round(20 * unit)
    columns = max(len(row) for row in rows)
    width = 2 * margin + columns * tile_width + (columns - 1) * gap
    fonts = {name: ImageFont.load_default(size * unit) for name, size in FONT_SIZES.items()}
    header_height = (round(44 * unit) if header else 0) + (round(28 * unit) if subtitle else 0)
    header_height += round(22 * unit) if header_height else 0
    heights = [_row_heights(row, tile_width, unit) for row in rows]
    height = 2 * margin + header_height + sum(map(sum, heights)) + (len(rows) - 1) * gap

    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    y = margin
    for text, font, ink, step in (
        (header, fonts["header"], INK, round(44 * unit)),
        (subtitle, fonts["subtitle"], FAINT_INK, round(28 * unit)),
    ):
        if text:
            draw.text((margin, y), _fit(text, font, width - 2 * margin), font=font, fill=ink)
            y += step
    y = margin + header_height
    if header_height:
        draw.line([(margin, y - gap), (width - margin, y - gap)], fill=HAIRLINE, width=max(1, round(unit)))
    for row, (title_height, image_height, caption_height) in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            x = margin + column * (tile_width + gap)
            box = (x, y + title_height, x + tile_width, y + title_height + image_height)
            draw.text((x, y), _fit(tile.title, fonts["title"], tile_width), font=fonts["title"], fill=INK)
            _paste(sheet, draw, tile.image, box)
            caption = _fit(tile.caption, fonts["caption"], tile_width)
            draw.text((x, box[3] + round(8 * unit)), caption, font=fonts["caption"], fill=FAINT_INK)
        y += title_height + image_height + caption_height + gap
    return np.array(sheet)


def _row_heights(row: Sequence[Tile], tile_width: int, unit: float) -> tuple[int, int, int]:
    """Return the heights of titles, images and captions in pixels."""
    tallest = max(tile.image.shape[0] / tile.image.shape[1] for tile in row)
    image_height = round(tile_width * min(max(tallest, 0.3), 1.1))  # bounded for very wide and very tall images
    return (
        round(30 * unit) if any(tile.title for tile in row) else 0,
        image_height,
        round(34 * unit) if any(tile.caption for tile in row) else 0,
    )


def _paste(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, image: UInt8[np.ndarray, "h w 3"], box: tuple[int, ...]
) -> None:
    """Paste the image into the box, as large as its aspect ratio permits."""
    left, top, right, bottom = box
    height, width = image.shape[:2]
    scale = min((right - left) / width, (bottom - top) / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    resized = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)
    if size != (right - left, bottom - top):
        draw.rectangle((left, top, right - 1, bottom - 1), fill=MAT)
    sheet.paste(resized, (left + (right - left - size[0]) // 2, top + (bottom - top - size[1]) // 2))


def _fit(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Return the text, cut with an ellipsis if it is wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text.rstrip()}…"
