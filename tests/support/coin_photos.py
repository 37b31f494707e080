"""Photographs of coins on tables, and of other things, made from the images that scikit-image carries.

python -m support.coin_photos FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter
from scipy import ndimage
from skimage import data, measure

from likewise.jobs.demo import coins

SIZE = (480, 360)
WITHOUT = 5
"""Images without a coin at most."""

_TONES = ((206, 160, 96), (214, 214, 208), (190, 118, 72))
"""Brass, silver, copper."""
_TABLES = (
    ("gravel", (96, 104, 112)), ("brick", (150, 92, 74)), ("grass", (96, 128, 70)), ("gravel", (150, 132, 104)),
    ("brick", (92, 104, 122)), ("grass", (128, 116, 74)),
)  # fmt: skip


def write_coin_photos(folder: Path, count: int = 24, seed: int = 0, *, masks: Path | None = None) -> list[Path]:
    """Write `count` JPEG files, about a fifth of them without a coin, and return their paths.

    Args:
        masks: folder for a mask of the coins of each, a PNG of the same name.
    """
    for made in filter(None, (folder, masks)):
        made.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    pieces = cut_coins()
    others = [other_photo(name) for name in ("chelsea", "coffee", "rocket", "retina", "astronaut")]
    every = max(2, count // min(WITHOUT, max(1, count // 5)))
    paths = []
    for index in range(count):
        if index % every == every - 1:
            photo, mask = others[index // every % len(others)], Image.new("L", SIZE)
        else:
            photo = table(rng, index)
            mask = place(photo, pieces, rng)
        paths.append(folder / f"photo-{index + 1:02}.jpg")
        photo.save(paths[-1], quality=88)
        if masks is not None:
            mask.save(masks / f"{paths[-1].stem}.png")
    return paths


def cut_coins() -> list[Image.Image]:
    """Return each coin as a grey image with transparency."""
    task = coins()
    labelled = measure.label(ndimage.binary_closing(task.truth, iterations=2))
    pieces = []
    for region in measure.regionprops(labelled):
        height, width = region.image.shape
        if min(height, width) < 34 or max(height, width) > 70 or region.solidity < 0.93:
            continue
        top, left = region.bbox[:2]
        grey = Image.fromarray(task.query[top : top + height, left : left + width, 0])
        grey = Image.fromarray((255 * ((np.asarray(grey) / 255.0 - 0.2) * 1.25).clip(0, 1)).astype(np.uint8))
        inside = Image.fromarray((ndimage.binary_fill_holes(region.image) * 255).astype(np.uint8))
        piece = Image.merge("LA", (grey, inside)).resize((width * 3, height * 3), Image.Resampling.BICUBIC)
        piece.putalpha(piece.getchannel("A").filter(ImageFilter.GaussianBlur(2)))
        pieces.append(piece)
    return pieces


def table(rng: np.random.Generator, index: int) -> Image.Image:
    """Return a textured surface, lit from one side."""
    name, colour = _TABLES[index % len(_TABLES)]
    grey = Image.fromarray(getattr(data, name)()).convert("L")
    if index % 2:
        grey = grey.transpose(Image.Transpose.ROTATE_90)
    grey = grey.crop((0, 0, 480, 360)).filter(ImageFilter.GaussianBlur(1.2))
    relief = (np.asarray(grey, np.float32) - np.asarray(grey).mean()) / 255
    light = np.linspace(rng.uniform(0.75, 1.0), rng.uniform(1.0, 1.25), SIZE[0])[None, :, None]
    pixels = np.asarray(colour, np.float32) * (1 + 0.7 * relief[..., None]) * light
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def place(photo: Image.Image, pieces: list[Image.Image], rng: np.random.Generator) -> Image.Image:
    """Put one to six coins on a surface, without overlap, and return their mask."""
    mask = Image.new("L", SIZE)
    taken: list[tuple[float, float, float]] = []
    for _ in range(int(rng.integers(1, 7))):
        size = int(rng.integers(64, 128))
        for _ in range(30):
            x, y = rng.uniform(size / 2, SIZE[0] - size / 2), rng.uniform(size / 2, SIZE[1] - size / 2)
            if all(np.hypot(x - u, y - v) > (size + other) * 0.55 for u, v, other in taken):
                break
        else:
            continue
        taken.append((x, y, size))
        piece = pieces[int(rng.integers(len(pieces)))].resize((size, size), Image.Resampling.LANCZOS)
        piece = piece.rotate(rng.uniform(0, 360), Image.Resampling.BICUBIC)
        grey = np.asarray(piece.getchannel("L"), np.float32)[..., None] / 190
        tone = np.asarray(_TONES[int(rng.integers(len(_TONES)))], np.float32)
        coloured = Image.fromarray((grey * tone).clip(0, 255).astype(np.uint8))
        corner = (round(x - size / 2), round(y - size / 2))
        shadow = piece.getchannel("A").filter(ImageFilter.GaussianBlur(5)).point(lambda value: value // 2)
        photo.paste((12, 10, 8), (corner[0] + 4, corner[1] + 6), shadow)
        photo.paste(coloured, corner, piece.getchannel("A"))
        mask.paste(255, corner, piece.getchannel("A").point(lambda value: 255 * (value > 127)))
    return mask


def other_photo(name: str) -> Image.Image:
    """Return a photograph of something else at the common size."""
    photo = Image.fromarray(getattr(data, name)()[..., :3]).convert("RGB")
    scale = max(SIZE[0] / photo.width, SIZE[1] / photo.height)
    photo = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.LANCZOS)
    return ImageEnhance.Color(photo.crop((0, 0, *SIZE))).enhance(0.95)


if __name__ == "__main__":
    write_coin_photos(Path(sys.argv[1]))
