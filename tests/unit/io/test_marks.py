from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from likewise.errors import ArgumentError, ImageError
from likewise.io.marks import box_mask, parse_box, read_scribbles

WIDTH, HEIGHT = 24, 16
SIZE = (80, 120)


def _strokes() -> tuple[np.ndarray, np.ndarray]:
    foreground, background = np.zeros(SIZE, dtype=bool), np.zeros(SIZE, dtype=bool)
    foreground[20:24, 30:90] = True
    background[60:64, 10:110] = True
    return foreground, background


def test_scribbles_as_labels_are_read(tmp_path: Path) -> None:
    foreground, background = _strokes()
    labels = foreground.astype(np.uint8) + 2 * background.astype(np.uint8)
    image = Image.fromarray(labels)
    image.save(tmp_path / "grey.png")
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])  # PASCAL VOC's palette: 1 is dark red, 2 dark green
    image.save(tmp_path / "voc.png")
    for name in ("grey.png", "voc.png"):
        found = read_scribbles(tmp_path / name, size=SIZE)
        np.testing.assert_array_equal(found[0], foreground)
        np.testing.assert_array_equal(found[1], background)


@pytest.mark.parametrize("canvas", ["white", "black", (0, 0, 0, 0), (255, 255, 255, 0)])
@pytest.mark.parametrize("green", [(0, 255, 0), (0, 128, 0), (34, 177, 76)])
def test_green_is_foreground_and_red_background(canvas: str | tuple[int, ...], green: tuple[int, ...]) -> None:
    foreground, background = _strokes()
    image = Image.new("RGBA", SIZE[::-1], canvas)
    for mask, colour in ((foreground, green), (background, (237, 28, 36))):
        image.paste((*colour, 255), mask=Image.fromarray(mask))
    for drawn in (image, image if image.getextrema()[3][0] == 0 else image.convert("RGB").quantize(8)):
        found = read_scribbles(drawn, size=SIZE)
        np.testing.assert_array_equal(found[0], foreground)
        np.testing.assert_array_equal(found[1], background)


@pytest.mark.parametrize("canvas", ["white", "black"])
def test_soft_edges_of_strokes_are_tolerated(canvas: str) -> None:
    foreground, background = _strokes()
    image = Image.new("RGB", SIZE[::-1], canvas)
    image.paste((0, 255, 0), mask=Image.fromarray(foreground))
    image.paste((255, 0, 0), mask=Image.fromarray(background))
    soft = image.resize((240, 160), Image.Resampling.BICUBIC).rotate(7, Image.Resampling.BICUBIC, fillcolor=canvas)
    found = read_scribbles(soft, size=(160, 240))
    assert found[0].sum() > 3 * foreground.sum()
    assert found[1].sum() > 3 * background.sum()
    assert not (found[0] & found[1]).any()


def test_background_strokes_may_be_missing() -> None:
    foreground, _ = _strokes()
    found = read_scribbles(foreground.astype(np.uint8), size=SIZE)
    np.testing.assert_array_equal(found[0], foreground)
    assert not found[1].any()


def test_invalid_scribbles_are_refused(tmp_path: Path) -> None:
    foreground, background = _strokes()
    with pytest.raises(ImageError):
        read_scribbles(background.astype(np.uint8) * 2, size=SIZE)
    red = np.zeros((*SIZE, 3), dtype=np.uint8)
    red[background] = 255, 0, 0
    with pytest.raises(ImageError):
        read_scribbles(red, size=SIZE)
    with pytest.raises(ImageError, match="0, 255"):
        read_scribbles(foreground.astype(np.uint8) * 255, size=SIZE)
    photograph = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
    photograph[foreground] = 0, 255, 0
    with pytest.raises(ImageError, match="RGB"):
        read_scribbles(photograph, size=SIZE)
    with pytest.raises(ImageError, match=r"120x80 .* 120x81"):
        read_scribbles(foreground.astype(np.uint8), size=(81, 120))


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(*[st.floats(-60, 60) | st.integers(-60, 60)] * 4),
)
def test_a_box_contains_the_pixels_whose_centres_are_inside(
    size: tuple[int, int], box: tuple[float, float, float, float]
) -> None:
    x0, y0, x1, y1 = box
    rows, columns = np.indices(size) + 0.5
    expected = (x0 <= columns) & (columns < x1) & (y0 <= rows) & (rows < y1)
    normalised = all(0 <= edge <= 1 for edge in box) and size != (1, 1)
    if expected.any() and not normalised:
        np.testing.assert_array_equal(box_mask(box, size), expected)
    else:
        with pytest.raises(ArgumentError, match=f"{size[1]}x{size[0]}"):
            box_mask(box, size)


@pytest.mark.parametrize(
    "box",
    [
        (30, 10, 20, 15),
        (30, 20, 40, 15),
        (30, 10, 30, 15),
        (100, 10, 130, 15),
        (-9, -9, 0, 5),
        (0, 0, float("nan"), 5),
        (0, 0, float("inf"), 5),
    ],
)
def test_a_box_without_a_pixel_of_the_image_is_refused_with_both(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(ArgumentError, match=f"{','.join(f'{edge:g}' for edge in box)} .* 100x50"):
        box_mask(box, (50, 100))


def test_a_box_of_two_numbers_is_refused() -> None:
    with pytest.raises(ArgumentError, match="1, 2"):
        box_mask((1, 2), (HEIGHT, WIDTH))


def test_a_box_is_parsed() -> None:
    assert parse_box("40,30, 200,180.5") == (40, 30, 200, 180.5)
    for text in ("1,2,3", "1,2,3,4,5", "a,b,c,d", ""):
        with pytest.raises(ArgumentError, match=f"'{text}'"):
            parse_box(text)


def test_a_normalised_box_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"0.3125,0.25,0.6875,0.75 .*160x120.* normalised"):
        box_mask((0.3125, 0.25, 0.6875, 0.75), (120, 160))
