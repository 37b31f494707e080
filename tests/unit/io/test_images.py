import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from likewise.errors import ImageError
from likewise.io.images import read_image, save_image
from likewise.io.masks import read_mask

WIDTH, HEIGHT = 24, 16


def near(image: np.ndarray, expected: np.ndarray, tolerance: int = 40) -> bool:
    """Whether two images agree but for what JPEG does at edges."""
    return image.shape == expected.shape and float(np.abs(image.astype(int) - expected).mean()) < tolerance / 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_a_image_stands_upright_whatever_its_exif_orientation(
    tmp_path: Path, colours: np.ndarray, orientation: int, suffix: str
) -> None:
    # the stored image is the upright one turned back, so that reading must give the upright one
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
    assert near(read_image(path), colours)
    with Image.open(path) as image:
        assert near(read_image(image), colours), "an image of Pillow's carries the tag too"
        assert near(read_image(ImageOps.exif_transpose(image)), colours), "turned already, it is not turned again"


def test_damaged_exif_leaves_the_image_as_it_is_stored(tmp_path: Path, colours: np.ndarray) -> None:
    path = tmp_path / "exif.jpg"
    Image.fromarray(colours).save(path, exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xffgarbage", quality=95)
    assert near(read_image(path), colours)


def test_cmyk_becomes_rgb(tmp_path: Path, colours: np.ndarray) -> None:
    path = tmp_path / "print.jpg"
    Image.fromarray(colours).convert("CMYK").save(path, quality=95)
    assert near(read_image(path), colours)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_greyscale_is_scaled_and_not_clipped(tmp_path: Path, suffix: str) -> None:
    ramp = np.linspace(0, 65535, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / f"ramp{suffix}")
    image = read_image(tmp_path / f"ramp{suffix}")
    np.testing.assert_array_equal(image[..., 0], np.rint(ramp / 257))
    assert (image == image[..., :1]).all()


@pytest.mark.parametrize(("brightest", "depth"), [(255, 255), (900, 1023), (4095, 4095), (4096, 16383), (30000, 65535)])
def test_greyscale_of_a_12_bit_camera_is_not_nearly_black(tmp_path: Path, brightest: int, depth: int) -> None:
    Image.fromarray(np.full((4, 5), brightest, dtype=np.uint16)).save(tmp_path / "raw.png")
    assert read_image(tmp_path / "raw.png")[0, 0, 0] == round(brightest / depth * 255)


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
    for name, stored in images.items():
        stored.save(tmp_path / f"{name}.tif")
        image = read_image(tmp_path / f"{name}.tif")[..., 0]
        assert np.abs(image - expected).max() <= 1, name


def test_floats_with_holes_are_read(tmp_path: Path) -> None:
    depth = np.full((4, 5), 0.5, dtype=np.float32)
    depth[0, 0] = np.nan
    Image.fromarray(depth).save(tmp_path / "depth.tif")
    assert read_image(tmp_path / "depth.tif")[:2, 0, 0].tolist() == [0, 128]


def test_1_bit_grey_and_palette_images_become_rgb(tmp_path: Path, colours: np.ndarray) -> None:
    grey = colours[..., 2]
    Image.fromarray(grey > 128).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bits.png")[..., 1], (grey > 128) * 255)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.stack([grey] * 3, axis=2))
    Image.fromarray(colours).quantize(8).save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png"), colours)


def test_transparent_images_are_laid_on_white(tmp_path: Path, colours: np.ndarray) -> None:
    alpha = np.full((HEIGHT, WIDTH), 255, dtype=np.uint8)
    alpha[:4] = 0
    expected = colours.copy()
    expected[:4] = 255
    rgba = Image.fromarray(np.dstack([colours, alpha]))
    rgba.save(tmp_path / "rgba.png")
    np.testing.assert_array_equal(read_image(tmp_path / "rgba.png"), expected)

    palette = Image.fromarray(colours).quantize(8)
    red = palette.getpixel((0, 0))
    palette.save(tmp_path / "palette.png", transparency=red)
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png")[:8, :12], 255)
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png")[8:], colours[8:])

    Image.fromarray(colours).save(tmp_path / "key.png", transparency=(255, 0, 0))
    np.testing.assert_array_equal(read_image(tmp_path / "key.png")[:8, :12], 255)

    grey = Image.merge("LA", (Image.new("L", (WIDTH, HEIGHT), 90), Image.fromarray(alpha)))
    grey.save(tmp_path / "la.png")
    np.testing.assert_array_equal(read_image(tmp_path / "la.png")[:, 0, 0], [255] * 4 + [90] * 12)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_of_an_animation_the_first_frame_is_read(tmp_path: Path, colours: np.ndarray, suffix: str) -> None:
    first, second = Image.fromarray(colours), Image.new("RGB", (WIDTH, HEIGHT), "black")
    first.save(tmp_path / f"moving{suffix}", save_all=True, append_images=[second])
    assert near(read_image(tmp_path / f"moving{suffix}"), colours)


@pytest.mark.parametrize("suffix", [".webp", ".avif", ".bmp", ".jp2"])
def test_other_formats_of_pillow_are_read(tmp_path: Path, colours: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    try:
        Image.fromarray(colours).save(path)
    except (KeyError, OSError, ValueError) as error:
        pytest.skip(f"this Pillow does not write {suffix}: {error}")
    assert near(read_image(path), colours)


def test_heic_is_read_when_pillow_heif_is_there(tmp_path: Path, colours: np.ndarray) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "telephone.jpg"  # telephones' uploads are often misnamed; the content counts
    pillow_heif.from_pillow(Image.fromarray(colours).resize((96, 64))).save(path, format="HEIF", quality=95)
    assert near(read_image(path), np.asarray(Image.fromarray(colours).resize((96, 64))))


def test_heic_without_pillow_heif_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "telephone.heic"
    path.write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic")
    with pytest.raises(ImageError, match=r"telephone\.heic: .*pip install likewise\[heic\]"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".gif", ".tif"])
def test_a_truncated_file_is_named(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"cut{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match=rf"cut\{suffix}: (damaged or cut short|not an image)"):
        read_image(path)


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
        ("noise.jpg", bytes(range(256)), "not an image.*save it as JPEG or PNG"),
        ("flat.png", _png(0, 7), "damaged|no pixels|not an image"),
        ("bomb.png", _png(60000, 60000), "decompression bomb.*scale it down"),
    ],
)
def test_what_is_no_image_is_named_with_what_to_do(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ImageError, match=f"(?s){name}: .*({message})"):
        read_image(path)


def test_paths_that_are_no_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"absent\.jpg: no such file; check the name"):
        read_image(tmp_path / "absent.jpg")
    with pytest.raises(ImageError, match=f"{tmp_path.name}: a folder, where one image is needed"):
        read_image(str(tmp_path))
    with pytest.raises(ImageError, match="a web address; download it first"):
        read_image("https://example.org/cat.jpg")
    with pytest.raises(ImageError, match="neither a file nor a folder"):
        read_image(os.devnull)
    with pytest.raises(ImageError, match=r"cannot be read .*name too long"):
        read_image("x" * 5000)


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(ImageError, match=r"has no pixels, its size is 0x5 \(width x height\)"):
        read_image(Image.new("RGB", (0, 5)))


def test_an_array_is_taken_as_it_is(colours: np.ndarray) -> None:
    assert read_image(colours) is colours
    mirrored = read_image(colours[:, ::-1])
    assert mirrored.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(mirrored, colours[:, ::-1])
    frozen = colours.copy()
    frozen.flags.writeable = False
    assert read_image(frozen).flags.writeable


@pytest.mark.parametrize(
    ("array", "advice"),
    [
        (np.zeros((3, 8, 9), np.uint8), r"transpose\(1, 2, 0\)"),
        (np.zeros((8, 9, 4), np.uint8), "drop the alpha"),
        (np.zeros((8, 9), np.uint8), "np.stack"),
        (np.zeros((8, 9, 3), np.float32), "scale it to 0-255"),
        (np.zeros((2, 8, 9, 3), np.uint8), "one image at a time"),
        (np.zeros((0, 9, 3), np.uint8), "at least one pixel"),
    ],
)
def test_an_array_of_another_shape_or_type_is_refused_with_advice(array: np.ndarray, advice: str) -> None:
    with pytest.raises(ValueError, match=advice) as caught:
        read_image(array)
    assert str(array.shape) in str(caught.value)
    assert str(array.dtype) in str(caught.value)
    assert "(height, width, 3) uint8 RGB" in str(caught.value)


def test_a_given_image_is_not_changed(colours: np.ndarray) -> None:
    image = Image.fromarray(colours).quantize(8)
    before = image.copy()
    read_image(image)
    read_mask(image, label=0)
    assert image.mode == before.mode
    assert image.palette.mode == before.palette.mode
    assert image.tobytes() == before.tobytes()


@pytest.mark.parametrize(
    "plane", [np.array([[False, True]]), np.array([[0, 255]], np.uint8), np.array([[0, 1, 65535]], np.uint16)]
)
def test_saved_planes_come_back(tmp_path: Path, plane: np.ndarray) -> None:
    save_image(plane, tmp_path / "plane.png")
    with Image.open(tmp_path / "plane.png") as image:
        stored = np.asarray(image)
    np.testing.assert_array_equal(stored, plane * np.uint8(255) if plane.dtype == bool else plane)


def test_saved_colours_come_back(tmp_path: Path, colours: np.ndarray) -> None:
    save_image(colours, tmp_path / "image.png")
    np.testing.assert_array_equal(read_image(tmp_path / "image.png"), colours)
    save_image(colours, tmp_path / "image.jpg")
    assert near(read_image(tmp_path / "image.jpg"), colours)
