from collections.abc import Callable

import numpy as np
import pytest

from likewise.errors import ArgumentError, PredictionError
from likewise.metrics.saliency import CoSegmentation, Saliency

SOD_NAMES = {
    "S": "Smeasure",
    "MAE": "MAE",
    "weighted F": "weighted_F",
    "E max": "E_max",
    "E mean": "E_mean",
    "E adaptive": "E_adaptive",
    "F max": "F_max",
    "F mean": "F_mean",
    "F adaptive": "F_adaptive",
}
ICNET_NAMES = {"S": "s", "MAE": "mae", "F max": "max_f", "F mean": "mean_f"}
CASES = [
    "all_five",
    *(f"pair_{i}" for i in range(5)),
    "extra_empty_ground_truth",
    "extra_both_empty",
    "extra_full_ground_truth",
    "extra_constant_128_prediction",
]


def pairs(arrays: dict[str, np.ndarray], case: str) -> list[tuple[np.ndarray, np.ndarray]]:
    if case.startswith("extra"):
        chosen = [(arrays[f"{case}_pred"], arrays[f"{case}_gt"])]
    else:
        which = range(5) if case == "all_five" else [int(case[-1])]
        chosen = [(arrays["pred"][i], arrays["gt"][i]) for i in which]
    return [(prediction, truth > 128) for prediction, truth in chosen]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("mode", "section", "names"), [("icnet-224", "official", ICNET_NAMES), ("pysodmetrics", "pysodmetrics", SOD_NAMES)]
)
def test_saliency_gives_the_golden_numbers_of_both_evaluators(
    golden: Callable, mode: str, section: str, names: dict[str, str], case: str
) -> None:
    meta, arrays = golden("icnet_eval")
    metric = Saliency(mode)
    for prediction, truth in pairs(arrays, case):
        metric.update(prediction, truth)
    scores = metric.compute()
    assert scores.protocol == mode
    assert set(scores.values) == set(names)
    for name, official in names.items():
        expected = meta[section][case][official]
        expected = np.nan if expected is None else expected
        # the authors' evaluator works in single precision
        tolerance = 1e-9 if mode == "pysodmetrics" else 2e-6
        assert scores.values[name] == pytest.approx(expected, abs=tolerance, nan_ok=True), name


def test_icnet_mode_resizes_both_maps_to_224() -> None:
    prediction = np.zeros((448, 672), np.uint8)
    prediction[100:300, 200:500] = 255
    metric = Saliency("icnet-224")
    metric.update(prediction, prediction > 0)
    values = metric.compute().values
    assert values["F max"] == pytest.approx(1, abs=0.01)
    assert values["MAE"] < 0.01


def test_icnet_region_similarity_is_nan_when_the_centroid_leaves_a_part_empty() -> None:
    truth = np.zeros((224, 224), bool)
    truth[-1] = True
    metric = Saliency("icnet-224")
    metric.update(truth.astype(np.uint8) * 255, truth)
    assert np.isnan(metric.compute().values["S"])


def test_co_segmentation_averages_images_within_groups_and_then_groups() -> None:
    truth = np.zeros((10, 10), bool)
    truth[:5] = True
    half = np.zeros((10, 10), np.uint8)
    half[:5, :5] = 200
    metric = CoSegmentation()
    metric.update(truth.astype(np.uint8) * 255, truth, "cats")
    metric.update(half, truth, "cats")
    metric.update(half, truth, "dogs")
    scores = metric.compute()
    assert scores.per_class == {"cats": 0.75, "dogs": 0.5}
    assert scores.values == {"Jaccard": pytest.approx(0.625), "precision": pytest.approx((0.875 + 0.75) / 2)}
    assert scores.counts == {"images": 3, "groups": 2}


def test_an_empty_prediction_of_an_empty_mask_scores_one() -> None:
    metric = CoSegmentation()
    metric.update(np.full((3, 4), 127, np.uint8), np.zeros((3, 4), bool), "g")
    assert metric.compute().values == {"Jaccard": 1.0, "precision": 1.0}


@pytest.mark.parametrize("metric", [Saliency("pysodmetrics"), Saliency("icnet-224"), CoSegmentation()])
def test_a_metric_without_images_raises(metric: Saliency | CoSegmentation) -> None:
    with pytest.raises(PredictionError):
        metric.compute()


def test_maps_of_different_sizes_raise() -> None:
    with pytest.raises(PredictionError, match=r"4x3 .* 4x5"):
        Saliency("icnet-224").update(np.zeros((3, 4), np.uint8), np.zeros((5, 4), bool))
    with pytest.raises(PredictionError):
        CoSegmentation().update(np.zeros((3, 4), np.uint8), np.zeros((5, 4), bool), "g")


def test_an_unknown_mode_raises_with_a_close_match() -> None:
    with pytest.raises(ArgumentError, match=r"icnet-224\?"):
        Saliency("icnet")
