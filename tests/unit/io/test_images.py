import io
import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from likewise.errors import ImageError, MissingExtraError, OutputError
from likewise.io import opening
from likewise.io.images import read_image, read_scaled, read_size, save_image
from likewise.io.masks import read_mask
from likewise.io.paths import ImageFile
from likewise.io.resize import resize_image

WIDTH, HEIGHT = 24, 16


def near(image: np.ndarray, expected: np.ndarray, tolerance: int = 40) -> bool:
    """Return whether two images agree apart from JPEG artefacts at edges."""
    return image.shape == expected.shape and float(np.abs(image.astype(int) - expected).mean()) < tolerance / 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_exif_orientation_is_applied(tmp_path: Path, colours: np.ndarray, orientation: int, suffix: str) -> None:
    # the stored image is the upright one rotated back
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
        assert near(read_image(image), colours), "a Pillow image carries the tag"
        assert near(read_image(ImageOps.exif_transpose(image)), colours), "an upright image is not rotated again"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_the_size_in_the_header_is_that_of_the_upright_image(tmp_path: Path, colours: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    for orientation in (1, 3, 6):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(colours).save(path, exif=exif)
        assert read_size(path) == (read_image(path).shape[:2], orientation)
    Image.fromarray(colours).save(path)
    assert read_size(path) == ((HEIGHT, WIDTH), 1)
    path.write_bytes(b"no image")
    with pytest.raises(ImageError, match=path.name):
        read_size(path)


def test_damaged_exif_is_ignored(tmp_path: Path, colours: np.ndarray) -> None:
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
def test_16_bit_files_of_cameras_are_scaled_from_their_bit_depth(tmp_path: Path, brightest: int, depth: int) -> None:
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


def test_floats_with_nan_are_read(tmp_path: Path) -> None:
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


def test_transparent_images_are_composed_onto_white(tmp_path: Path, colours: np.ndarray) -> None:
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
def test_the_first_frame_of_an_animation_is_read(tmp_path: Path, colours: np.ndarray, suffix: str) -> None:
    first, second = Image.fromarray(colours), Image.new("RGB", (WIDTH, HEIGHT), "black")
    first.save(tmp_path / f"moving{suffix}", save_all=True, append_images=[second])
    assert near(read_image(tmp_path / f"moving{suffix}"), colours)


@pytest.mark.parametrize("suffix", [".webp", ".avif", ".bmp", ".jp2"])
def test_other_listed_formats_are_read(tmp_path: Path, colours: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    try:
        Image.fromarray(colours).save(path)
    except (KeyError, OSError, ValueError) as error:
        pytest.skip(f"this Pillow does not write {suffix}: {error}")
    assert near(read_image(path), colours)


def test_heic_is_read_with_pillow_heif(tmp_path: Path, colours: np.ndarray) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "telephone.jpg"  # uploads from phones are often misnamed; content decides
    pillow_heif.from_pillow(Image.fromarray(colours).resize((96, 64))).save(path, format="HEIF", quality=95)
    assert near(read_image(path), np.asarray(Image.fromarray(colours).resize((96, 64))))


def test_heic_without_pillow_heif_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "telephone.heic"
    path.write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic")
    with pytest.raises(MissingExtraError, match=r"telephone\.heic: .*likewise\[heic\]"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".gif", ".tif"])
def test_a_truncated_file_is_named(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"cut{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match=rf"cut\{suffix}: "):
        read_image(path)


def _png(width: int, height: int, pixels: bytes = b"", *, depth: int = 8, colour: int = 0) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jpg", b"", "0 bytes"),
        ("page.jpg", b"\n<!DOCTYPE html><html>404</html>", "web page"),
        ("drawing.png", b"<svg xmlns='x'/>", "SVG"),
        ("report.png", b"%PDF-1.7 ...", "PDF"),
        ("figure.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        ("pointer.png", b"version https://git-lfs.github.com/spec/v1\noid x", "git lfs pull"),
        ("noise.jpg", bytes(range(256)), ""),
        ("flat.png", _png(0, 7), ""),
        ("bomb.png", _png(60000, 60000), "bomb"),
    ],
)
def test_content_that_is_no_image_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ImageError, match=f"(?s){name}: .*({message})"):
        read_image(path)


def test_paths_that_are_no_files_raise_an_error_with_their_name(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.jpg", tmp_path, "https://example.org/cat.jpg", os.devnull, "x" * 5000):
        with pytest.raises(ImageError, match=re.escape(str(path))):
            read_image(path)


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(ImageError, match="0x5"):
        read_image(Image.new("RGB", (0, 5)))


def test_an_rgb_array_is_returned_without_a_copy(colours: np.ndarray) -> None:
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
        (np.zeros((8, 9, 4), np.uint8), ":3"),
        (np.zeros((8, 9), bool), "astype"),
        (np.zeros((8, 9, 3), np.float32), "astype"),
        (np.zeros((2, 8, 9, 3), np.uint8), "shape"),
        (np.zeros((0, 9, 3), np.uint8), "shape"),
    ],
)
def test_an_array_of_another_shape_or_type_is_refused_with_advice(array: np.ndarray, advice: str) -> None:
    with pytest.raises(ImageError, match=advice) as caught:
        read_image(array)
    assert str(array.shape) in str(caught.value)
    assert str(array.dtype) in str(caught.value)


def encoded(colours: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(colours).save(file, format="png")
    return file.getvalue()


def test_bytes_and_binary_files_are_read(tmp_path: Path, colours: np.ndarray) -> None:
    content = encoded(colours)
    np.testing.assert_array_equal(read_image(content), colours)
    np.testing.assert_array_equal(read_image(io.BytesIO(content)), colours)
    (tmp_path / "image").write_bytes(content)
    with (tmp_path / "image").open("rb") as file:
        np.testing.assert_array_equal(read_image(file), colours)


def test_damaged_bytes_and_text_files_are_refused_by_name(tmp_path: Path, colours: np.ndarray) -> None:
    for content in (b"", b"no image", encoded(colours)[:60]):
        with pytest.raises(ImageError, match="the given bytes"):
            read_image(content)
    (tmp_path / "text.png").write_text("text")
    with (tmp_path / "text.png").open() as file, pytest.raises(ImageError, match=r"text\.png.*'rb'"):
        read_image(file)


def test_tensors_are_read_channels_first(colours: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(colours).permute(2, 0, 1)
    np.testing.assert_array_equal(read_image(tensor), colours)
    np.testing.assert_array_equal(read_image(tensor[1:2])[..., 2], colours[..., 1])
    for wrong in (tensor.float(), tensor.permute(1, 2, 0), tensor[None]):
        with pytest.raises(ImageError, match=str(wrong.dtype)):
            read_image(wrong)
    mask = tensor[0] > 127
    np.testing.assert_array_equal(read_mask(mask), colours[..., 0] > 127)


def test_a_grey_array_becomes_rgb(colours: np.ndarray) -> None:
    np.testing.assert_array_equal(read_image(colours[..., 0]), np.stack([colours[..., 0]] * 3, axis=2))


@pytest.mark.parametrize("source", [None, 7, [[1, 2]], {"path": "cat.jpg"}])
def test_any_other_type_is_refused_with_the_types_that_are_read(source: object) -> None:
    with pytest.raises(ImageError, match=type(source).__name__) as caught:
        read_image(source)
    for supported in ("path", "PIL.Image", "bytes", "file", "numpy", "torch"):
        assert supported in str(caught.value)


def test_formats_off_the_list_are_not_opened(tmp_path: Path, colours: np.ndarray) -> None:
    path = tmp_path / "misnamed.jpg"
    for format in ("EPS", "TGA", "PCX"):
        Image.fromarray(colours).save(path, format=format)
        with pytest.raises(ImageError, match=r"misnamed\.jpg"):
            read_image(path)


def test_a_pillow_image_is_not_modified(colours: np.ndarray) -> None:
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


def test_an_unknown_suffix_is_refused_before_anything_is_written(tmp_path: Path, colours: np.ndarray) -> None:
    with pytest.raises(OutputError, match=r"\.xyz"):
        save_image(colours, tmp_path / "image.xyz")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", [-9999.0, 3.4e38, np.nan])
def test_missing_data_do_not_count(tmp_path: Path, missing: float) -> None:
    heights = np.linspace(200, 2750, 20 * WIDTH).reshape(20, WIDTH).astype(np.float32)
    heights[:5] = missing
    Image.fromarray(heights).save(tmp_path / "dem.tif")
    found = read_image(tmp_path / "dem.tif")[5:, :, 0].astype(float)
    assert found.min() <= 2
    assert found.max() >= 253
    assert (np.diff(found.ravel()) >= 0).all()


def test_missing_data_that_the_file_declares_do_not_count(tmp_path: Path) -> None:
    heights = np.linspace(200, 2750, 20 * WIDTH).reshape(20, WIDTH).astype(np.float32)
    heights[:5] = 4000  # not farther from the others than they spread
    Image.fromarray(heights).save(tmp_path / "plain.tif")
    Image.fromarray(heights).save(tmp_path / "declared.tif", tiffinfo={42113: "4000"})
    assert read_image(tmp_path / "plain.tif")[5:].max() < 170
    assert read_image(tmp_path / "declared.tif")[5:].max() >= 253


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_16_bit_colours_are_scaled_as_16_bit_grey(
    tmp_path: Path, channels: int, big: bool, compression: str | None
) -> None:
    tifffile = pytest.importorskip("tifffile")
    ramp = np.linspace(0, 4080, HEIGHT * WIDTH * channels).reshape(HEIGHT, WIDTH, channels).astype(np.uint16)
    if channels == 4:
        ramp[..., 3] = 65535
    options = {"photometric": "rgb", "extrasamples": ("unassalpha",) * (channels == 4)}
    tifffile.imwrite(tmp_path / "raw.tif", ramp, byteorder=">" if big else "<", compression=compression, **options)
    found = read_image(tmp_path / "raw.tif")
    np.testing.assert_array_equal(found, np.rint(ramp[..., :3] * (255 / 4095)))


def test_16_bit_colours_of_a_png_are_scaled_as_16_bit_grey() -> None:
    ramp = np.linspace(0, 4080, 7 * 9 * 3).reshape(7, 9, 3).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in ramp)
    content = _png(9, 7, rows, depth=16, colour=2)
    np.testing.assert_array_equal(read_image(content), np.rint(ramp.astype(float) * (255 / 4095)))


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_scaled_image_is_the_whole_one_resized(tmp_path: Path, suffix: str, orientation: int) -> None:
    rows, columns = np.mgrid[:601, :803]
    array = np.stack([rows // 3, columns // 4, 255 - rows // 3], axis=2).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(array).save(tmp_path / f"x{suffix}", exif=exif)
    scaled, whole = read_scaled(tmp_path / f"x{suffix}", 150), read_image(tmp_path / f"x{suffix}")
    assert scaled.size == whole.shape[:2] == ((803, 601) if orientation == 6 else (601, 803))
    assert scaled.pixels.shape == ((200, 150, 3) if orientation == 6 else (150, 200, 3))
    expected = resize_image(whole, *scaled.pixels.shape[:2]).astype(int)
    assert abs(scaled.pixels - expected).max() <= 3
    np.testing.assert_array_equal(scaled.whole, whole)


def test_a_jpeg_is_decoded_at_the_scale_that_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_image(np.zeros((640, 480, 3), np.uint8), tmp_path / "x.jpg")
    decoded: list[tuple[int, int]] = []
    original = opening._load
    monkeypatch.setattr(opening, "_load", lambda name, image: [original(name, image), decoded.append(image.size)])
    assert read_scaled((tmp_path / "x.jpg").read_bytes(), 100).pixels.shape == (133, 100, 3)
    assert read_scaled(tmp_path / "x.jpg", 480).pixels.shape == (640, 480, 3)
    assert decoded == [(120, 160), (480, 640)]


def test_a_strip_is_scaled_to_a_bounded_area() -> None:
    assert read_scaled(np.zeros((20, 4000, 3), np.uint8), 10).pixels.shape == (1, 283, 3)


@pytest.mark.slow
def test_threads_that_start_together_know_the_same_formats():
    """Pillow loads its formats at first use, without a lock of its own; Python's import locks order the threads."""
    code = (
        "import sys, threading; from likewise.io.opening import readable_formats as go; found = []\n"
        "sys.setswitchinterval(1e-6)\n"
        "barrier = threading.Barrier(8); one = lambda: (barrier.wait(), found.append(tuple(go())))\n"
        "threads = [threading.Thread(target=one) for _ in range(8)]\n"
        "[each.start() for each in threads]; [each.join() for each in threads]\n"
        "assert len(found) == 8 and set(found) == {tuple(go())}, found"
    )
    for _ in range(3):
        subprocess.run([sys.executable, "-c", code], check=True)


def test_a_scaled_image_has_the_name_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.new("RGB", (8, 6)).save(path)
    assert read_scaled(path).name == "x.png"
    assert read_scaled(ImageFile(path, "sub/x.png")).name == "sub/x.png"
    assert read_scaled(path.read_bytes()).name == ""
