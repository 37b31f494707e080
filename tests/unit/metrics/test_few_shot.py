from collections.abc import Callable

import numpy as np
import pytest

from likewise.data.episodes import Episode
from likewise.errors import ArgumentError, DataSetError, PredictionError
from likewise.evaluate.protocols import PROTOCOLS, find_protocol
from likewise.metrics.few_shot import FoldIoU, FSCSIoU, LikewiseIoU, PanetIoU
from support.label_maps import episode, labels

CLASSES = ("cat", "dog", "cow")


def test_fold_iou_gives_the_golden_numbers_of_hsnet(golden: Callable) -> None:
    meta, arrays = golden("hsnet_metric")
    metric = FoldIoU("hsnet-2021", [str(c) for c in range(5, 10)])
    for record, prediction, truth, ignore in zip(
        meta["episodes"], arrays["pred"], arrays["gt"], arrays["ignore"], strict=True
    ):
        target = np.where(ignore == 1, 255, truth).astype(np.uint8)
        metric.update(prediction, target, episode(str(record["class_id"])))
    scores = metric.compute()
    assert scores.values["mIoU"] * 100 == pytest.approx(meta["mIoU_percent"], rel=1e-6)
    assert scores.values["FB-IoU"] * 100 == pytest.approx(meta["FB_IoU_percent"], rel=1e-6)
    counts = np.stack([arrays["intersection_per_class"], arrays["union_per_class"]], axis=-1)[:, 5:10]
    np.testing.assert_array_equal(metric.background[0], counts[0].sum(axis=0))
    np.testing.assert_array_equal(metric.totals()[0], counts[1])
    assert scores.per_class["9"] == 0


@pytest.mark.parametrize("runs", [(0,), (1,), (0, 1)])
def test_panet_iou_gives_the_golden_numbers_of_panet(golden: Callable, runs: tuple[int, ...]) -> None:
    meta, arrays = golden("panet_metric")
    metric = PanetIoU([str(c) for c in range(1, 6)])
    for record, prediction, target in zip(meta["records"], arrays["pred"], arrays["target"], strict=True):
        if record["run"] in runs:
            metric.update(prediction, target, episode(*map(str, record["class_ids"]), seed=record["run"]))
    scores = metric.compute()
    expected = meta["results"]["both_runs" if len(runs) == 2 else f"run{runs[0]}"]
    assert scores.values["mIoU"] == pytest.approx(expected["meanIoU"], rel=1e-12)
    assert scores.values["binary IoU"] == pytest.approx(expected["meanIoU_binary"], rel=1e-12)
    assert list(scores.per_class.values()) == pytest.approx(expected["classIoU"], rel=1e-12)
    if len(runs) == 2:
        assert scores.values["mIoU std over runs"] == pytest.approx(expected["meanIoU_std"], rel=1e-12)
        assert scores.values["binary IoU std over runs"] == pytest.approx(expected["meanIoU_binary_std"], rel=1e-12)


def test_panet_iou_of_a_class_that_was_never_drawn_is_nan(golden: Callable) -> None:
    metric = PanetIoU(["cat", "dog"])
    metric.update(labels("11"), labels("10"), episode("cat"))
    assert np.isnan(metric.compute().values["mIoU"])
    assert metric.compute().per_class["cat"] == 0.5


def test_false_positives_of_a_way_that_the_query_lacks_count_except_under_panet_iou() -> None:
    prediction, target = labels("1122", "0000"), labels("1100", "0000")
    panet, ours = PanetIoU(["cat", "dog"]), LikewiseIoU(["cat", "dog"])
    for metric in panet, ours:
        metric.update(prediction, target, episode("cat", "dog", query="a"))
        metric.update(labels("2200"), labels("2200"), episode("cat", "dog", query="b"))
    assert panet.compute().per_class == {"cat": 1.0, "dog": 1.0}
    assert ours.compute().per_class == {"cat": 1.0, "dog": 0.5}


def test_likewise_iou_of_four_small_episodes() -> None:
    metric = LikewiseIoU(["cat", "dog"])
    metric.update(labels("1100", "0000"), labels("100x", "1000"), episode("cat", query="a"))
    metric.update(labels("1100"), labels("1100"), episode("cat", query="b"))
    metric.update(labels("0010"), labels("1110"), episode("dog", query="c"))
    metric.update(labels("1000"), labels("00xx"), episode("dog", query="d"))
    scores = metric.compute()
    assert scores.per_class == {"cat": pytest.approx(3 / 5), "dog": pytest.approx(1 / 3)}
    assert scores.values["mIoU"] == pytest.approx((3 / 5 + 1 / 3) / 2)
    assert scores.values["false-positive area where absent"] == pytest.approx(1 / 2)
    assert scores.counts == {"episodes": 4, "episodes where the class is absent": 1}
    assert scores.intervals["cat"] == (pytest.approx(1 / 3), pytest.approx(1.0))
    assert scores.intervals["dog"] == (pytest.approx(1 / 3), pytest.approx(1 / 3))


def test_the_bootstrap_interval_covers_and_narrows_with_more_images() -> None:
    generator = np.random.default_rng(7)
    widths = []
    for images in (20, 320):
        metric = LikewiseIoU(["cat"])
        for i in range(images):
            target = np.ones((10, 10), np.uint8)
            prediction = (generator.random((10, 10)) < generator.uniform(0.4, 0.8)).astype(np.uint8)
            metric.update(prediction, target, episode("cat", query=str(i)))
        low, high = metric.compute().intervals["mIoU"]
        assert low < 0.6 < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_episodes_of_one_query_do_not_narrow_the_interval() -> None:
    once, often = LikewiseIoU(["cat"]), LikewiseIoU(["cat"])
    for metric, times in (once, 1), (often, 10):
        for _ in range(times):
            metric.update(labels("1000"), labels("1100"), episode("cat", query="a"))
            metric.update(labels("1100"), labels("1100"), episode("cat", query="b"))
    assert once.compute().intervals == often.compute().intervals


def test_likewise_iou_needs_every_class() -> None:
    metric = LikewiseIoU(["cat", "dog"])
    metric.update(labels("10"), labels("10"), episode("cat"))
    with pytest.raises(PredictionError, match="dog"):
        metric.compute()


@pytest.mark.parametrize("metric", [FoldIoU("hsnet-2021", ["cat"]), PanetIoU(["cat"]), LikewiseIoU(["cat"])])
def test_an_unknown_class_raises_with_a_close_match(metric: FoldIoU | PanetIoU | LikewiseIoU) -> None:
    with pytest.raises(DataSetError, match=r"cat\?"):
        metric.update(labels("01"), labels("01"), episode("cats"))


def test_fold_iou_refuses_several_ways() -> None:
    with pytest.raises(ArgumentError, match="2-way"):
        FoldIoU("hsnet-2021", ["cat", "dog"]).update(labels("01"), labels("01"), episode("cat", "dog"))


def drawn_episodes(ways: int, seeds: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray, Episode]]:
    """Random maps of 12x10 pixels, some without any class, in episodes over seven images."""
    generator = np.random.default_rng(0)
    episodes = []
    for seed in seeds:
        for i in range(40):
            classes = tuple(np.roll(CLASSES, i)[:ways].tolist())
            drawn = Episode(classes, (("s",),) * ways, f"image {generator.integers(7)}", seed)
            target = generator.integers(0, generator.integers(1, ways + 2), (12, 10), dtype=np.uint8)
            target[0, :3] = 255
            episodes.append((generator.integers(0, ways + 1, (12, 10), dtype=np.uint8), target, drawn))
    return episodes


@pytest.mark.parametrize(
    ("name", "ways"), [*((name, 1) for name in PROTOCOLS), ("panet-2019", 2), ("likewise-1", 2), ("likewise-1", 3)]
)
def test_resampling_is_centred_on_the_iou_of_the_protocol(name: str, ways: int) -> None:
    metric = find_protocol(name).metric(CLASSES)
    for prediction, target, drawn in drawn_episodes(ways, (1, 2, 3)):
        metric.update(prediction, target, drawn)
    expected = metric.compute().per_class
    assert {key: np.nanmean(iou) for key, iou in metric.resampled().items()} == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(("name", "expected"), [("panet-2019", np.nan), ("hsnet-2021", 0)])
def test_a_class_that_was_never_drawn_counts_as_in_the_protocol(name: str, expected: float) -> None:
    metric = find_protocol(name).metric((*CLASSES, "owl"))
    for prediction, target, drawn in drawn_episodes(1, (1, 2)):
        metric.update(prediction, target, drawn)
    np.testing.assert_array_equal(metric.compute().per_class["owl"], expected)
    np.testing.assert_array_equal(metric.resampled()["owl"], np.full(1000, expected))


def test_resampling_draws_images_and_not_episodes() -> None:
    counts = FoldIoU("hsnet-2021", CLASSES)
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
    counts = FoldIoU("hsnet-2021", CLASSES)
    for prediction, target, drawn in drawn_episodes(1, (0,)):
        counts.update(prediction, target, drawn)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    np.testing.assert_array_equal(counts.resampled()["dog"], counts.resampled()["dog"])
    assert not np.array_equal(counts.resampled()["dog"], counts.resampled(seed=1)["dog"])
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_the_iou_of_an_episode_is_the_mean_over_the_ways_it_shows() -> None:
    counts = LikewiseIoU(CLASSES)
    target = np.array([[1, 1, 0, 0]], np.uint8)
    both = episode("cat", "dog")
    assert counts.update(np.array([[1, 2, 0, 2]], np.uint8), target, both) == 0.5
    assert counts.update(target, np.zeros_like(target), both) is None


def test_the_exact_ratio_counts_episodes_whose_classes_are_all_predicted() -> None:
    metric = FSCSIoU(["cat", "dog"])
    target = labels("01", "02")
    metric.update(target, target, episode("cat", "dog", query="a"))
    metric.update(labels("01", "00"), target, episode("cat", "dog", query="b"))
    metric.update(labels("00", "00"), labels("00", "00"), episode("cat", "dog", query="c"))
    scores = metric.compute()
    assert scores.values["exact ratio"] == pytest.approx(2 / 3)
    assert scores.per_class == {"cat": 1, "dog": 0.5}
