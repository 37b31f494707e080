from pathlib import Path

import numpy as np
import pytest

from likewise.data.class_masks import folder_class_set, mask_of_label, read_folder_class, read_grey_mask
from likewise.errors import DataSetError
from support import fakes


def test_the_mask_of_a_label_keeps_ignored_pixels() -> None:
    assert mask_of_label(np.array([[0, 3, 4, 255]], np.uint8), 3).tolist() == [[0, 1, 0, 255]]


def test_a_grey_mask_is_what_exceeds_127(tmp_path: Path) -> None:
    fakes.write_image(tmp_path / "a.png", np.array([[0, 127, 128, 255]], np.uint8))
    assert read_grey_mask(tmp_path / "a.png").tolist() == [[False, False, True, True]]


def test_an_image_shows_the_class_of_its_folder_only(tmp_path: Path) -> None:
    fakes.write_image(tmp_path / "a.png", np.array([[0, 255]], np.uint8))
    for name, expected in ("cat", [[0, 1]]), ("dog", [[0, 0]]):
        assert read_folder_class(lambda _: tmp_path / "a.png", read_grey_mask, "cat/a", name).tolist() == expected


def test_images_and_masks_without_their_partner_count_as_missing(tmp_path: Path) -> None:
    fakes.write_image(tmp_path / "a.png", np.zeros((2, 2), np.uint8))
    files = {"cat/a": tmp_path / "a.png"}
    found = folder_class_set("set", "all", tmp_path, {**files, "cat/b": tmp_path / "a.png"}, files, read_grey_mask)
    assert found.classes_of == {"cat/a": ("cat",)}
    assert found.presence.missing == ("cat/b (cat)",)
    with pytest.raises(DataSetError, match="1 entries of set all"):
        folder_class_set("set", "all", tmp_path, files, {}, read_grey_mask)
