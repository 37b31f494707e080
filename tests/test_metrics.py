from collections.abc import Callable

import numpy as np
import pytest

from likewise.data.episodes import Episode
from likewise.metrics import FoldIoU


def episode(*classes: str, query: str = "q", seed: int = 0) -> Episode:
    return Episode(classes, tuple(("s",) for _ in classes), query, seed)


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
