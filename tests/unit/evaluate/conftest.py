"""A run and its results, for the tests of reports."""

import numpy as np
import pytest

from likewise.data.episodes import Episode, EpisodeSet, read_pair
from likewise.evaluate.loops import predict, score
from likewise.evaluate.results import Results
from likewise.evaluate.run import Run, start_run
from support import fakes


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two ways and two shots; later episodes find smaller parts of the objects."""
    root = fakes.make_voc(tmp_path_factory.mktemp("voc"), per_class=8)
    out = tmp_path_factory.mktemp("run")
    settings = {"fold": "all", "count": 10, "shots": 2, "ways": 2, "model": {"model": "truth", "backbone": "<none>"}}
    run = start_run(out, protocol_name="likewise-1", data=root, **settings)
    asked = iter(range(100))

    def segment(dataset: EpisodeSet, episode: Episode) -> tuple[np.ndarray, None]:
        _, target = read_pair(dataset, episode.query, episode.classes)
        labels = np.where(target == 255, 0, target).astype(np.uint8)
        labels[55 - next(asked) :] = 0
        return labels, None

    predict(run, segment)
    return run


@pytest.fixture(scope="session")
def results(run: Run) -> Results:
    return score(run)
