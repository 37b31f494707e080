"""Open the head that the name of a few-shot model stands for, on one of two engines."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from likewise.engine.onnx import OnnxBackbone, OnnxCorrelationNetwork
from likewise.errors import ModelError, WeightsError, check_known
from likewise.predict.engines import ENGINES, choose_exported, needs_torch, onnx_device
from likewise.predict.heads.features import FeatureHead
from likewise.predict.heads.hsnet import HSNetHead
from likewise.predict.heads.panet import PANetHead
from likewise.predict.heads.protocol import Head, Opened
from likewise.predict.heads.prototypes import PrototypesHead
from likewise.predict.worlds import load_world
from likewise.weights.exported import ExportedModel
from likewise.weights.names import FEW_SHOT, MODELS, check_model

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
    world: str | Path | None = None,
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
    if exported := choose_exported(model, FEW_SHOT, engine=engine, device=device, changed=changed):
        device = onnx_device(device)
        head = exported_head(exported, device, as_published)
        opened = Opened(head, exported.name, "onnx", device, exported.trained_classes)
    else:
        with needs_torch(model, engine=engine, device=device, changed=changed):
            from likewise.predict.heads.torch import open_torch_head
        opened = open_torch_head(model, backbone, taps, weights, device, precision, as_published, feature_cache)
    bundled = exported.name if exported else model
    if world is None and bundled in MODELS and weights is None:
        world = MODELS[bundled].world
    return opened if world is None else with_world(opened, world)


def exported_head(exported: ExportedModel, device: str, as_published: bool) -> Head:
    """Return the head of a model that ONNX Runtime runs."""
    if exported.method == "hsnet":
        rescue = not (as_published and exported.settings.get("authors", False))
        files = exported.files
        network = OnnxCorrelationNetwork(files["units"], files["logits"], device=device, rescue=rescue)
        return HSNetHead(network, as_published=as_published)
    extractor = OnnxBackbone(exported.files["backbone"], device=device)
    return PANetHead(extractor, **exported.settings) if exported.method == "panet" else PrototypesHead(extractor)


def with_world(opened: Opened, path: str | Path) -> Opened:
    """Return the model with a world, so that it judges presence.

    Raises:
        ModelError: a method that does not compare features with a world.
        WeightsError: a world that cannot be read, or of another backbone.
    """
    if not isinstance(opened.head, FeatureHead):
        raise ModelError(f"{opened.name} does not judge presence, so it takes no world; leave the world out")
    opened.head.world, digest = load_world(path, opened.head.extractor)
    return replace(opened, world=digest)
