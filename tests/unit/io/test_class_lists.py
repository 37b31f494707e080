from pathlib import Path

import pytest

from likewise.errors import DataSetError
from likewise.io.class_lists import (
    NamedLabel,
    find_palette,
    read_class_table,
    read_lines,
    read_palette,
    voc_palette,
)


def test_a_byte_order_mark_and_empty_lines_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_bytes(b"\xef\xbb\xbfsky\r\n\r\n ball \r\n")
    assert read_lines(tmp_path / "classes.txt") == ["sky", "ball"]
    assert read_class_table(tmp_path / "classes.txt") == {0: "sky", 1: "ball"}


def test_lists_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "wide.txt").write_bytes("sky".encode("utf-16"))
    for name in ("wide.txt", "none.txt"):
        with pytest.raises(DataSetError, match=name):
            read_lines(tmp_path / name)


@pytest.mark.parametrize("separator", [" ", ": ", ",", "\t"])
def test_numbered_classes_are_read(tmp_path: Path, separator: str) -> None:
    (tmp_path / "classes.txt").write_text(f"7{separator}sky\n38{separator}big ball")
    assert read_class_table(tmp_path / "classes.txt") == {7: "sky", 38: "big ball"}


@pytest.mark.parametrize("lines", ["0 sky\nball", "0 sky\n0 ball", "255 void", "0 sky\n1"])
def test_a_wrong_table_is_refused_with_the_line(tmp_path: Path, lines: str) -> None:
    (tmp_path / "classes.txt").write_text(lines)
    with pytest.raises(DataSetError, match=f"'{lines.splitlines()[-1]}'"):
        read_class_table(tmp_path / "classes.txt")


@pytest.mark.parametrize(
    "text",
    [
        "# label:color_rgb:parts:actions\nsky:0,0,0::\nbig ball:128,0,0::",
        "name,r,g,b\nsky,0,0,0\nbig ball,128,0,0",
        "0 0 0\tsky\n128 0 0\tbig ball",
        "sky;0;0;0\nbig ball;128;0;0",
    ],
)
def test_palettes_of_several_tools_are_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "labelmap.txt").write_text(text)
    assert read_palette(tmp_path / "labelmap.txt") == [
        NamedLabel("sky", (0, 0, 0)), NamedLabel("big ball", (128, 0, 0)),
    ]  # fmt: skip


def test_a_palette_may_have_labels(tmp_path: Path) -> None:
    (tmp_path / "legend.csv").write_text("label,class,red,green,blue\n7,sky,1,2,3\n38,ball,4,5,6\n")
    assert read_palette(tmp_path / "legend.csv") == [NamedLabel("sky", (1, 2, 3), 7), NamedLabel("ball", (4, 5, 6), 38)]


def test_a_palette_without_colours_is_refused(tmp_path: Path) -> None:
    for text in ("sky\nball", "sky,0,0,0\nball"):
        (tmp_path / "p.csv").write_text(text)
        with pytest.raises(DataSetError, match=r"p\.csv"):
            read_palette(tmp_path / "p.csv")


def test_a_palette_is_found_beside_the_mask_and_above_it(tmp_path: Path) -> None:
    assert find_palette(tmp_path / "a") is None
    (tmp_path / "labelmap.txt").touch()
    assert find_palette(tmp_path / "SegmentationClass") == tmp_path / "labelmap.txt"


def test_the_colours_of_pascal_voc_start_as_published() -> None:
    assert voc_palette(4) == [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)]
    assert voc_palette()[255] == (224, 224, 192)


def test_a_labelmap_without_colours_has_those_of_voc(tmp_path: Path) -> None:
    (tmp_path / "labelmap.txt").write_text("# label:color_rgb:parts:actions\nbackground:::\nbig ball:::\n")
    assert read_palette(tmp_path / "labelmap.txt")[1] == NamedLabel("big ball", (128, 0, 0))
