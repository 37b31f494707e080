import io
import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageOps
from skimage.draw import disk

from likewise.images import (
    PictureError,
    box_mask,
    parse_box,
    read_labels,
    read_mask,
    read_picture,
    read_scribbles,
    save_image,
    written,
)

WIDTH, HEIGHT = 24, 16


@pytest.fixture
def colours() -> np.ndarray:
    """Four corners of different colours, so that every turn and flip shows."""
    picture = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    picture[:8, :12] = 255, 0, 0
    picture[:8, 12:] = 0, 255, 0
    picture[8:, :12] = 0, 0, 255
    picture[8:, 12:] = 200, 200, 40
    return picture


def near(picture: np.ndarray, expected: np.ndarray, tolerance: int = 40) -> bool:
    """Whether two pictures agree but for what JPEG does at edges."""
    return picture.shape == expected.shape and float(np.abs(picture.astype(int) - expected).mean()) < tolerance / 4


# --- pictures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_a_picture_stands_upright_whatever_its_exif_orientation(
    tmp_path: Path, colours: np.ndarray, orientation: int, suffix: str
) -> None:
    # the stored picture is the upright one turned back, so that reading must give the upright one
    back = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned{suffix}"
    Image.fromarray(np.ascontiguousarray(back(colours))).save(path, exif=exif, quality=95)
    assert near(read_picture(path), colours)
    with Image.open(path) as image:
        assert near(read_picture(image), colours), "an image of Pillow's carries the tag too"
        assert near(read_picture(ImageOps.exif_transpose(image)), colours), "turned already, it is not turned again"


def test_damaged_exif_leaves_the_picture_as_it_is_stored(tmp_path: Path, colours: np.ndarray) -> None:
    path = tmp_path / "exif.jpg"
    Image.fromarray(colours).save(path, exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xffgarbage", quality=95)
    assert near(read_picture(path), colours)


def test_cmyk_becomes_rgb(tmp_path: Path, colours: np.ndarray) -> None:
    path = tmp_path / "print.jpg"
    Image.fromarray(colours).convert("CMYK").save(path, quality=95)
    assert near(read_picture(path), colours)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_greyscale_is_scaled_and_not_clipped(tmp_path: Path, suffix: str) -> None:
    ramp = np.linspace(0, 65535, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / f"ramp{suffix}")
    picture = read_picture(tmp_path / f"ramp{suffix}")
    np.testing.assert_array_equal(picture[..., 0], np.rint(ramp / 257))
    assert (picture == picture[..., :1]).all()


@pytest.mark.parametrize(("brightest", "depth"), [(255, 255), (900, 1023), (4095, 4095), (4096, 16383), (30000, 65535)])
def test_greyscale_of_a_12_bit_camera_is_not_nearly_black(tmp_path: Path, brightest: int, depth: int) -> None:
    Image.fromarray(np.full((4, 5), brightest, dtype=np.uint16)).save(tmp_path / "raw.png")
    assert read_picture(tmp_path / "raw.png")[0, 0, 0] == round(brightest / depth * 255)


def test_big_endian_16_bit_and_32_bit_and_float_tiffs_are_read(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    expected = np.rint(ramp * 255)
    images = {
        "big": Image.frombytes("I;16B", (WIDTH, HEIGHT), np.rint(ramp * 65535).astype(">u2").tobytes()),
        "wide": Image.fromarray(np.rint(ramp * 2_000_000 - 1_000_000).astype(np.int32)),
        "float": Image.fromarray(ramp.astype(np.float32)),
        "float255": Image.fromarray((ramp * 255).astype(np.float32)),
        "elevation": Image.fromarray((ramp * 900 - 300).astype(np.float32)),
    }
    for name, image in images.items():
        image.save(tmp_path / f"{name}.tif")
        picture = read_picture(tmp_path / f"{name}.tif")[..., 0]
        assert np.abs(picture - expected).max() <= 1, name


def test_floats_with_holes_are_read(tmp_path: Path) -> None:
    depth = np.full((4, 5), 0.5, dtype=np.float32)
    depth[0, 0] = np.nan
    Image.fromarray(depth).save(tmp_path / "depth.tif")
    assert read_picture(tmp_path / "depth.tif")[:2, 0, 0].tolist() == [0, 128]


def test_1_bit_grey_and_palette_pictures_become_rgb(tmp_path: Path, colours: np.ndarray) -> None:
    grey = colours[..., 2]
    Image.fromarray(grey > 128).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "bits.png")[..., 1], (grey > 128) * 255)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "grey.png"), np.stack([grey] * 3, axis=2))
    Image.fromarray(colours).quantize(8).save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "palette.png"), colours)


def test_transparent_pictures_are_laid_on_white(tmp_path: Path, colours: np.ndarray) -> None:
    alpha = np.full((HEIGHT, WIDTH), 255, dtype=np.uint8)
    alpha[:4] = 0
    expected = colours.copy()
    expected[:4] = 255
    rgba = Image.fromarray(np.dstack([colours, alpha]))
    rgba.save(tmp_path / "rgba.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "rgba.png"), expected)

    palette = Image.fromarray(colours).quantize(8)
    red = palette.getpixel((0, 0))
    palette.save(tmp_path / "palette.png", transparency=red)
    np.testing.assert_array_equal(read_picture(tmp_path / "palette.png")[:8, :12], 255)
    np.testing.assert_array_equal(read_picture(tmp_path / "palette.png")[8:], colours[8:])

    Image.fromarray(colours).save(tmp_path / "key.png", transparency=(255, 0, 0))
    np.testing.assert_array_equal(read_picture(tmp_path / "key.png")[:8, :12], 255)

    grey = Image.merge("LA", (Image.new("L", (WIDTH, HEIGHT), 90), Image.fromarray(alpha)))
    grey.save(tmp_path / "la.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "la.png")[:, 0, 0], [255] * 4 + [90] * 12)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_of_an_animation_the_first_frame_is_read(tmp_path: Path, colours: np.ndarray, suffix: str) -> None:
    first, second = Image.fromarray(colours), Image.new("RGB", (WIDTH, HEIGHT), "black")
    first.save(tmp_path / f"moving{suffix}", save_all=True, append_images=[second])
    assert near(read_picture(tmp_path / f"moving{suffix}"), colours)


@pytest.mark.parametrize("suffix", [".webp", ".avif", ".bmp", ".jp2"])
def test_other_formats_of_pillow_are_read(tmp_path: Path, colours: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"picture{suffix}"
    try:
        Image.fromarray(colours).save(path)
    except (KeyError, OSError, ValueError) as error:
        pytest.skip(f"this Pillow does not write {suffix}: {error}")
    assert near(read_picture(path), colours)


def test_heic_is_read_when_pillow_heif_is_there(tmp_path: Path, colours: np.ndarray) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "telephone.jpg"  # telephones' uploads are often misnamed; the content counts
    pillow_heif.from_pillow(Image.fromarray(colours).resize((96, 64))).save(path, format="HEIF", quality=95)
    assert near(read_picture(path), np.asarray(Image.fromarray(colours).resize((96, 64))))


def test_heic_without_pillow_heif_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "telephone.heic"
    path.write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic")
    with pytest.raises(PictureError, match=r"telephone\.heic: .*pip install likewise\[heic\]"):
        read_picture(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".gif", ".tif"])
def test_a_truncated_file_is_named(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"cut{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(PictureError, match=rf"cut\{suffix}: (damaged or cut short|not a picture)"):
        read_picture(path)


def _png(width: int, height: int, pixels: bytes = b"") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jpg", b"", r"empty \(0 bytes\)"),
        ("page.jpg", b"\n<!DOCTYPE html><html>404</html>", "a web page.*download it again"),
        ("drawing.png", b"<svg xmlns='x'/>", "SVG.*export it as PNG"),
        ("report.png", b"%PDF-1.7 ...", "PDF.*export its pages"),
        ("pointer.png", b"version https://git-lfs.github.com/spec/v1\noid x", "git lfs pull"),
        ("noise.jpg", bytes(range(256)), "not a picture.*save it as JPEG or PNG"),
        ("flat.png", _png(0, 7), "damaged|no pixels|not a picture"),
        ("bomb.png", _png(60000, 60000), "decompression bomb.*scale it down"),
    ],
)
def test_what_is_no_picture_is_named_with_what_to_do(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(PictureError, match=f"(?s){name}: .*({message})"):
        read_picture(path)


def test_paths_that_are_no_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"absent\.jpg: no such file; check the name"):
        read_picture(tmp_path / "absent.jpg")
    with pytest.raises(PictureError, match=f"{tmp_path.name}: a folder, where one picture is needed"):
        read_picture(str(tmp_path))
    with pytest.raises(PictureError, match="a web address; download it first"):
        read_picture("https://example.org/cat.jpg")
    with pytest.raises(PictureError, match="neither a file nor a folder"):
        read_picture(os.devnull)
    with pytest.raises(PictureError, match=r"cannot be read .*name too long"):
        read_picture("x" * 5000)


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(PictureError, match=r"has no pixels, its size is 0x5 \(width x height\)"):
        read_picture(Image.new("RGB", (0, 5)))


def test_an_array_is_taken_as_it_is(colours: np.ndarray) -> None:
    assert read_picture(colours) is colours
    mirrored = read_picture(colours[:, ::-1])
    assert mirrored.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(mirrored, colours[:, ::-1])
    frozen = colours.copy()
    frozen.flags.writeable = False
    assert read_picture(frozen).flags.writeable


@pytest.mark.parametrize(
    ("array", "advice"),
    [
        (np.zeros((3, 8, 9), np.uint8), r"transpose\(1, 2, 0\)"),
        (np.zeros((8, 9, 4), np.uint8), "drop the alpha"),
        (np.zeros((8, 9), np.uint8), "np.stack"),
        (np.zeros((8, 9, 3), np.float32), "scale it to 0-255"),
        (np.zeros((2, 8, 9, 3), np.uint8), "one picture at a time"),
        (np.zeros((0, 9, 3), np.uint8), "at least one pixel"),
    ],
)
def test_an_array_of_another_shape_or_type_is_refused_with_advice(array: np.ndarray, advice: str) -> None:
    with pytest.raises(ValueError, match=advice) as caught:
        read_picture(array)
    assert str(array.shape) in str(caught.value)
    assert str(array.dtype) in str(caught.value)
    assert "(height, width, 3) uint8 RGB" in str(caught.value)


def test_a_given_image_is_not_changed(colours: np.ndarray) -> None:
    image = Image.fromarray(colours).quantize(8)
    before = image.copy()
    read_picture(image)
    read_mask(image, label=0)
    assert image.mode == before.mode
    assert image.palette.mode == before.palette.mode
    assert image.tobytes() == before.tobytes()


# --- masks ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def blob() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[3:9, 5:20] = True
    return mask


@pytest.mark.parametrize("value", [1, 7, 128, 254, 255])
def test_a_mask_is_any_single_value_beside_zero(tmp_path: Path, blob: np.ndarray, value: int) -> None:
    Image.fromarray((blob * value).astype(np.uint8)).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), blob)
    np.testing.assert_array_equal(read_mask(blob.astype(np.int64) * value), blob)


def test_masks_of_every_kind_of_array_are_read(blob: np.ndarray) -> None:
    for mask in (blob, blob.astype(np.float64), blob * np.float32(0.7), blob.astype(np.int32), blob * np.uint16(65535)):
        np.testing.assert_array_equal(read_mask(mask), blob)
    colour = np.zeros((*blob.shape, 3), dtype=np.uint8)
    colour[blob] = 200, 0, 0
    np.testing.assert_array_equal(read_mask(colour), blob)


def test_a_mask_read_from_an_array_is_a_new_one(blob: np.ndarray) -> None:
    read_mask(blob)[:] = False
    assert blob.any()


def test_1_bit_masks_are_read(tmp_path: Path, blob: np.ndarray) -> None:
    Image.fromarray(blob).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), blob)


def test_empty_and_full_masks_are_read(blob: np.ndarray) -> None:
    assert not read_mask(np.zeros_like(blob, dtype=np.uint8)).any()
    assert read_mask(np.full(blob.shape, 255, dtype=np.uint8)).all()
    assert not read_mask(np.zeros((4, 5, 4), dtype=np.uint8)).any()


def _round_mask(scale: int) -> np.ndarray:
    mask = np.zeros((80 * scale, 120 * scale), dtype=np.uint8)
    mask[disk((40 * scale, 60 * scale), 25 * scale)] = 255
    return mask


def test_a_soft_edged_mask_is_cut_at_the_middle(tmp_path: Path) -> None:
    soft = np.asarray(Image.fromarray(_round_mask(4)).reduce(4))
    assert len(np.unique(soft)) > 5, "the test needs soft edges"
    np.testing.assert_array_equal(read_mask(soft), soft > 127)
    np.testing.assert_array_equal(read_mask(soft.astype(np.uint16) * 257), soft > 127)
    Image.fromarray(_round_mask(1)).save(tmp_path / "mask.jpg", quality=60)
    assert (read_mask(tmp_path / "mask.jpg") != (_round_mask(1) > 127)).mean() < 0.002
    coloured = np.stack([soft] * 3, axis=2)
    np.testing.assert_array_equal(read_mask(coloured), soft > 127)


def test_a_palette_mask_is_read_by_its_label(tmp_path: Path, blob: np.ndarray) -> None:
    labels = blob.astype(np.uint8) * 15
    labels[12:, :4] = 3
    labels[2, 5:20] = 255
    image = Image.fromarray(labels)
    image.putpalette(np.random.default_rng(0).integers(0, 255, 768).astype(np.uint8).tobytes())
    path = tmp_path / "labels.png"
    image.save(path)
    np.testing.assert_array_equal(read_mask(path, label=15), blob)
    np.testing.assert_array_equal(read_mask(path, label=3), labels == 3)
    np.testing.assert_array_equal(read_mask(labels, label=15), blob)
    with pytest.raises(PictureError, match=r"labels\.png: holds several labels, 0, 3, 15, 255; .*--label"):
        read_mask(path)
    with pytest.raises(PictureError, match="no pixel has label 4; there are 0, 3, 15, 255"):
        read_mask(path, label=4)


@pytest.mark.parametrize("values", [(15, 255), (1, 2), (128, 255), (5, 40, 130, 160, 255), (1, 255)])
def test_labels_are_never_mistaken_for_soft_edges(blob: np.ndarray, values: tuple[int, ...]) -> None:
    labels = np.zeros((60, 80), dtype=np.uint8)
    for index, value in enumerate(values):
        labels[5 + 10 * index : 13 + 10 * index, 10:70] = value
    with pytest.raises(PictureError, match="several labels"):
        read_mask(labels)
    np.testing.assert_array_equal(read_mask(labels, label=values[0]), labels == values[0])


def test_a_black_and_white_palette_is_read_by_its_colours(tmp_path: Path, blob: np.ndarray) -> None:
    image = Image.fromarray((~blob).astype(np.uint8))
    image.putpalette([255, 255, 255, 0, 0, 0])  # index 0 is white, as picture optimisers write it
    image.save(tmp_path / "optimised.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "optimised.png"), blob)


def test_a_changing_alpha_channel_is_the_mask(tmp_path: Path, colours: np.ndarray, blob: np.ndarray) -> None:
    Image.fromarray(np.dstack([colours, blob * np.uint8(255)])).save(tmp_path / "cutout.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "cutout.png"), blob)
    opaque = np.dstack([np.stack([blob * np.uint8(255)] * 3, axis=2), np.full(blob.shape, 255, np.uint8)])
    np.testing.assert_array_equal(read_mask(opaque), blob)
    grey_alpha = Image.merge("LA", (Image.new("L", (WIDTH, HEIGHT), 9), Image.fromarray(blob * np.uint8(255))))
    np.testing.assert_array_equal(read_mask(grey_alpha), blob)


def test_a_photograph_is_no_mask(colours: np.ndarray) -> None:
    with pytest.raises(PictureError, match="a picture in several colours, where a mask is needed"):
        read_mask(colours)
    with pytest.raises(PictureError, match="looks like a photograph"):
        read_mask(np.tile(np.arange(200, dtype=np.uint8), (9, 1)))
    with pytest.raises(PictureError, match="this one is in colour; save it as a palette PNG"):
        read_mask(colours, label=1)


def test_masks_of_other_shapes_or_ranges_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got shape \(2, 3, 4, 5\) uint8"):
        read_mask(np.zeros((2, 3, 4, 5), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"got shape \(3, 4\) complex128"):
        read_mask(np.zeros((3, 4), dtype=complex))
    with pytest.raises(PictureError, match=r"must lie in \[0, 1\]; it spans -2 to 3"):
        read_mask(np.array([[-2.0, 3.0]]))
    with pytest.raises(PictureError, match=r"must lie in \[0, 1\]"):
        read_mask(np.array([[np.nan, 1.0]]))
    with pytest.raises(PictureError, match="holds fractions"):
        read_mask(np.array([[0.5, 1.0]]), label=1)


@given(st.tuples(*[st.integers(1, 30)] * 4))
def test_a_mask_of_another_size_is_refused_with_both_sizes(sizes: tuple[int, int, int, int]) -> None:
    mask, size = np.ones(sizes[:2], dtype=bool), sizes[2:]
    if sizes[:2] == size:
        assert read_mask(mask, size=size).all()
        return
    with pytest.raises(PictureError) as caught:
        read_mask(mask, size=size)
    message = str(caught.value)
    assert f"mask is {sizes[1]}x{sizes[0]} (width x height)" in message
    assert f"picture is {sizes[3]}x{sizes[2]} (width x height)" in message
    assert ("EXIF rotation" in message) == (sizes[:2] == size[::-1])


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20)))
def test_a_saved_mask_comes_back(mask: np.ndarray) -> None:
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(file, format="png")
    np.testing.assert_array_equal(read_mask(Image.open(file)), mask)


def test_labels_come_as_they_are_stored(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 20], [255, 3, 3]], dtype=np.uint8)
    Image.fromarray(labels).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "grey.png"), labels)
    image = Image.fromarray(labels)
    image.putpalette(list(range(255, -1, -1)) * 3)
    image.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "palette.png"), labels)
    Image.fromarray(labels.astype(np.uint16)).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "deep.png"), labels)
    assert read_labels(tmp_path / "deep.png").dtype == np.uint8


def test_labels_beyond_8_bits_and_colours_are_refused(tmp_path: Path, colours: np.ndarray) -> None:
    Image.fromarray(np.array([[0, 300]], dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(PictureError, match=r"deep\.png: labels must lie in 0-255, there are 0, 300"):
        read_labels(tmp_path / "deep.png")
    Image.fromarray(colours).save(tmp_path / "colour.png")
    with pytest.raises(PictureError, match=r"colour\.png: labels are the stored values"):
        read_labels(tmp_path / "colour.png")


# --- scribbles ------------------------------------------------------------------------------------------------------


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


def test_scribbles_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    foreground, background = _strokes()
    with pytest.raises(PictureError, match="no foreground stroke; draw one over the object in green"):
        read_scribbles(background.astype(np.uint8) * 2, size=SIZE)
    red = np.zeros((*SIZE, 3), dtype=np.uint8)
    red[background] = 255, 0, 0
    with pytest.raises(PictureError, match="no foreground stroke"):
        read_scribbles(red, size=SIZE)
    with pytest.raises(PictureError, match=r"values 0 \(unknown\), 1 .* this is grey with 0, 255"):
        read_scribbles(foreground.astype(np.uint8) * 255, size=SIZE)
    photograph = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
    photograph[foreground] = 0, 255, 0
    with pytest.raises(PictureError, match=r"neither green .* not on the photo"):
        read_scribbles(photograph, size=SIZE)
    with pytest.raises(PictureError, match=r"scribbles picture is 120x80 .* picture is 120x81"):
        read_scribbles(foreground.astype(np.uint8), size=(81, 120))


# --- boxes ----------------------------------------------------------------------------------------------------------


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(*[st.floats(-60, 60) | st.integers(-60, 60)] * 4),
)
def test_a_box_holds_the_pixels_whose_centres_are_inside(
    size: tuple[int, int], box: tuple[float, float, float, float]
) -> None:
    x0, y0, x1, y1 = box
    rows, columns = np.indices(size) + 0.5
    expected = (x0 <= columns) & (columns < x1) & (y0 <= rows) & (rows < y1)
    if expected.any():
        np.testing.assert_array_equal(box_mask(box, size), expected)
    else:
        with pytest.raises(ValueError, match=rf"picture of {size[1]}x{size[0]} \(width x height\)"):
            box_mask(box, size)


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((30, 10, 20, 15), "box 30,10,20,15 .* 100x50 .*reversed"),
        ((30, 20, 40, 15), "reversed"),
        ((30, 10, 30, 15), "holds no pixel"),
        ((100, 10, 130, 15), "wholly outside"),
        ((-9, -9, 0, 5), "wholly outside"),
        ((0, 0, float("nan"), 5), "must be finite"),
        ((0, 0, float("inf"), 5), "must be finite"),
    ],
)
def test_a_box_that_holds_nothing_says_why(box: tuple[float, float, float, float], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        box_mask(box, (50, 100))


def test_a_box_is_parsed() -> None:
    assert parse_box("40,30, 200,180.5") == (40, 30, 200, 180.5)
    for text in ("1,2,3", "1,2,3,4,5", "a,b,c,d", ""):
        with pytest.raises(ValueError, match=f"four numbers x0,y0,x1,y1 .* got '{text}'"):
            parse_box(text)


# --- writing --------------------------------------------------------------------------------------------------------


def test_a_file_is_replaced_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "mask.png"
    with written(path) as part:
        assert part.parent == path.parent
        assert part.suffix == ".png"
        part.write_text("first")
        assert not path.exists()
    assert path.read_text() == "first"

    def fail_halfway(failure: type[BaseException]) -> None:
        with written(path) as part:
            part.write_text("half")
            raise failure

    for failure in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(failure):
            fail_halfway(failure)
        assert path.read_text() == "first"
    assert [entry.name for entry in path.parent.iterdir()] == ["mask.png"]


@pytest.mark.parametrize(
    "plane", [np.array([[False, True]]), np.array([[0, 255]], np.uint8), np.array([[0, 1, 65535]], np.uint16)]
)
def test_saved_planes_come_back(tmp_path: Path, plane: np.ndarray) -> None:
    save_image(plane, tmp_path / "plane.png")
    with Image.open(tmp_path / "plane.png") as image:
        stored = np.asarray(image)
    np.testing.assert_array_equal(stored, plane * np.uint8(255) if plane.dtype == bool else plane)


def test_saved_colours_come_back(tmp_path: Path, colours: np.ndarray) -> None:
    save_image(colours, tmp_path / "picture.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "picture.png"), colours)
    save_image(colours, tmp_path / "picture.jpg")
    assert near(read_picture(tmp_path / "picture.jpg"), colours)
