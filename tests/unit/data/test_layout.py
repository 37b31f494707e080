from pathlib import Path

import pytest

from likewise.data.layout import (
    Presence,
    folders_in,
    images_in,
    read_list,
)
from likewise.errors import DataSetError


def test_presence_prints_as_a_sentence() -> None:
    assert str(Presence("fold 0", 346, ("a",) * 199)) == "147 of 346 entries of fold 0 are present"


def test_lists_skip_empty_lines_and_folders_skip_hidden_and_other_files(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a\n\n  b \n")
    assert read_list(tmp_path / "list.txt") == ["a", "b"]
    for name in "10.jpg", "9.PNG", "notes.txt":
        (tmp_path / name).touch()
    assert [p.name for p in images_in(tmp_path)] == ["9.PNG", "10.jpg"]
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "cat").mkdir()
    assert [p.name for p in folders_in(tmp_path)] == ["cat"]
    with pytest.raises(DataSetError, match=r"none\.txt"):
        read_list(tmp_path / "none.txt")
