from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from likewise.data.episodes import Entry, Episode, EpisodeSet
from likewise.errors import ArgumentError, DataSetError
from likewise.evaluate.protocols import find_protocol


def images(episode: Episode) -> list[str]:
    return [image for shots in episode.supports for image in shots]


def test_pfenet_2020_has_twenty_thousand_episodes_on_coco(dataset: EpisodeSet) -> None:
    assert len(find_protocol("pfenet-2020").episodes(replace(dataset, benchmark="COCO-20i"))) == 20000


def test_hsnet_2021_cycles_the_list_and_draws_supports_with_replacement(dataset: EpisodeSet) -> None:
    episodes = find_protocol("hsnet-2021").episodes(dataset, shots=5)
    for i, episode in enumerate(episodes):
        entry = dataset.entries[i % len(dataset.entries)]
        assert (episode.query, episode.classes) == (entry.image, (entry.class_name,))
    assert any(len(set(e.supports[0])) < 5 for e in episodes)


def test_hsnet_2021_draws_supports_from_the_legacy_stream_of_seed_zero(dataset: EpisodeSet) -> None:
    stream = np.random.RandomState(0)
    for episode in find_protocol("hsnet-2021").episodes(dataset, count=30):
        names = list(dataset.images_of[episode.classes[0]])
        drawn = episode.query
        while drawn == episode.query:
            drawn = names[stream.permutation(len(names))[0]]
        assert episode.supports == ((drawn,),)


def test_hsnet_2021_draws_the_class_first_on_coco(dataset: EpisodeSet) -> None:
    episodes = find_protocol("hsnet-2021").episodes(replace(dataset, benchmark="COCO-20i"))
    counts = Counter(e.classes[0] for e in episodes)
    assert set(counts) == set(dataset.classes)
    assert min(counts.values()) > 150


def test_fss_hsnet_2021_queries_every_image_once(dataset: EpisodeSet) -> None:
    episodes = find_protocol("fss-hsnet-2021").episodes(dataset)
    assert [(e.query, e.classes[0]) for e in episodes] == [(e.image, e.class_name) for e in dataset.entries]


def test_pfenet_2020_cycles_images_and_draws_a_class_of_each(dataset: EpisodeSet) -> None:
    episodes = find_protocol("pfenet-2020").episodes(dataset)
    order = list(dataset.classes_of)
    assert [e.query for e in episodes[: 2 * len(order)]] == order * 2
    assert {e.classes[0] for e in episodes if e.query == "2007_001005"} == {"aeroplane", "bird"}


def test_panet_2019_draws_several_ways_with_a_query_of_one_of_them(dataset: EpisodeSet) -> None:
    asked = Counter()
    for episode in find_protocol("panet-2019").episodes(dataset, shots=2, ways=2, count=200):
        assert len(set(episode.classes)) == 2
        assert [len(shots) for shots in episode.supports] == [2, 2]
        assert episode.query not in images(episode)
        asked[[episode.query in dataset.images_of[name] for name in episode.classes].index(True)] += 1
    assert min(asked.values()) > 350


@pytest.mark.parametrize("name", ["hsnet-2021", "pfenet-2020", "fss-hsnet-2021"])
def test_one_way_protocols_refuse_several_ways(dataset: EpisodeSet, name: str) -> None:
    with pytest.raises(ArgumentError, match=f"{name} .*2-way"):
        find_protocol(name).episodes(dataset, ways=2)


def test_a_class_of_one_image_raises_instead_of_looping_forever(dataset: EpisodeSet) -> None:
    lonely = replace(dataset, entries=(Entry("a", "bird"),))
    with pytest.raises(DataSetError, match=r"'bird' .*1 image; .* 1 others"):
        find_protocol("hsnet-2021").episodes(lonely)


def test_every_second_query_of_fs_cs_lacks_the_class_of_its_turn(dataset: EpisodeSet) -> None:
    episodes = find_protocol("fs-cs-2022").episodes(dataset, shots=2, ways=2, count=40)
    shows = [episode.query in dataset.images_of[episode.classes[0]] for episode in episodes]
    assert shows == [True, False] * 20
    for episode in episodes:
        assert len({episode.query, *(image for shots in episode.supports for image in shots)}) == 5


def test_classes_of_fs_cs_take_turns(dataset: EpisodeSet) -> None:
    episodes = find_protocol("fs-cs-2022").episodes(dataset, count=2 * len(dataset.classes))
    assert [episode.classes[0] for episode in episodes[::2]] == list(dataset.classes)
