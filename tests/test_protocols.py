import numpy as np
import pytest

import fakes
from likewise.data.episodes import EpisodeSet, load_episode
from likewise.data.layout import DataSetError
from likewise.data.pascal import pascal5i
from likewise.protocols import protocol


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> EpisodeSet:
    return pascal5i(fakes.make_voc(tmp_path_factory.mktemp("voc"), per_class=10), 0)


def test_hsnet_2021_cycles_the_list_and_never_takes_the_query_as_support(dataset: EpisodeSet) -> None:
    episodes = protocol("hsnet-2021").episodes(dataset, shots=5)
    assert len(episodes) == 1000
    for i, episode in enumerate(episodes):
        entry = dataset.entries[i % len(dataset.entries)]
        assert (episode.query, episode.classes) == (entry.picture, (entry.class_name,))
        assert episode.query not in episode.supports[0]
        assert set(episode.supports[0]) <= set(dataset.pictures_of[entry.class_name])
    assert any(len(set(e.supports[0])) < 5 for e in episodes), "supports are drawn with replacement"


def test_an_unknown_protocol_names_the_nearest() -> None:
    with pytest.raises(DataSetError, match="nearest is 'hsnet-2021'"):
        protocol("hsnet2021")


def test_hsnet_2021_loads_at_400_and_keeps_the_boundary_ignored(dataset: EpisodeSet) -> None:
    hsnet = protocol("hsnet-2021")
    loaded = load_episode(dataset, hsnet.episodes(dataset, count=1)[0], hsnet.size, hsnet.nearest)
    assert loaded.query.shape == (400, 400, 3)
    assert loaded.target.shape == loaded.support_labels[0][0].shape == (400, 400)
    assert set(np.unique(loaded.target)) == {0, 1, 255}
