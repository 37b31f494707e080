"""Pages of TIFF files, read a few rows at a time."""

from pathlib import Path

import numpy as np
import pytest

from likewise.errors import ArgumentError, ImageError
from likewise.io.images import read_image, read_scaled
from likewise.io.raster import TiffPage, count_pages, open_raster, parse_channels

tifffile = pytest.importorskip("tifffile")


@pytest.fixture
def five(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """An image of five channels with 12 of 16 bits."""
    values = np.random.default_rng(0).integers(0, 4096, (70, 90, 5)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "five.tif", values, photometric="minisblack", planarconfig="contig", tile=(32, 48))
    return tmp_path / "five.tif", values


LAYOUTS = [
    {"tile": (16, 32)},
    {"tile": (16, 32), "planarconfig": "separate"},
    {"rowsperstrip": 7, "compression": "zlib"},
    {"rowsperstrip": 7, "planarconfig": "separate"},
    {"bigtiff": True, "tile": (32, 16), "compression": "zlib"},
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [(), (3, 1, 2), (2,)])
def test_rows_are_those_of_the_whole_page(tmp_path: Path, layout: dict, channels: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(0, 255, (50, 70, 3)).astype(np.uint8)
    separate = layout.get("planarconfig") == "separate"
    tifffile.imwrite(tmp_path / "x.tif", values.transpose(2, 0, 1) if separate else values, photometric="rgb", **layout)
    chosen = values[..., [channel - 1 for channel in channels or (1, 2, 3)]]
    with open_raster(TiffPage(tmp_path / "x.tif", channels=channels)) as raster:
        for start, stop in ((0, 50), (3, 4), (13, 37)):
            np.testing.assert_array_equal(raster.rows(start, stop), chosen[start:stop])


def test_few_tiles_are_decoded_for_few_rows(five: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    with open_raster(TiffPage(five[0])) as raster:
        decoded = []
        original = raster._segment
        monkeypatch.setattr(raster, "_segment", lambda index: (decoded.append(index), original(index))[1])
        raster.rows(33, 40)
    assert decoded == [2, 3]


def test_any_number_of_channels_and_bits_is_read(five: tuple[Path, np.ndarray]) -> None:
    path, values = five
    for source, chosen in ((path, [0, 1, 2]), (TiffPage(path, channels=(4, 3, 2)), [3, 2, 1])):
        expected = values[..., chosen] / 4095 * 255
        assert abs(read_image(source).astype(float) - expected).max() <= 1
    scaled = read_scaled(TiffPage(path), 35)
    assert (scaled.size, scaled.pixels.shape) == ((70, 90), (35, 45, 3))
    np.testing.assert_array_equal(scaled.whole, read_image(path))


def test_missing_data_and_a_hot_pixel_do_not_count(tmp_path: Path) -> None:
    values = np.linspace(200, 2750, 60 * 80, dtype=np.float32).reshape(60, 80)
    clean = values.copy()
    values[:10], values[30, 30] = -9999, 1e6
    tifffile.imwrite(tmp_path / "x.tif", values, extratags=[(42113, 2, 6, "-9999", True)], rowsperstrip=5)
    with open_raster(TiffPage(tmp_path / "x.tif")) as raster:
        scale = raster.sampled_range()
        assert 400 < scale.low < 800
        assert 2500 < scale.high < 2760
        pixels = raster.pixels(raster.rows(0, 60), scale)
        np.testing.assert_array_equal(raster.missing(raster.rows(0, 60)), (clean != values) & (values < 0))
    assert pixels[12].mean() < 30
    assert pixels[58].mean() > 220


def test_pages_are_counted_without_reduced_copies(tmp_path: Path) -> None:
    page = np.zeros((20, 30, 3), np.uint8)
    with tifffile.TiffWriter(tmp_path / "x.tif") as file:
        for value in (10, 20, 30):
            file.write(page + np.uint8(value), photometric="rgb", metadata=None)
        file.write(page[::2, ::2], photometric="rgb", metadata=None, subfiletype=1)
    assert count_pages(tmp_path / "x.tif") == 3
    assert [int(read_image(TiffPage(tmp_path / "x.tif", page)).mean()) for page in range(3)] == [10, 20, 30]
    with pytest.raises(ImageError, match="3 pages, no page 4"):
        read_image(TiffPage(tmp_path / "x.tif", 3))


def test_a_damaged_file_is_reported_by_name(five: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    path, content = five[0], five[0].read_bytes()
    with pytest.raises(ImageError, match=r"five\.tif: has 5 channels, no channel 6"):
        read_image(TiffPage(path, channels=(6, 1, 2)))
    (tmp_path / "cut.tif").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.tif").write_text("no image")
    for name in ("cut.tif", "text.tif", "none.tif"):
        with pytest.raises(ImageError, match=name):
            read_image(TiffPage(tmp_path / name))


def test_an_unknown_compression_is_reported_with_what_to_do(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((20, 30), np.uint8), compression="zlib")
    content = (tmp_path / "x.tif").read_bytes()
    tag = bytes([3, 1, 3, 0, 1, 0, 0, 0])
    assert content.count(tag + bytes([8, 0])) == 1
    (tmp_path / "x.tif").write_bytes(content.replace(tag + bytes([8, 0]), tag + bytes([99, 0])))
    with pytest.raises(ImageError, match=r"x\.tif.*(compression|damaged)"):
        read_image(TiffPage(tmp_path / "x.tif"))


def test_a_file_in_one_large_piece_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((20, 30), np.uint8))
    monkeypatch.setattr("likewise.io.raster.LARGEST_SEGMENT", 100)
    with pytest.raises(ImageError, match="tiles"):
        read_image(TiffPage(tmp_path / "x.tif"))


def test_channels_are_one_or_three_numbers() -> None:
    assert parse_channels("4,3,2") == (4, 3, 2)
    assert parse_channels("1") == (1,)
    for text in ("", "0", "1,2", "a,b,c", "1,2,3,4"):
        with pytest.raises(ArgumentError):
            parse_channels(text)
