"""The same photograph is found under another name, size and compression; a different one is not."""

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from likewise.data.near_duplicates import find_duplicates, thumbnail_vectors
from likewise.errors import ImageError
from support.fakes import noise


@pytest.fixture
def photo() -> Image.Image:
    return ImageOps.autocontrast(Image.fromarray(noise(1, 240, 320)).filter(ImageFilter.GaussianBlur(12)))


def test_a_smaller_recompressed_or_brighter_copy_is_a_duplicate(tmp_path, photo):
    photo.save(tmp_path / "2007_000001.png")
    photo.resize((160, 120)).save(tmp_path / "img_1001.jpg", quality=60)
    photo.point(lambda value: min(255, int(value * 1.2))).save(tmp_path / "bright.jpg")
    copies = [tmp_path / "img_1001.jpg", tmp_path / "bright.jpg"]
    assert find_duplicates(copies, [tmp_path / "2007_000001.png"]).tolist() == [True, True]


def test_another_photo_with_the_same_name_is_not_a_duplicate(tmp_path, photo):
    for folder, image in (("one", photo), ("two", photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT))):
        (tmp_path / folder).mkdir()
        image.save(tmp_path / folder / "img_1001.png")
    assert not find_duplicates([tmp_path / "one/img_1001.png"], [tmp_path / "two/img_1001.png"]).any()


def test_images_of_one_grey_are_not_duplicates(tmp_path):
    for name, value in (("a", 90), ("b", 90)):
        Image.new("RGB", (40, 30), (value,) * 3).save(tmp_path / f"{name}.png")
    assert not find_duplicates([tmp_path / "a.png"], [tmp_path / "b.png"]).any()


def test_an_empty_set_has_no_duplicates(tmp_path, photo):
    photo.save(tmp_path / "a.png")
    assert find_duplicates([tmp_path / "a.png"], []).tolist() == [False]
    assert thumbnail_vectors([]).shape == (0, 256)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"a\.jpg"):
        thumbnail_vectors([tmp_path / "a.jpg"])


@pytest.mark.slow
def test_duplicates_in_pascal_and_its_cosegmentation_groups_are_separated_by_a_wide_gap(shared_data):
    groups = sorted((shared_data / "VOC-coseg/image/Sofa").glob("*.jpg"))
    correlation = (
        thumbnail_vectors(groups) @ thumbnail_vectors(sorted((shared_data / "VOC2012/JPEGImages").glob("*.jpg"))).T
    )
    best = correlation.max(axis=1)
    assert ((best > 0.99) | (best < 0.9)).all()
    assert np.count_nonzero(best > 0.99) > 5
