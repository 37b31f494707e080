from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, jaccard_score

from likewise.data.episodes import Episode
from likewise.errors import DataSetError
from likewise.metrics.segmentation import (
    FoldIoU,
    LikewiseIoU,
    PanetIoU,
    SceneIoU,
    Scores,
    confusion,
)


def episode(*classes: str, query: str = "q", seed: int = 0) -> Episode:
    return Episode(classes, tuple(("s",) for _ in classes), query, seed)


def labels(*rows: str) -> np.ndarray:
    """A label map drawn as text: a digit a pixel, x for ignored."""
    return np.array([[255 if c == "x" else int(c) for c in row] for row in rows], np.uint8)


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
    np.testing.assert_array_equal(metric.intersection, arrays["intersection_per_class"][:, 5:10])
    np.testing.assert_array_equal(metric.union, arrays["union_per_class"][:, 5:10])
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


def test_only_panet_iou_forgives_false_positives_of_a_way_that_the_query_lacks() -> None:
    prediction, target = labels("1122", "0000"), labels("1100", "0000")
    panet, ours = PanetIoU(["cat", "dog"]), LikewiseIoU(["cat", "dog"])
    for metric in panet, ours:
        metric.update(prediction, target, episode("cat", "dog", query="a"))
        metric.update(labels("2200"), labels("2200"), episode("cat", "dog", query="b"))
    assert panet.compute().per_class == {"cat": 1.0, "dog": 1.0}
    assert ours.compute().per_class == {"cat": 1.0, "dog": 0.5}


def test_likewise_iou_by_hand() -> None:
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
    with pytest.raises(ValueError, match="no scored episode shows class 'dog'"):
        metric.compute()


def test_scene_iou_gives_the_golden_numbers_of_mcibi(golden: Callable) -> None:
    meta, arrays = golden("mcibi_metric")
    metric = SceneIoU([str(c) for c in range(meta["num_classes"])])
    for prediction, target in zip(arrays["pred"], arrays["target"], strict=True):
        metric.update(prediction, target)
    scores = metric.compute()
    expected = [np.nan if value is None else value for value in meta["iou"]]
    assert list(scores.per_class.values()) == pytest.approx(expected, rel=1e-12, nan_ok=True)
    assert scores.values["mIoU"] == pytest.approx(meta["miou"], rel=1e-12)
    assert scores.values["pixel accuracy"] == pytest.approx(meta["all_accuracy"], rel=1e-12)
    accuracies = [value for value in meta["accuracy_per_class"] if value is not None]
    assert scores.values["mean class accuracy"] == pytest.approx(np.mean(accuracies), rel=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(2, 9))
def test_confusion_and_iou_agree_with_scikit_learn(seed: int, classes: int) -> None:
    generator = np.random.default_rng(seed)
    prediction = generator.integers(0, classes, (6, 7), dtype=np.uint8)
    target = generator.integers(0, classes, (6, 7), dtype=np.uint8)
    target[generator.random((6, 7)) < 0.2] = 255
    counted = target != 255
    truth, guess = target[counted], prediction[counted]
    matrix = confusion(prediction, target, classes)
    np.testing.assert_array_equal(matrix, confusion_matrix(truth, guess, labels=range(classes)))
    scene = SceneIoU([str(i) for i in range(classes)])
    scene.update(prediction, target)
    present = np.union1d(truth, guess)
    expected = jaccard_score(truth, guess, labels=present, average=None)
    assert [scene.compute().per_class[str(i)] for i in present] == pytest.approx(list(expected))


def test_a_scene_metric_without_a_labelled_pixel_is_an_error() -> None:
    metric = SceneIoU(["road"])
    metric.update(labels("00"), labels("xx"))
    with pytest.raises(ValueError, match="no labelled pixel"):
        metric.compute()


def test_predictions_that_do_not_fit_say_what_came() -> None:
    metric = FoldIoU("hsnet-2021", ["cat"])
    with pytest.raises(ValueError, match=r"not 3x1 \(width x height\) and 2x1"):
        metric.update(labels("000"), labels("00"), episode("cat"))
    with pytest.raises(ValueError, match="prediction holds label 2, labels go from 0 to 1"):
        metric.update(labels("02"), labels("00"), episode("cat"))
    with pytest.raises(ValueError, match="target holds label 3, labels go from 0 to 1, 255 is ignored"):
        metric.update(labels("00"), labels("x3"), episode("cat"))


@pytest.mark.parametrize("metric", [FoldIoU("hsnet-2021", ["cat"]), PanetIoU(["cat"]), LikewiseIoU(["cat"])])
def test_an_unknown_class_names_the_nearest(metric: FoldIoU | PanetIoU | LikewiseIoU) -> None:
    with pytest.raises(DataSetError, match="did you mean cat"):
        metric.update(labels("01"), labels("01"), episode("cats"))


def test_fold_iou_is_for_one_way() -> None:
    with pytest.raises(ValueError, match="hsnet-2021 counts 1-way episodes, not 2-way"):
        FoldIoU("hsnet-2021", ["cat", "dog"]).update(labels("01"), labels("01"), episode("cat", "dog"))


def test_scores_print_their_protocol_and_interval() -> None:
    scores = Scores("likewise-1", {"mIoU": 0.5}, intervals={"mIoU": (0.4, 0.6)})
    assert str(scores) == "likewise-1: mIoU 0.5000 [0.4000, 0.6000]"
