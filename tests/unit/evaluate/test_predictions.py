from pathlib import Path

import numpy as np
import pytest

from likewise.errors import PredictionError
from likewise.evaluate.predictions import map_name, read_grey_map, read_prediction, require_files
from likewise.io.images import save_image
from likewise.io.masks import read_labels


def test_an_image_without_a_map_gets_the_plain_name(tmp_path: Path) -> None:
    assert map_name(tmp_path, "owl/1") == "owl/1.png"


@pytest.mark.parametrize("ending", [".png", ".probability.png", ".mask.png"])
def test_a_map_is_found_by_its_ending(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"1{ending}").touch()
    assert map_name(tmp_path, "1") == f"1{ending}"


def test_the_first_five_missing_files_are_listed(tmp_path: Path) -> None:
    (tmp_path / "0.png").touch()
    with pytest.raises(PredictionError, match=r"7 of 8 .*1\.png, 2\.png, 3\.png, 4\.png, 5\.png and 2 more"):
        require_files(tmp_path, [f"{i}.png" for i in range(8)], "set")


def test_a_prediction_has_the_size_and_the_labels_of_its_target(tmp_path: Path) -> None:
    save_image(np.full((3, 4), 2, np.uint8), tmp_path / "a.png")
    assert (read_prediction(tmp_path / "a.png", (3, 4), read_labels, labels=3) == 2).all()
    with pytest.raises(PredictionError, match=r"4x3 .*3x4"):
        read_prediction(tmp_path / "a.png", (4, 3), read_labels)
    with pytest.raises(PredictionError, match="label 2"):
        read_prediction(tmp_path / "a.png", (3, 4), read_labels, labels=2)


def test_a_dark_16_bit_map_keeps_its_scale(tmp_path: Path) -> None:
    save_image(np.array([[0, 257, 2570]], np.uint16), tmp_path / "a.png")
    assert read_grey_map(tmp_path / "a.png").tolist() == [[0, 1, 10]]
