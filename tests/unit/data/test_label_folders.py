from pathlib import Path

import numpy as np
import pytest

from likewise.data.label_folders import label_folders
from likewise.errors import DataSetError
from support import fakes


def make_labels(root: Path) -> Path:
    for number, value in enumerate((3, 3, 12, 12)):
        fakes.write_image(root / "photos" / f"{number:04d}.jpg", fakes.noise(number))
        fakes.write_image(root / "labels" / f"{number:04d}.png", fakes.block(value, number))
    return root


def test_every_label_with_enough_pixels_is_a_class_named_by_its_number(tmp_path: Path) -> None:
    folder = label_folders(make_labels(tmp_path / "CCP"))
    assert folder.name == "CCP all"
    assert folder.images_of == {"3": ("0000", "0001"), "12": ("0002", "0003")}
    np.testing.assert_array_equal(folder.read_class("0002", "12"), fakes.block(1, 2))
    assert folder.image_path("0003").is_file()


def test_labels_with_too_few_pixels_raise(tmp_path: Path) -> None:
    fakes.write_image(tmp_path / "photos/0.jpg", fakes.noise(0))
    fakes.write_image(tmp_path / "labels/0.png", np.eye(60, 80, dtype=np.uint8))
    with pytest.raises(DataSetError, match="covers 2048 pixels"):
        label_folders(tmp_path)


def test_a_missing_image_is_counted(tmp_path: Path) -> None:
    root = make_labels(tmp_path)
    (root / "photos/0001.jpg").unlink()
    assert label_folders(root).presence.missing == ("0001 (3)",)


def test_an_image_without_labels_is_one_missing_entry_named_by_its_stem(tmp_path: Path) -> None:
    root = make_labels(tmp_path)
    fakes.write_image(root / "photos/0009.jpg", fakes.noise(9))
    (root / "photos/0001.jpg").unlink()
    folder = label_folders(root)
    assert folder.presence.missing == ("0001 (3)", "0009")
    assert folder.presence.listed == 5
    assert "0009" not in folder.classes_of


def test_the_ignored_label_is_not_a_class(tmp_path: Path) -> None:
    root = make_labels(tmp_path)
    fakes.write_image(root / "photos/0009.jpg", fakes.noise(9))
    fakes.write_image(root / "labels/0009.png", np.full((60, 80), 255, np.uint8))
    assert label_folders(root).classes == ("3", "12")


def test_other_folders_raise_with_the_needed_names(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"photos .*labels"):
        label_folders(tmp_path)


def test_label_maps_may_be_tiff(tmp_path: Path) -> None:
    fakes.write_image(tmp_path / "images/a.bmp", fakes.noise(0))
    fakes.write_image(tmp_path / "labels/a.tif", fakes.block(7, 0))
    folder = label_folders(tmp_path)
    assert folder.images_of == {"7": ("a",)}
    np.testing.assert_array_equal(folder.read_class("a", "7"), fakes.block(1, 0))
