"""Held-out images and their near-duplicates in other sets."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from likewise.data.class_folders import class_folders
from likewise.data.groups import cosaliency_groups
from likewise.data.held_out import files_of, find_duplicates, held_out_groups, thumbnail_vectors, without_images
from likewise.data.pascal import pascal5i
from likewise.errors import DataSetError, ImageError
from support.fakes import block, make_voc, noise, write_image


@pytest.fixture
def two_groups(tmp_path: Path) -> Path:
    for offset, (group, count) in enumerate((("cat", 11), ("cow", 4))):
        for index in range(1, count + 1):
            write_image(tmp_path / f"image/{group}/{index}.jpg", noise(7000 + 100 * offset + index))
            write_image(tmp_path / f"gt/{group}/{index}.png", block(255, index, border=0))
    return tmp_path


def test_every_fifth_image_of_each_group_is_held_out_in_natural_order(two_groups):
    held = held_out_groups(cosaliency_groups(two_groups), every=5)
    assert held.groups == {"cat": ("5", "10")}


def test_whole_groups_are_held_out(two_groups):
    held = held_out_groups(cosaliency_groups(two_groups), whole=["cow"])
    assert held.groups == {"cow": ("1", "2", "3", "4")}
    assert [path.name for path in files_of(held)] == ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]


def test_an_unknown_group_raises_with_a_close_match(two_groups):
    with pytest.raises(DataSetError, match=r"cow\?"):
        held_out_groups(cosaliency_groups(two_groups), whole=["cows"])


def test_a_near_duplicate_under_another_name_is_left_out_of_training(two_groups, tmp_path):
    voc = pascal5i(make_voc(tmp_path / "voc"), None, split="trn")
    copied = voc.entries[3].image
    shown = voc.image_path(copied)
    with Image.open(shown) as image:
        image.resize((64, 48)).save(two_groups / "image/cow/2.jpg", quality=85)
    rest = without_images(voc, files_of(held_out_groups(cosaliency_groups(two_groups), whole=["cow"])))
    assert {entry.image for entry in voc.entries} - {entry.image for entry in rest.entries} == {copied}
    assert rest.classes == voc.classes


def test_a_set_whose_images_are_all_held_out_raises(tmp_path):
    write_image(tmp_path / "cat/1.jpg", noise(1))
    write_image(tmp_path / "cat/1.png", np.uint8(block(1, 1, border=0) * 255))
    with pytest.raises(DataSetError, match=str(tmp_path.name)):
        without_images(class_folders(tmp_path), [tmp_path / "cat/1.jpg"])


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
