import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from likewise.data.episodes import EpisodeSet, read_pair
from likewise.data.pascal import pascal5i
from likewise.errors import ArgumentError, DataSetError
from likewise.evaluate.protocols import PROTOCOLS, find_protocol
from likewise.metrics.scores import Scores


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
        if name not in ("likewise-1", "fs-cs-2022"):
            assert episode.query in dataset.images_of[episode.classes[0]]
        if name not in ("hsnet-2021", "fss-hsnet-2021"):
            assert len(set(episode.supports[0])) == 3


@pytest.mark.slow
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


def test_episodes_load_at_the_size_of_the_protocol(dataset: EpisodeSet) -> None:
    dataset = replace(dataset, entries=dataset.entries[:25])
    for name, shape in ("hsnet-2021", (400, 400)), ("panet-2019", (417, 417)), ("likewise-1", (60, 80)):
        chosen = find_protocol(name)
        drawn = chosen.episodes(dataset, count=5)[0]
        image, labels = read_pair(dataset, drawn.query, drawn.classes, chosen.size, chosen.nearest)
        assert image.shape == (*shape, 3)
        assert labels.shape == shape
        assert set(np.unique(labels)) == {0, 1, 255}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_perfect_prediction_scores_one_under_every_protocol(dataset: EpisodeSet, name: str) -> None:
    chosen = find_protocol(name)
    metric = chosen.metric(dataset.classes)
    for episode in chosen.episodes(dataset, count=25):
        _, target = read_pair(dataset, episode.query, episode.classes, 20)
        metric.update(np.where(target == 255, 0, target).astype(np.uint8), target, episode)
    scores = metric.compute()
    assert isinstance(scores, Scores)
    assert scores.protocol == name
    assert scores.values["mIoU"] == 1


def test_an_unknown_protocol_raises_with_a_close_match() -> None:
    with pytest.raises(ArgumentError, match=r"hsnet-2021.*\?"):
        find_protocol("hsnet2021")


@pytest.mark.parametrize("name", ["panet-2019", "likewise-1"])
def test_more_ways_than_classes_raise(dataset: EpisodeSet, name: str) -> None:
    with pytest.raises(ArgumentError, match="6-way"):
        find_protocol(name).episodes(dataset, ways=6)


@pytest.mark.parametrize("name", ["panet-2019", "pfenet-2020", "likewise-1"])
def test_more_shots_than_images_raise(dataset: EpisodeSet, name: str) -> None:
    with pytest.raises(DataSetError, match=r"\d images; .* 9 others"):
        find_protocol(name).episodes(dataset, shots=9)


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
