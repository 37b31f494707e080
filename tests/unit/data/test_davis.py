from pathlib import Path

import numpy as np
import pytest

from likewise.data.davis import davis_sequences
from likewise.errors import DataSetError
from support import fakes


def make_davis(root: Path) -> Path:
    for sequence, count in ("camel", 3), ("dog", 2):
        for number in range(count):
            fakes.write_image(root / "JPEGImages/480p" / sequence / f"{number:05d}.jpg", fakes.noise(number))
            labels = fakes.block(1 + number, number, border=0)
            fakes.write_image(root / "Annotations/480p" / sequence / f"{number:05d}.png", labels)
    return root


def test_each_sequence_is_a_class_of_all_its_instances(tmp_path: Path) -> None:
    sequences = davis_sequences(make_davis(tmp_path / "DAVIS"))
    assert sequences.images_of == {
        "camel": ("camel/00000", "camel/00001", "camel/00002"),
        "dog": ("dog/00000", "dog/00001"),
    }
    np.testing.assert_array_equal(sequences.read_class("camel/00002", "camel"), fakes.block(1, 2, border=0))
    assert not sequences.read_class("camel/00002", "dog").any()
    assert sequences.image_path("dog/00001").is_file()


def test_255_in_a_mask_is_the_object(tmp_path: Path) -> None:
    root = make_davis(tmp_path)
    fakes.write_image(root / "Annotations/480p/dog/00001.png", fakes.block(255, 1, border=0))
    mask = davis_sequences(root).read_class("dog/00001", "dog")
    np.testing.assert_array_equal(mask, fakes.block(1, 1, border=0))


def test_a_frame_without_its_mask_counts_as_missing(tmp_path: Path) -> None:
    root = make_davis(tmp_path)
    (root / "Annotations/480p/dog/00001.png").unlink()
    sequences = davis_sequences(root)
    assert sequences.presence.missing == ("dog/00001 (dog)",)
    assert sequences.images_of["dog"] == ("dog/00000",)


def test_missing_davis_names_the_needed_folders(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"JPEGImages/480p"):
        davis_sequences(tmp_path)
