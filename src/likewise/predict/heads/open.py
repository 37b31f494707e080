"""From the name of a few-shot model to its head, on one of two engines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from likewise.engine.onnx import PROVIDERS, OnnxBackbone
from likewise.errors import ModelError, requires_extra
from likewise.predict.heads.protocol import Head, Opened
from likewise.predict.heads.prototypes import PANetHead, PrototypesHead
from likewise.weights.names import MODELS

ENGINES = ("auto", "onnx", "torch")


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
    if engine not in ENGINES:
        raise ModelError(f"no engine is called {engine!r}; there are {', '.join(ENGINES)}")
    plain = (backbone, *taps, weights, precision, feature_cache) == ("lite0", None, "float32", 0)
    exported = MODELS[model].onnx if model in MODELS and plain else None
    if engine == "onnx" and exported is None:
        raise ModelError(
            f"engine 'onnx' runs {', '.join(name for name, entry in MODELS.items() if entry.onnx)} with their own "
            f"weights in float32; for {model!r} with these settings take engine='torch'"
        )
    if exported is not None and (engine == "onnx" or (engine == "auto" and device in ("auto", *PROVIDERS))):
        device = "cpu" if device == "auto" else device
        extractor = OnnxBackbone(exported, device=device)
        head: Head = PANetHead(extractor) if MODELS[model].method == "panet" else PrototypesHead(extractor)
        return Opened(head, model, "onnx", device)
    with requires_extra("torch", f"model {model!r} with these settings"):
        from likewise.predict.heads.torch import open_torch_head
    return open_torch_head(model, backbone, taps, weights, device, precision, as_published, feature_cache)
