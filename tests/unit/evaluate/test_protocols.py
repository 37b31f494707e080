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
from likewise.evaluate.protocols import PROTOCOLS, protocol, read_episodes, write_episodes
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
def test_episodes_are_pure_and_hold_what_they_say(dataset: EpisodeSet, name: str) -> None:
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    random.seed(1)
    episodes = protocol(name).episodes(dataset, shots=3, count=40)
    random.seed(2)
    assert episodes == protocol(name).episodes(dataset, shots=3, count=40)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert episodes != protocol(name).episodes(dataset, shots=3, count=40, seed=99)
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
        elsewhere = pool.submit(protocol(name).episodes, dataset, 1, 1, 10).result()
    assert elsewhere == protocol(name).episodes(dataset, 1, 1, 10)


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
    drawn = protocol(name).episodes(dataset)
    assert len(drawn) == episodes
    assert sorted({e.seed for e in drawn}) == seeds
    assert protocol(name).size == size


def test_pfenet_2020_has_twenty_thousand_episodes_on_coco(dataset: EpisodeSet) -> None:
    assert len(protocol("pfenet-2020").episodes(replace(dataset, benchmark="COCO-20i"))) == 20000


def test_hsnet_2021_cycles_the_list_and_draws_supports_with_replacement(dataset: EpisodeSet) -> None:
    episodes = protocol("hsnet-2021").episodes(dataset, shots=5)
    for i, episode in enumerate(episodes):
        entry = dataset.entries[i % len(dataset.entries)]
        assert (episode.query, episode.classes) == (entry.image, (entry.class_name,))
    assert any(len(set(e.supports[0])) < 5 for e in episodes)


def test_hsnet_2021_draws_supports_from_the_legacy_stream_of_seed_zero(dataset: EpisodeSet) -> None:
    stream = np.random.RandomState(0)
    for episode in protocol("hsnet-2021").episodes(dataset, count=30):
        names = list(dataset.images_of[episode.classes[0]])
        drawn = episode.query
        while drawn == episode.query:
            drawn = names[stream.permutation(len(names))[0]]
        assert episode.supports == ((drawn,),)


def test_hsnet_2021_draws_the_class_first_on_coco(dataset: EpisodeSet) -> None:
    episodes = protocol("hsnet-2021").episodes(replace(dataset, benchmark="COCO-20i"))
    counts = Counter(e.classes[0] for e in episodes)
    assert set(counts) == set(dataset.classes)
    assert min(counts.values()) > 150


def test_fss_hsnet_2021_asks_every_image_once(dataset: EpisodeSet) -> None:
    episodes = protocol("fss-hsnet-2021").episodes(dataset)
    assert [(e.query, e.classes[0]) for e in episodes] == [(e.image, e.class_name) for e in dataset.entries]


def test_pfenet_2020_cycles_images_and_draws_a_class_of_each(dataset: EpisodeSet) -> None:
    episodes = protocol("pfenet-2020").episodes(dataset)
    order = list(dataset.classes_of)
    assert [e.query for e in episodes[: 2 * len(order)]] == order * 2
    assert {e.classes[0] for e in episodes if e.query == "2007_001005"} == {"aeroplane", "bird"}


def test_panet_2019_draws_several_ways_with_a_query_of_one_of_them(dataset: EpisodeSet) -> None:
    asked = Counter()
    for episode in protocol("panet-2019").episodes(dataset, shots=2, ways=2, count=200):
        assert len(set(episode.classes)) == 2
        assert [len(shots) for shots in episode.supports] == [2, 2]
        assert episode.query not in images(episode)
        asked[[episode.query in dataset.images_of[name] for name in episode.classes].index(True)] += 1
    assert min(asked.values()) > 350


def test_likewise_1_gives_every_class_and_query_its_turn(dataset: EpisodeSet) -> None:
    episodes = protocol("likewise-1").episodes(dataset, shots=2, count=150)
    shown = [e for e in episodes if e.query in dataset.images_of[e.classes[0]]]
    absent = [e for e in episodes if e not in shown]
    assert Counter(e.classes[0] for e in shown) == dict.fromkeys(dataset.classes, 30)
    assert Counter(e.classes[0] for e in absent) == dict.fromkeys(dataset.classes, 6)
    for name in dataset.classes:
        turns = Counter(e.query for e in shown if e.classes[0] == name)
        assert set(turns) == set(dataset.images_of[name])
        assert max(turns.values()) - min(turns.values()) <= 1


def test_a_shorter_list_of_likewise_1_begins_a_longer_one(dataset: EpisodeSet) -> None:
    short, long = (protocol("likewise-1").episodes(dataset, count=n) for n in (100, 500))
    assert long[: len(short)] == short


def test_likewise_1_with_several_ways_shares_no_image(dataset: EpisodeSet) -> None:
    for episode in protocol("likewise-1").episodes(dataset, shots=2, ways=3):
        assert len(set(episode.classes)) == 3
        assert len({episode.query, *images(episode)}) == 7


def test_episodes_load_at_the_size_of_the_protocol(dataset: EpisodeSet) -> None:
    dataset = replace(dataset, entries=dataset.entries[:25])
    for name, shape in ("hsnet-2021", (400, 400)), ("panet-2019", (417, 417)), ("likewise-1", (60, 80)):
        chosen = protocol(name)
        loaded = load_episode(dataset, chosen.episodes(dataset, count=5)[0], chosen.size, chosen.nearest)
        assert loaded.query.shape == (*shape, 3)
        assert loaded.target.shape == loaded.support_labels[0][0].shape == shape
        assert set(np.unique(loaded.target)) == {0, 1, 255}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_perfect_prediction_scores_one_under_every_protocol(dataset: EpisodeSet, name: str) -> None:
    chosen = protocol(name)
    metric = chosen.metric(dataset.classes)
    for episode in chosen.episodes(dataset, count=25):
        target = load_episode(dataset, episode, 20).target
        metric.update(np.where(target == 255, 0, target).astype(np.uint8), target, episode)
    scores = metric.compute()
    assert isinstance(scores, Scores)
    assert scores.protocol == name
    assert scores.values["mIoU"] == 1


def test_episode_lists_survive_a_file(dataset: EpisodeSet, tmp_path: Path) -> None:
    episodes = protocol("panet-2019").episodes(dataset, shots=2, ways=2, count=10)
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
    with pytest.raises(DataSetError, match=r"e\.jsonl, line 2: an episode has classes, supports, query and seed"):
        read_episodes(tmp_path / "e.jsonl")


def test_an_unknown_protocol_names_the_nearest() -> None:
    with pytest.raises(ArgumentError, match="did you mean hsnet-2021"):
        protocol("hsnet2021")


@pytest.mark.parametrize("name", ["hsnet-2021", "pfenet-2020", "fss-hsnet-2021"])
def test_one_way_protocols_refuse_several_ways(dataset: EpisodeSet, name: str) -> None:
    with pytest.raises(DataSetError, match=f"{name} is a 1-way protocol, not 2-way"):
        protocol(name).episodes(dataset, ways=2)


@pytest.mark.parametrize("name", ["panet-2019", "likewise-1"])
def test_more_ways_than_classes_are_an_error(dataset: EpisodeSet, name: str) -> None:
    with pytest.raises(DataSetError, match="has 5 classes, 6-way is not possible"):
        protocol(name).episodes(dataset, ways=6)


@pytest.mark.parametrize("name", ["panet-2019", "pfenet-2020", "likewise-1"])
def test_more_shots_than_images_are_an_error(dataset: EpisodeSet, name: str) -> None:
    with pytest.raises(DataSetError, match=r"has \d images, an episode needs a query and 9 others"):
        protocol(name).episodes(dataset, shots=9)


def test_a_class_of_one_image_is_an_error_rather_than_an_endless_loop(dataset: EpisodeSet) -> None:
    lonely = replace(dataset, entries=(Entry("a", "bird"),))
    with pytest.raises(DataSetError, match=r"class 'bird' .* has 1 images, an episode needs a query and 1 others"):
        protocol("hsnet-2021").episodes(lonely)


def test_every_protocol_says_what_it_copies_and_what_it_gets_wrong() -> None:
    for name, chosen in PROTOCOLS.items():
        text = type(chosen).__doc__ or ""
        assert text.startswith(f"`{name}`:")
        assert name == "likewise-1" or ("Copies:" in text and "Gets wrong:" in text)


def test_all_folds_of_the_real_images_run_under_every_protocol(shared_data: Path) -> None:
    for fold in range(4):
        real = pascal5i(shared_data, fold)
        for name in "panet-2019", "pfenet-2020", "hsnet-2021", "likewise-1":
            for shots in 1, 5:
                assert protocol(name).episodes(real, shots=shots, count=20)


def test_ways_that_share_all_their_images_are_an_error(dataset: EpisodeSet) -> None:
    entries = tuple(Entry(image, name) for name in ("bird", "boat") for image in ("a", "b"))
    twins = replace(dataset, classes=("bird", "boat"), entries=entries)
    with pytest.raises(DataSetError, match="has too few images that no other way shows"):
        protocol("likewise-1").episodes(twins, ways=2)
