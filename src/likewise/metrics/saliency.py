"""Metrics of co-saliency and co-segmentation. Each has `update`, once per image, and `compute`, which returns `Scores`.

Predictions are 8-bit maps (h w), as stored in files; the ground truth is a mask (h w).
"""

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from likewise.errors import PredictionError, check_known, requires_extra
from likewise.io.resize import resize_grey
from likewise.metrics.confusion import check_same_size
from likewise.metrics.scores import Scores

MODES = ("pysodmetrics", "icnet-224")
"""The modes of `Saliency`."""


class Saliency:
    """S-, E- and F-measure, weighted F and MAE, under one of two modes; every image has the same weight.

    "pysodmetrics": the toolbox of that name. Predictions are stretched to [0, 1]; 256 thresholds; E and F as maximum
    and mean of the curve averaged over images, and adaptive (threshold: twice the mean).

    "icnet-224": the evaluator of the ICNet paper (Jin et al., NeurIPS 2020). Both maps are resized to 224x224; 255
    thresholds, strictly greater; no stretching, no E-measure, no weighted F. Its weaknesses: it scores squashed shapes
    and areas, and one empty ground truth makes S NaN for the whole set.
    """

    def __init__(self, mode: str = "pysodmetrics") -> None:
        check_known(mode, MODES, "mode of saliency metrics")
        self.protocol = mode
        self.images = 0
        self.icnet: list[tuple[float, float, np.ndarray]] = []
        if mode == "pysodmetrics":
            # imported here: the other metrics do not need it, and it loads slowly
            with requires_extra("evaluate", "scoring saliency maps"):
                import py_sod_metrics as sod

            self.sod = {
                "S": sod.Smeasure(),
                "E": sod.Emeasure(),
                "F": sod.FmeasureV2({"F": sod.FmeasureHandler(with_dynamic=True, with_adaptive=True, beta=0.3)}),
                "weighted F": sod.WeightedFmeasure(),
                "MAE": sod.MAE(),
            }

    def update(self, prediction: UInt8[np.ndarray, "h w"], target: Bool[np.ndarray, "ht wt"]) -> None:
        check_same_size(prediction, target)
        self.images += 1
        if self.protocol == "icnet-224":
            p = resize_grey(prediction, 224, 224).astype(np.float32) / 255
            g = (resize_grey(target.astype(np.uint8) * 255, 224, 224) > 127).astype(np.float32)
            self.icnet.append((icnet_s_measure(p, g), float(np.abs(p - g).mean()), icnet_f_curve(p, g)))
            return
        for measure in self.sod.values():
            measure.step(pred=prediction, gt=target.astype(np.uint8) * 255)

    def compute(self) -> Scores:
        if not self.images:
            raise PredictionError("no image was scored")
        values = self.icnet_values() if self.protocol == "icnet-224" else self.sod_values()
        return Scores(self.protocol, values, counts={"images": self.images})

    def icnet_values(self) -> dict[str, float]:
        s, mae, curves = zip(*self.icnet, strict=True)
        curve = np.mean(curves, axis=0)
        return {
            "S": float(np.mean(s)),
            "F max": float(curve.max()),
            "F mean": float(curve.mean()),
            "MAE": float(np.mean(mae)),
        }

    def sod_values(self) -> dict[str, float]:
        e, f = self.sod["E"].get_results()["em"], self.sod["F"].get_results()["F"]
        return {
            "S": float(self.sod["S"].get_results()["sm"]),
            "E max": float(e["curve"].max()),
            "E mean": float(e["curve"].mean()),
            "E adaptive": float(e["adp"]),
            "F max": float(f["dynamic"].max()),
            "F mean": float(f["dynamic"].mean()),
            "F adaptive": float(f["adaptive"]),
            "weighted F": float(self.sod["weighted F"].get_results()["wfm"]),
            "MAE": float(self.sod["MAE"].get_results()["mae"]),
        }


class CoSegmentation:
    """Jaccard index and precision of co-segmentation, averaged over the images of a group, then over groups.

    Predictions are thresholded at 128. Jaccard is the IoU of the object (1 if both masks are empty); precision is the
    share of correct pixels, object and background.
    """

    protocol = "co-segmentation"

    def __init__(self) -> None:
        self.groups: dict[str, list[tuple[float, float]]] = {}

    def update(self, prediction: UInt8[np.ndarray, "h w"], target: Bool[np.ndarray, "ht wt"], group: str) -> None:
        check_same_size(prediction, target)
        predicted = prediction >= 128
        union = int((predicted | target).sum())
        jaccard = int((predicted & target).sum()) / union if union else 1.0
        self.groups.setdefault(group, []).append((jaccard, float((predicted == target).mean())))

    def compute(self) -> Scores:
        if not self.groups:
            raise PredictionError("no image was scored")
        means = {group: np.mean(scores, axis=0) for group, scores in self.groups.items()}
        jaccard, precision = np.mean(list(means.values()), axis=0)
        return Scores(
            self.protocol,
            {"Jaccard": float(jaccard), "precision": float(precision)},
            {group: float(mean[0]) for group, mean in means.items()},
            counts={"images": sum(map(len, self.groups.values())), "groups": len(means)},
        )


def icnet_f_curve(p: Float32[np.ndarray, "h w"], g: Float32[np.ndarray, "h w"]) -> Float[np.ndarray, "255"]:
    """Return F with beta^2 = 0.3 at the thresholds 0/255 to 254/255; 0 where precision and recall are both 0."""
    stored = np.rint(p * 255).astype(np.int64).ravel()
    # a pixel exceeds threshold t if and only if its stored value exceeds t
    above = np.cumsum(np.bincount(stored, minlength=256)[::-1])[::-1][1:]
    hits = np.cumsum(np.bincount(stored, weights=g.ravel(), minlength=256)[::-1])[::-1][1:]
    precision, recall = hits / np.maximum(above, 1), hits / max(float(g.sum()), 1.0)
    weighted = 0.3 * precision + recall
    return np.divide(1.3 * precision * recall, weighted, out=np.zeros(255), where=weighted > 0)


def icnet_s_measure(p: Float32[np.ndarray, "h w"], g: Float32[np.ndarray, "h w"]) -> float:
    """Return the S-measure (Fan et al., ICCV 2017), the mean of object and region similarity.

    It uses population moments and no special cases, as ICNet's evaluator does.
    """
    p, g = p.astype(np.float64), g.astype(np.float64)
    share = g.mean()
    objects = share * object_similarity(p, g) + (1 - share) * object_similarity(1 - p, 1 - g)
    return float(0.5 * objects + 0.5 * region_similarity(p, g))


def object_similarity(p: Float[np.ndarray, "h w"], g: Float[np.ndarray, "h w"]) -> float:
    """Return 2 m / (1 + m^2 + d), with mean m and deviation d of the prediction in the mask; 0 for an empty mask."""
    on_mask = p[g == 1]
    if not on_mask.size:
        return 0.0
    mean = on_mask.mean()
    return float(2 * mean / (1 + mean**2 + on_mask.std()))


def region_similarity(p: Float[np.ndarray, "h w"], g: Float[np.ndarray, "h w"]) -> float:
    """Return the structural similarity of the four quadrants around the mask's centroid, weighted by area.

    NaN if a quadrant or the mask is empty.
    """
    height, width = g.shape
    rows, columns = np.nonzero(g)
    if not rows.size:
        return float("nan")
    # one-based coordinates, rounded half to even
    cy, cx = int(np.rint(rows.mean() + 1)), int(np.rint(columns.mean() + 1))
    total = 0.0
    for part in np.s_[:cy, :cx], np.s_[:cy, cx:], np.s_[cy:, :cx], np.s_[cy:, cx:]:
        x, y = p[part], g[part]
        if not x.size:
            return float("nan")
        covariance = ((x - x.mean()) * (y - y.mean())).mean()
        below = (x.mean() ** 2 + y.mean() ** 2) * (x.var() + y.var()) + 1e-12
        total += 4 * x.mean() * y.mean() * covariance / below * x.size / (height * width)
    return float(total)
