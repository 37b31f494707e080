"""A folder of saliency maps: found by name, checked together, read in 8 and 16 bits."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from likewise.errors import ImageError
from likewise.io.paths import find_images
from likewise.predict.map_folder import MapFolder
from support.fakes import save_flat


@pytest.fixture
def maps(photos: Path) -> Path:
    for name in ("a.jpg", "sub/b.jpg"):
        save_flat(photos / name)
    folder = Path("maps")
    save_flat(folder / "a.png", 255)
    save_flat(folder / "sub/b.probability.png", 51)
    return folder


def test_maps_are_found_by_the_names_of_their_images(maps):
    folder = MapFolder(maps)
    folder.check(find_images(["photos"]))
    assert folder.find("a.jpg") == maps / "a.png"
    assert folder.find("sub/b.jpg") == maps / "sub/b.probability.png"
    np.testing.assert_allclose(folder.map_at("sub/b.jpg", 4), np.full((4, 4), 0.2), rtol=1e-6)


def test_dark_sixteen_bit_maps_keep_their_scale(maps):
    Image.fromarray(np.full((8, 12), 655, np.uint16)).save(maps / "a.png")
    np.testing.assert_allclose(MapFolder(maps).map_at("a.jpg", 4), np.full((4, 4), 655 / 65535), rtol=1e-6)


def test_one_error_lists_all_wrong_maps(maps):
    for name in ("c", "d", "e"):
        save_flat(Path(f"photos/{name}.jpg"))
    save_flat(maps / "c.png", size=(12, 9))
    (maps / "d.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="3 of") as raised:
        MapFolder(maps).check(find_images(["photos"]))
    for part in ("c.png is 12x9", "d.png", "e.jpg"):
        assert part in str(raised.value)


def test_a_rotated_photograph_fits_a_map_of_the_upright_size(maps):
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (8, 12)).save("photos/a.jpg", exif=exif)
    MapFolder(maps).check(find_images(["photos"]))


def test_an_unreadable_image_is_skipped(maps):
    Path("photos/a.jpg").write_bytes(b"nothing")
    MapFolder(maps).check(find_images(["photos"]))


def test_the_digest_changes_with_a_map(maps):
    images = find_images(["photos"])
    before = MapFolder(maps).digest(images)
    assert MapFolder(maps).digest(images) == before
    save_flat(maps / "a.png", 7, size=(13, 8))
    assert MapFolder(maps).digest(images) != before


def test_errors_name_a_missing_folder_a_missing_map_and_a_damaged_map(maps):
    with pytest.raises(ValueError, match="nowhere"):
        MapFolder("nowhere")
    with pytest.raises(ImageError, match=r"z\.jpg"):
        MapFolder(maps).map_at("z.jpg", 4)
    (maps / "a.png").write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"a\.png"):
        MapFolder(maps).map_at("a.jpg", 4)


@pytest.mark.parametrize("top", [1, 255])
def test_float_maps_are_read_in_both_ranges(maps, top):
    (maps / "a.png").unlink()
    Image.fromarray(np.full((8, 12), top, np.float32) * np.linspace(0, 1, 12, dtype=np.float32)).save(maps / "A.TIF")
    assert np.abs(np.asarray(MapFolder(maps).map_at("a.jpg", 12)) - np.linspace(0, 1, 12)).max() < 0.01
