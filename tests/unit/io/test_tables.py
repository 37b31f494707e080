from pathlib import Path

import pytest

from likewise.errors import OutputError
from likewise.io.tables import write_rows


def test_commas_are_quoted_and_what_is_no_text_is_escaped(tmp_path: Path) -> None:
    write_rows(tmp_path / "table.csv", ("image", "cat\udce9"), [("a,b.jpg", 1), ("\udcff.jpg", 2)])
    lines = (tmp_path / "table.csv").read_text(encoding="utf-8").splitlines()
    assert lines == ["image,cat\\udce9", '"a,b.jpg",1', "\\udcff.jpg,2"]


def test_a_failed_table_leaves_the_earlier_one(tmp_path: Path) -> None:
    write_rows(tmp_path / "table.csv", ("image",), [("a.jpg",)])
    with pytest.raises(ZeroDivisionError):
        write_rows(tmp_path / "table.csv", ("image",), ([1 / 0] for _ in range(1)))
    assert [path.read_text().splitlines() for path in tmp_path.iterdir()] == [["image", "a.jpg"]]
    with pytest.raises(OutputError):
        write_rows(tmp_path / "table.csv/other.csv", ("image",), [])
