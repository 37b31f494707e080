from collections import Counter
from dataclasses import replace

import pytest

from likewise.data.episodes import Entry, Episode, EpisodeSet
from likewise.errors import DataSetError
from likewise.evaluate.protocols import find_protocol


def images(episode: Episode) -> list[str]:
    return [image for shots in episode.supports for image in shots]


def test_likewise_1_draws_every_class_and_query_equally_often(dataset: EpisodeSet) -> None:
    episodes = find_protocol("likewise-1").episodes(dataset, shots=2, count=150)
    shown = [e for e in episodes if e.query in dataset.images_of[e.classes[0]]]
    absent = [e for e in episodes if e not in shown]
    assert Counter(e.classes[0] for e in shown) == dict.fromkeys(dataset.classes, 30)
    assert Counter(e.classes[0] for e in absent) == dict.fromkeys(dataset.classes, 6)
    for name in dataset.classes:
        turns = Counter(e.query for e in shown if e.classes[0] == name)
        assert set(turns) == set(dataset.images_of[name])
        assert max(turns.values()) - min(turns.values()) <= 1


def test_a_shorter_list_of_likewise_1_is_the_beginning_of_a_longer_one(dataset: EpisodeSet) -> None:
    short, long = (find_protocol("likewise-1").episodes(dataset, count=n) for n in (100, 500))
    assert long[: len(short)] == short


def test_likewise_1_with_several_ways_repeats_no_image(dataset: EpisodeSet) -> None:
    for episode in find_protocol("likewise-1").episodes(dataset, shots=2, ways=3):
        assert len(set(episode.classes)) == 3
        assert len({episode.query, *images(episode)}) == 7


def test_ways_that_share_all_their_images_raise(dataset: EpisodeSet) -> None:
    entries = tuple(Entry(image, name) for name in ("bird", "boat") for image in ("a", "b"))
    twins = replace(dataset, classes=("bird", "boat"), entries=entries)
    with pytest.raises(DataSetError, match=r"bird|boat"):
        find_protocol("likewise-1").episodes(twins, ways=2)
