"""A folder of a person's saliency maps: found by name, checked as a whole, read in 8 and 16 bits."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fakes import save_flat
from likewise.images import PictureError
from likewise.paths import find_pictures
from likewise.predict.map_folder import MapFolder


@pytest.fixture
def maps(photos: Path) -> Path:
    for name in ("a.jpg", "sub/b.jpg"):
        save_flat(photos / name)
    folder = Path("maps")
    save_flat(folder / "a.png", 255)
    save_flat(folder / "sub/b.probability.png", 51)
    return folder


def test_maps_are_found_by_the_names_of_their_pictures(maps):
    folder = MapFolder(maps)
    folder.check(find_pictures(["photos"]))
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
        MapFolder(maps).check(find_pictures(["photos"]))
    for told in ("c.png is 12x9 (width x height), its picture 12x8", "d.png cannot be read", "e.jpg has none"):
        assert told in str(raised.value)


def test_a_turned_photograph_fits_a_map_of_the_upright_size(maps):
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (8, 12)).save("photos/a.jpg", exif=exif)
    MapFolder(maps).check(find_pictures(["photos"]))


def test_a_picture_that_cannot_be_read_is_passed_over(maps):
    Path("photos/a.jpg").write_bytes(b"nothing")
    MapFolder(maps).check(find_pictures(["photos"]))


def test_the_digest_changes_with_a_map(maps):
    pictures = find_pictures(["photos"])
    before = MapFolder(maps).digest(pictures)
    assert MapFolder(maps).digest(pictures) == before
    save_flat(maps / "a.png", 7, size=(13, 8))
    assert MapFolder(maps).digest(pictures) != before


def test_no_folder_no_map_and_a_damaged_map_are_errors_that_name_it(maps):
    with pytest.raises(ValueError, match="nowhere: there is no such folder of saliency maps"):
        MapFolder("nowhere")
    with pytest.raises(PictureError, match=r"z\.jpg: maps has no saliency map of it"):
        MapFolder(maps).square("z.jpg", 4)
    (maps / "a.png").write_bytes(b"nothing")
    with pytest.raises(PictureError, match=r"a\.png: not a saliency map that can be read"):
        MapFolder(maps).square("a.jpg", 4)
