"""A folder of a person's saliency maps: found by name, checked as a whole, read in 8 and 16 bits."""

from pathlib import Path

import numpy as np
import pytest
import torch
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
    torch.testing.assert_close(folder.square("sub/b.jpg", 4), torch.full((4, 4), 0.2))


def test_sixteen_bit_maps_keep_their_scale_however_dark(maps):
    Image.fromarray(np.full((8, 12), 655, np.uint16)).save(maps / "a.png")
    torch.testing.assert_close(MapFolder(maps).square("a.jpg", 4), torch.full((4, 4), 655 / 65535))


def test_all_that_is_wrong_is_listed_in_one_error(maps):
    for name in ("c", "d", "e"):
        save_flat(Path(f"photos/{name}.jpg"))
    save_flat(maps / "c.png", size=(12, 9))
    (maps / "d.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="3 of the saliency maps do not fit") as raised:
        MapFolder(maps).check(find_images(["photos"]))
    for told in ("c.png is 12x9 (width x height), its image 12x8", "d.png cannot be read", "e.jpg has none"):
        assert told in str(raised.value)


def test_a_turned_photograph_fits_a_map_of_the_upright_size(maps):
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (8, 12)).save("photos/a.jpg", exif=exif)
    MapFolder(maps).check(find_images(["photos"]))


def test_a_image_that_cannot_be_read_is_passed_over(maps):
    Path("photos/a.jpg").write_bytes(b"nothing")
    MapFolder(maps).check(find_images(["photos"]))


def test_the_digest_changes_with_a_map(maps):
    images = find_images(["photos"])
    before = MapFolder(maps).digest(images)
    assert MapFolder(maps).digest(images) == before
    save_flat(maps / "a.png", 7, size=(13, 8))
    assert MapFolder(maps).digest(images) != before


def test_no_folder_no_map_and_a_damaged_map_are_errors_that_name_it(maps):
    with pytest.raises(ValueError, match="nowhere: there is no such folder of saliency maps"):
        MapFolder("nowhere")
    with pytest.raises(ImageError, match=r"z\.jpg: maps has no saliency map of it"):
        MapFolder(maps).square("z.jpg", 4)
    (maps / "a.png").write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"a\.png: not a saliency map that can be read"):
        MapFolder(maps).square("a.jpg", 4)
