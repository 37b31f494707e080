import numpy as np
import pytest

from likewise.data.episodes import Episode
from likewise.errors import DataSetError
from likewise.evaluate.protocols import PROTOCOLS, find_protocol
from likewise.metrics.bootstrap import EpisodeCounts

CLASSES = ("cat", "dog", "cow")


def drawn_episodes(ways: int, seeds: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray, Episode]]:
    """Random maps of 12x10 pixels, some without any class, in episodes over seven images."""
    generator = np.random.default_rng(0)
    episodes = []
    for seed in seeds:
        for i in range(40):
            classes = tuple(np.roll(CLASSES, i)[:ways].tolist())
            episode = Episode(classes, (("s",),) * ways, f"image {generator.integers(7)}", seed)
            target = generator.integers(0, generator.integers(1, ways + 2), (12, 10), dtype=np.uint8)
            target[0, :3] = 255
            episodes.append((generator.integers(0, ways + 1, (12, 10), dtype=np.uint8), target, episode))
    return episodes


@pytest.mark.parametrize(
    ("name", "ways"), [*((name, 1) for name in PROTOCOLS), ("panet-2019", 2), ("likewise-1", 2), ("likewise-1", 3)]
)
def test_without_resampling_the_iou_is_that_of_the_protocol(name: str, ways: int) -> None:
    metric, counts = find_protocol(name).metric(CLASSES), EpisodeCounts(name, CLASSES)
    for prediction, target, episode in drawn_episodes(ways, (1, 2, 3)):
        metric.update(prediction, target, episode)
        counts.update(prediction, target, episode)
    assert counts.iou() == pytest.approx(metric.compute().per_class)


@pytest.mark.parametrize("name", ["panet-2019", "hsnet-2021"])
def test_a_class_that_was_never_drawn_counts_as_in_the_protocol(name: str) -> None:
    metric, counts = find_protocol(name).metric((*CLASSES, "owl")), EpisodeCounts(name, (*CLASSES, "owl"))
    for prediction, target, episode in drawn_episodes(1, (1, 2)):
        metric.update(prediction, target, episode)
        counts.update(prediction, target, episode)
    assert counts.iou() == pytest.approx(metric.compute().per_class, nan_ok=True)
    np.testing.assert_array_equal(counts.resampled()["owl"], np.full(1000, counts.iou()["owl"]))


def test_the_interval_is_that_of_likewise_1() -> None:
    metric, counts = find_protocol("likewise-1").metric(CLASSES), EpisodeCounts("likewise-1", CLASSES)
    for prediction, target, episode in drawn_episodes(1, (0,)):
        metric.update(prediction, target, episode)
        counts.update(prediction, target, episode)
    theirs = metric.compute().intervals["mIoU"]
    ours = np.percentile(np.mean(list(counts.resampled().values()), axis=0), (2.5, 97.5))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_resampling_draws_images_and_not_episodes() -> None:
    counts = EpisodeCounts("hsnet-2021", CLASSES)
    there, nothing = np.ones((4, 4), np.uint8), np.zeros((4, 4), np.uint8)
    for _ in range(500):
        counts.update(there, there, Episode(("cat",), (("s",),), "a"))
        counts.update(nothing, there, Episode(("cat",), (("s",),), "b"))
    drawn = counts.resampled()["cat"]
    # two images: a twice, each once, b twice
    values, times = np.unique(drawn, return_counts=True)
    assert values.tolist() == [0, 0.5, 1]
    assert times == pytest.approx([250, 500, 250], abs=60)
    assert counts.queries() == {"cat": 2, "dog": 0, "cow": 0}


def test_resampling_repeats_and_leaves_global_generators_alone() -> None:
    counts = EpisodeCounts("hsnet-2021", CLASSES)
    for prediction, target, episode in drawn_episodes(1, (0,)):
        counts.update(prediction, target, episode)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    np.testing.assert_array_equal(counts.resampled()["dog"], counts.resampled()["dog"])
    assert not np.array_equal(counts.resampled()["dog"], counts.resampled(seed=1)["dog"])
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_the_iou_of_an_episode_is_the_mean_over_the_ways_it_shows() -> None:
    counts = EpisodeCounts("likewise-1", CLASSES)
    target = np.array([[1, 1, 0, 0]], np.uint8)
    episode = Episode(("cat", "dog"), (("s",), ("t",)), "q")
    assert counts.update(np.array([[1, 2, 0, 2]], np.uint8), target, episode) == 0.5
    assert counts.update(target, np.zeros_like(target), episode) is None


def test_an_unknown_class_raises_with_a_close_match() -> None:
    plane = np.ones((2, 2), np.uint8)
    with pytest.raises(DataSetError, match="did you mean cow"):
        EpisodeCounts("hsnet-2021", CLASSES).update(plane, plane, Episode(("cows",), (("s",),), "q"))
