import pytest

from likewise.errors import ArgumentError, DataSetError, check_known, counted, did_you_mean, printable


def test_close_matches_ignore_case() -> None:
    assert did_you_mean("CAt", ["Dog", "Cat"]) == "; did you mean Cat?"
    assert did_you_mean("zzz", ["Dog", "Cat"]) == ""


def test_a_known_value_passes() -> None:
    check_known("cat", ["cat"], "class")
    check_known(2, range(4), "fold")


def test_an_unknown_value_raises_with_a_close_match_and_the_known_values() -> None:
    with pytest.raises(ArgumentError, match=r"class 'cats'.*cat\?.*dog, cat"):
        check_known("cats", ["dog", "cat"], "class")


def test_a_long_list_of_known_values_is_cut_after_twelve() -> None:
    with pytest.raises(DataSetError, match=r"c0, .* c11 and 8 more"):
        check_known("zzz", [f"c{i}" for i in range(20)], "class", DataSetError)


def test_codes_for_terminals_are_escaped_and_letters_are_not():
    assert printable("\x1b[2J\u202e\udcff\n猫 é") == r"\x1b[2J\u202e\udcff\n猫 é"


def test_one_thing_has_no_plural():
    assert [counted(count, "image") for count in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
