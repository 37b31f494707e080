"""A small data set from which every protocol can draw."""

from dataclasses import replace

import pytest

from likewise.data.episodes import Entry, EpisodeSet
from likewise.data.pascal import pascal5i
from support import fakes


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> EpisodeSet:
    """Fold 0 of a small PASCAL-5i: five classes with five images each, two images of two classes."""
    made = pascal5i(fakes.make_voc(tmp_path_factory.mktemp("voc"), per_class=10), 0)
    shared = (Entry("2007_001005", "bird"), Entry("2007_002005", "boat"))
    return replace(made, entries=made.entries + shared)
