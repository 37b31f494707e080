from pathlib import Path

import pytest

from likewise.errors import OutputError, RunError
from likewise.io.settings import flatten, read_settings, refuse_changes, write_settings


def test_written_settings_are_read_back(tmp_path: Path) -> None:
    settings = {"model": {"name": "panet", "side": 320}, "classes": ["cat"], "seed": None}
    write_settings(tmp_path / "run" / "settings.json", settings)
    assert read_settings(tmp_path / "run" / "settings.json", advice="") == settings


@pytest.mark.parametrize("content", [None, "{", "[1]", "\xff", "[" * 20_000, '{"a":' * 5000 + "1" + "}" * 5000])
def test_missing_and_damaged_settings_raise_the_given_error_with_the_path_and_the_advice(
    tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "settings.json"
    if content is not None:
        path.write_text(content, encoding="latin-1")
    with pytest.raises(RunError, match=r"settings\.json.*--force"):
        read_settings(path, error=RunError, advice="pass --force")


def test_equal_settings_pass_whatever_their_order_and_sequence_type(tmp_path: Path) -> None:
    recorded = {"scales": [1.0, 2.0], "model": {"a": 1, "b": 2}}
    refuse_changes(tmp_path, recorded, {"model": {"b": 2, "a": 1}, "scales": (1.0, 2.0)}, advice="")


def test_each_changed_added_and_removed_setting_is_listed_with_both_values(tmp_path: Path) -> None:
    recorded, current = {"model": {"side": 320}, "seed": 7, "shots": 1}, {"model": {"side": 400}, "shots": 1, "way": 2}
    with pytest.raises(OutputError) as caught:
        refuse_changes(tmp_path, recorded, current, advice="name another folder")
    message = str(caught.value)
    for change in ("model.side was 320 and is now 400", "seed was 7 and is now None", "way was None and is now 2"):
        assert change in message
    assert "shots" not in message
    assert message.endswith("name another folder")
    with pytest.raises(RunError):
        refuse_changes(tmp_path, recorded, current, error=RunError, advice="")


def test_nested_keys_are_joined_by_dots() -> None:
    assert flatten({"a": {"b": {"c": 1}}, "d": [2]}) == {"a.b.c": 1, "d": [2]}


def test_changed_digests_are_said_in_words(tmp_path: Path) -> None:
    recorded, current = {"concept": "a", "groups": {"my/photos": "b"}}, {"concept": "c", "groups": {"my/photos": "d"}}
    with pytest.raises(OutputError, match=r"settings: the examples changed, the images of my/photos changed; "):
        refuse_changes(tmp_path, recorded, current, advice="")
