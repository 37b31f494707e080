"""`likewise watch`: the model of its options."""

import pytest

from likewise.jobs import watch
from likewise.weights import PRESENCE
from support.shard_jobs import learn_cat, open_small


@pytest.fixture
def watched(monkeypatch):
    """The predictors of the watches, which end at once."""
    found = []
    monkeypatch.setattr(watch, "watch_folder", lambda *_, few_shot, **__: found.append(few_shot))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return found


def test_quality_and_presence_are_those_of_the_options(likewise, photos, watched):
    learn_cat(open_small()).save("cat.concept")
    words = ("watch", photos, "--like", "cat.concept", "-o", "out", "--side", "96")
    assert likewise(*words, "--quality", "fast", "--always")[0] == 0
    assert likewise(*words)[0] == 0
    assert [few_shot.quality for few_shot in watched] == ["fast", "balanced"]
    assert [few_shot.presence for few_shot in watched] == [0, PRESENCE]
