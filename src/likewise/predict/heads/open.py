"""From the name of a few-shot model to its head, on one of two engines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from likewise.engine.onnx import PROVIDERS, OnnxBackbone
from likewise.errors import ModelError, WeightsError, check_known, requires_extra
from likewise.predict.heads.protocol import Head, Opened
from likewise.predict.heads.prototypes import PANetHead, PrototypesHead
from likewise.weights.names import FEW_SHOT, MODELS, check_model

ENGINES = ("auto", "onnx", "torch")
PRECISIONS = ("float32", "bfloat16")


def open_head(
    model: str,
    backbone: str,
    taps: Sequence[str],
    weights: str | Path | None,
    *,
    engine: str = "auto",
    device: str = "auto",
    precision: str = "float32",
    as_published: bool = False,
    feature_cache: int = 0,
) -> Opened:
    """Open the model that `FewShot`'s arguments name.

    Raises:
        ModelError: an unknown model, backbone, tap, engine, device or precision, or arguments that exclude each other.
        WeightsError: weights that cannot be found or do not fit.
    """
    check_known(engine, ENGINES, "engine", ModelError)
    check_known(precision, PRECISIONS, "precision", ModelError)
    check_model(model, FEW_SHOT)
    if weights is not None and not Path(weights).exists():
        raise WeightsError(f"{weights}: no such file or folder; give the path of a checkpoint or of a training run")
    given = {
        "backbone": backbone if backbone != "lite0" else None,
        "taps": "+".join(taps) or None,
        "weights": weights,
        "precision": precision if precision != "float32" else None,
        "feature cache": feature_cache or None,
    }
    changed = [f"{setting} {str(value)!r}" for setting, value in given.items() if value is not None]
    exported = MODELS[model].onnx if model in MODELS and not changed else None
    if engine == "onnx" and exported is None:
        raise ModelError(
            f"engine 'onnx' runs {' and '.join(name for name, entry in MODELS.items() if entry.onnx)} only, with their "
            f"own weights in float32; {' with '.join([model, *changed[:1]])} needs engine 'torch' "
            "(pip install 'likewise[torch]')"
        )
    if exported is not None and (engine == "onnx" or (engine == "auto" and device in ("auto", *PROVIDERS))):
        device = "cpu" if device == "auto" else device
        extractor = OnnxBackbone(exported, device=device)
        head: Head = PANetHead(extractor) if MODELS[model].method == "panet" else PrototypesHead(extractor)
        return Opened(head, model, "onnx", device)
    if exported is not None:
        changed = ["engine 'torch'"] if engine == "torch" else [f"device {device!r}"]
    with requires_extra("torch", " with ".join([model, *changed[:1]])):
        from likewise.predict.heads.torch import open_torch_head
    return open_torch_head(model, backbone, taps, weights, device, precision, as_published, feature_cache)
