from pathlib import Path

import numpy as np

from likewise.data.episodes import Entry
from likewise.data.folds import MIN_CLASS_PIXELS, entries_by_pixels, find_leakage
from support import fakes


def test_leakage_counts_images_not_entries() -> None:
    entries = [Entry("a", "cat"), Entry("a", "dog"), Entry("a", "bird"), Entry("b", "cat"), Entry("c", "bird")]
    found = find_leakage(entries, ["bird"])
    assert (found.images, found.leaking) == (2, frozenset({"a"}))


def test_a_class_with_enough_pixels_is_an_entry(tmp_path: Path) -> None:
    labels = np.zeros((3, MIN_CLASS_PIXELS), np.uint8)
    labels[0], labels[1, 1:], labels[2] = 1, 2, 255
    fakes.write_image(tmp_path / "a.png", labels)
    entries = entries_by_pixels(["a"], ["cat", "dog"], lambda image: tmp_path / f"{image}.png")
    assert entries == [Entry("a", "cat")]
