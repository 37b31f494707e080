import random
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from likewise.data.episodes import Entry, Episode, EpisodeSet, load_episode
from likewise.data.pascal import pascal5i
from likewise.errors import ArgumentError, DataSetError
from likewise.evaluate.episode_lists import read_episodes, write_episodes
from likewise.evaluate.protocols import PROTOCOLS, find_protocol
from likewise.metrics.scores import Scores
from support import fakes


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> EpisodeSet:
    """Fold 0 of a small PASCAL-5i: five classes with five images each, two images of two classes."""
    made = pascal5i(fakes.make_voc(tmp_path_factory.mktemp("voc"), per_class=10), 0)
    shared = (Entry("2007_001005", "bird"), Entry("2007_002005", "boat"))
    return replace(made, entries=made.entries + shared)


def images(episode: Episode) -> list[str]:
    return [image for shots in episode.supports for image in shots]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_episodes_are_repeatable_and_hold_the_requested_shots(dataset: EpisodeSet, name: str) -> None:
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    random.seed(1)
    episodes = find_protocol(name).episodes(dataset, shots=3, count=40)
    random.seed(2)
    assert episodes == find_protocol(name).episodes(dataset, shots=3, count=40)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert episodes != find_protocol(name).episodes(dataset, shots=3, count=40, seed=99)
    for episode in episodes:
        assert len(episode.classes) == len(episode.supports) == 1
        assert len(episode.supports[0]) == 3
        assert set(episode.supports[0]) <= set(dataset.images_of[episode.classes[0]])
        assert episode.query not in episode.supports[0]
        if name != "likewise-1":
            assert episode.query in dataset.images_of[episode.classes[0]]
        if name not in ("hsnet-2021", "fss-hsnet-2021"):
            assert len(set(episode.supports[0])) == 3


@pytest.mark.parametrize("name", PROTOCOLS)
def test_another_process_draws_the_same_episodes(dataset: EpisodeSet, name: str) -> None:
    with ProcessPoolExecutor(1) as pool:
        elsewhere = pool.submit(find_protocol(name).episodes, dataset, 1, 1, 10).result()
    assert elsewhere == find_protocol(name).episodes(dataset, 1, 1, 10)


@pytest.mark.parametrize(
    ("name", "episodes", "seeds", "size"),
    [
        ("panet-2019", 5000, [1234, 1235, 1236, 1237, 1238], 417),
        ("hsnet-2021", 1000, [0], 400),
        ("pfenet-2020", 5000, [321], None),
        ("fss-hsnet-2021", 27, [0], 400),
        ("likewise-1", 1200, [0], None),
    ],
)
def test_each_protocol_has_its_number_of_episodes_seeds_and_size(
    dataset: EpisodeSet, name: str, episodes: int, seeds: list[int], size: int | None
) -> None:
    drawn = find_protocol(name).episodes(dataset)
    assert len(drawn) == episodes
    assert sorted({e.seed for e in drawn}) == seeds
    assert find_protocol(name).size == size


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


def test_episodes_load_at_the_size_of_the_protocol(dataset: EpisodeSet) -> None:
    dataset = replace(dataset, entries=dataset.entries[:25])
    for name, shape in ("hsnet-2021", (400, 400)), ("panet-2019", (417, 417)), ("likewise-1", (60, 80)):
        chosen = find_protocol(name)
        loaded = load_episode(dataset, chosen.episodes(dataset, count=5)[0], chosen.size, chosen.nearest)
        assert loaded.query.shape == (*shape, 3)
        assert loaded.target.shape == loaded.support_labels[0][0].shape == shape
        assert set(np.unique(loaded.target)) == {0, 1, 255}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_perfect_prediction_scores_one_under_every_protocol(dataset: EpisodeSet, name: str) -> None:
    chosen = find_protocol(name)
    metric = chosen.metric(dataset.classes)
    for episode in chosen.episodes(dataset, count=25):
        target = load_episode(dataset, episode, 20).target
        metric.update(np.where(target == 255, 0, target).astype(np.uint8), target, episode)
    scores = metric.compute()
    assert isinstance(scores, Scores)
    assert scores.protocol == name
    assert scores.values["mIoU"] == 1


def test_episode_lists_round_trip_through_a_file(dataset: EpisodeSet, tmp_path: Path) -> None:
    episodes = find_protocol("panet-2019").episodes(dataset, shots=2, ways=2, count=10)
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


def test_an_unknown_protocol_raises_with_a_close_match() -> None:
    with pytest.raises(ArgumentError, match="did you mean hsnet-2021"):
        find_protocol("hsnet2021")


@pytest.mark.parametrize("name", ["hsnet-2021", "pfenet-2020", "fss-hsnet-2021"])
def test_one_way_protocols_refuse_several_ways(dataset: EpisodeSet, name: str) -> None:
    with pytest.raises(ArgumentError, match=f"{name} .*2-way"):
        find_protocol(name).episodes(dataset, ways=2)


@pytest.mark.parametrize("name", ["panet-2019", "likewise-1"])
def test_more_ways_than_classes_raise(dataset: EpisodeSet, name: str) -> None:
    with pytest.raises(ArgumentError, match="6-way"):
        find_protocol(name).episodes(dataset, ways=6)


@pytest.mark.parametrize("name", ["panet-2019", "pfenet-2020", "likewise-1"])
def test_more_shots_than_images_raise(dataset: EpisodeSet, name: str) -> None:
    with pytest.raises(DataSetError, match=r"\d images; .* 9 others"):
        find_protocol(name).episodes(dataset, shots=9)


def test_a_class_of_one_image_raises_instead_of_looping_forever(dataset: EpisodeSet) -> None:
    lonely = replace(dataset, entries=(Entry("a", "bird"),))
    with pytest.raises(DataSetError, match=r"'bird' .*1 images; .* 1 others"):
        find_protocol("hsnet-2021").episodes(lonely)


def test_every_protocol_states_what_it_reproduces_and_its_flaws() -> None:
    for name, chosen in PROTOCOLS.items():
        text = type(chosen).__doc__ or ""
        assert text.startswith(f"`{name}`:")
        assert "Known flaws:" in text
        assert name == "likewise-1" or "Reproduces:" in text


def test_every_protocol_draws_from_all_folds_of_the_real_images(shared_data: Path) -> None:
    for fold in range(4):
        real = pascal5i(shared_data, fold)
        for name in "panet-2019", "pfenet-2020", "hsnet-2021", "likewise-1":
            for shots in 1, 5:
                assert find_protocol(name).episodes(real, shots=shots, count=20)


def test_ways_that_share_all_their_images_raise(dataset: EpisodeSet) -> None:
    entries = tuple(Entry(image, name) for name in ("bird", "boat") for image in ("a", "b"))
    twins = replace(dataset, classes=("bird", "boat"), entries=entries)
    with pytest.raises(DataSetError, match=r"bird|boat"):
        find_protocol("likewise-1").episodes(twins, ways=2)
