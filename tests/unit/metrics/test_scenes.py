from collections.abc import Callable

import numpy as np
import pytest

from likewise.errors import PredictionError
from likewise.metrics.scenes import SceneIoU
from support.label_maps import labels


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


def test_a_scene_metric_without_a_labelled_pixel_raises() -> None:
    metric = SceneIoU(["road"])
    metric.update(labels("00"), labels("xx"))
    with pytest.raises(PredictionError):
        metric.compute()
