from pathlib import Path

import pytest

from likewise.data.episodes import Episode
from likewise.errors import DataSetError
from likewise.evaluate.episode_lists import read_episodes, write_episodes


def test_episode_lists_round_trip_through_a_file(tmp_path: Path) -> None:
    episodes = [Episode(("cat", "dog"), (("a", "b"), ("c", "d")), "q", 7), Episode(("cat",), (("a",),), "b")]
    write_episodes(tmp_path / "episodes.jsonl", episodes)
    assert read_episodes(tmp_path / "episodes.jsonl") == episodes
    first = (tmp_path / "episodes.jsonl").read_text().splitlines()[0]
    assert first.startswith('{"classes": [')


@pytest.mark.parametrize(
    "line", ["{", '{"classes": ["cat"]}', "[]", '{"classes": ["c"], "supports": 3, "query": "q", "seed": 0}']
)
def test_a_broken_episode_list_names_its_line(tmp_path: Path, line: str) -> None:
    write_episodes(tmp_path / "e.jsonl", [Episode(("cat",), (("a",),), "b")])
    with (tmp_path / "e.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataSetError, match=r"e\.jsonl, line 2"):
        read_episodes(tmp_path / "e.jsonl")


def test_a_missing_list_raises(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"none\.jsonl"):
        read_episodes(tmp_path / "none.jsonl")
