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


def test_every_label_that_covers_enough_is_a_class_named_by_its_number(tmp_path: Path) -> None:
    folder = label_folders(make_labels(tmp_path / "CCP"))
    assert folder.name == "CCP all"
    assert folder.images_of == {"3": ("0000", "0001"), "12": ("0002", "0003")}
    np.testing.assert_array_equal(folder.read_class("0002", "12"), fakes.block(1, 2))
    assert folder.image_path("0003").is_file()


def test_a_label_that_covers_too_little_is_not_present(tmp_path: Path) -> None:
    root = make_labels(tmp_path)
    with pytest.raises(DataSetError, match="no label but 0 covers 2251 pixels of any image"):
        label_folders(root, least=2251)


def test_a_image_that_is_not_there_is_counted(tmp_path: Path) -> None:
    root = make_labels(tmp_path)
    (root / "photos/0001.jpg").unlink()
    assert label_folders(root).presence.missing == ("0001 (3)",)


def test_a_photo_without_labels_is_one_missing_entry_named_by_its_stem(tmp_path: Path) -> None:
    root = make_labels(tmp_path)
    fakes.write_image(root / "photos/0009.jpg", fakes.noise(9))
    (root / "photos/0001.jpg").unlink()
    folder = label_folders(root)
    assert folder.presence.missing == ("0001 (3)", "0009")
    assert folder.presence.listed == 5
    assert "0009" not in folder.classes_of


def test_the_ignored_label_is_no_class(tmp_path: Path) -> None:
    root = make_labels(tmp_path)
    fakes.write_image(root / "photos/0009.jpg", fakes.noise(9))
    fakes.write_image(root / "labels/0009.png", np.full((60, 80), 255, np.uint8))
    assert label_folders(root).classes == ("3", "12")


def test_other_folders_are_refused_with_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"holds no folders of .* looked for .*photos with .*labels"):
        label_folders(tmp_path)
