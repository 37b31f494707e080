from pathlib import Path

from likewise.data.layout import (
    Presence,
    folders_in,
    images_in,
)


def test_presence_prints_as_a_sentence() -> None:
    assert str(Presence("fold 0", 346, ("a",) * 199)) == "147 of 346 entries of fold 0 are present"


def test_folders_skip_hidden_and_other_files(tmp_path: Path) -> None:
    for name in "10.jpg", "9.PNG", "notes.txt":
        (tmp_path / name).touch()
    assert [p.name for p in images_in(tmp_path)] == ["9.PNG", "10.jpg"]
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "cat").mkdir()
    assert [p.name for p in folders_in(tmp_path)] == ["cat"]
