"""AUROC and calibration error of presences, against scikit-learn and on small cases."""

import numpy as np
import pytest

from likewise.metrics.presence import auroc, calibration_error, presence_scores


def test_auroc_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    present, absent = random.normal(1, 1, 40).round(1), random.normal(0, 1, 60).round(1)
    expected = metrics.roc_auc_score([1] * 40 + [0] * 60, [*present, *absent])
    assert auroc(present, absent) == pytest.approx(expected)


def test_a_calibrated_presence_has_no_error():
    assert calibration_error([0.75] * 3 + [0.25], [0.25] * 3 + [0.75]) == pytest.approx(0)
    assert calibration_error([1.0, 1.0], [0.0]) == pytest.approx(0)


def test_certain_and_wrong_is_the_largest_error():
    assert calibration_error([0.0], [1.0, 1.0]) == pytest.approx(1)


def test_scores_have_intervals_around_them_and_need_both_kinds():
    random = np.random.default_rng(1)
    values, intervals = presence_scores([*random.uniform(0.3, 1, 30)], [*random.uniform(0, 0.7, 30)])
    assert values.keys() == intervals.keys() == {"presence AUROC", "presence calibration error"}
    low, high = intervals["presence AUROC"]
    assert low < values["presence AUROC"] < high
    assert presence_scores([0.5], []) == ({}, {})
