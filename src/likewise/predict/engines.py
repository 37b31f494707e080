"""Which engine runs a model: ONNX Runtime wherever it serves, torch for the rest."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from likewise.engine.onnx import PROVIDERS, OnnxGroupNetwork, OnnxSaliencyNetwork, OnnxSceneNetwork
from likewise.engine.protocol import GroupNetwork, SaliencyNetwork, SceneNetwork
from likewise.errors import MissingExtraError, ModelError, check_known, requires_extra
from likewise.predict.onnx_saliency import OnnxSaliency
from likewise.weights.exported import ExportedModel, find_exported
from likewise.weights.names import CO_SALIENCY, MODELS, SALIENCY, SCENES, check_model

ENGINES = ("auto", "onnx", "torch")


def choose_exported(
    model: str | Path, methods: Collection[str], *, engine: str, device: str, changed: Sequence[str] = ()
) -> ExportedModel | None:
    """Return the graphs of the model if ONNX Runtime is to run it; None if torch is.

    Args:
        methods: the methods that the caller can use.
        engine, device: see `likewise.FewShot`.
        changed: settings that only torch can serve, for messages: "weights 'x.pth'".

    Raises:
        ModelError: an unknown model or engine, a model of another method, or one that this engine does not run.
        WeightsError: a damaged folder of `likewise export`.
        MissingExtraError: neither engine is installed.
    """
    check_known(engine, ENGINES, "engine", ModelError)
    check_model(model, methods)
    exported = find_exported(model, methods)
    in_folder = exported is not None and str(model) not in MODELS
    if in_folder and (engine == "torch" or changed):
        raise ModelError(
            f"{model} is an exported model, which runs on ONNX Runtime only; for "
            f"{changed[0] if changed else 'torch'}, use the model that it was exported from"
        )
    if engine == "onnx" and (exported is None or changed):
        served = ", ".join(name for name, entry in MODELS.items() if entry.onnx and entry.method in methods)
        bundled = f"{served}, with their own weights in float32, and " if served else ""
        raise ModelError(
            f"engine 'onnx' runs {bundled}folders of `likewise export`; "
            f"{' with '.join([str(model), *changed[:1]])} needs engine 'torch' (pip install 'likewise[torch]')"
        )
    if exported is None or changed or engine == "torch":
        return None
    if engine == "auto" and not in_folder:
        if device not in ("auto", *PROVIDERS):
            return None
        if find_spec("onnxruntime") is None and find_spec("torch") is not None:
            return None
    if find_spec("onnxruntime") is None:
        raise MissingExtraError(
            f"{model} needs ONNX Runtime, which is not installed: pip install onnxruntime"
            + ("" if in_folder else "; or torch: pip install 'likewise[torch]'")
        )
    return exported


@contextmanager
def needs_torch(model: str | Path, *, engine: str, device: str, changed: Sequence[str] = ()) -> Iterator[None]:
    """Turn a failed import in the block into a `MissingExtraError` that says what of the request needs torch."""
    if not changed and engine == "torch":
        changed = ["engine 'torch'"]
    elif not changed and str(model) in MODELS and MODELS[str(model)].onnx:
        changed = [f"device {device!r}"]
    with requires_extra("torch", " with ".join([str(model), *changed[:1]])):
        yield


def open_saliency(model: str | Path, *, engine: str = "auto", device: str = "auto") -> SaliencyNetwork:
    """Open the network that `Saliency`'s arguments name; errors as there."""
    if str(model).endswith(".onnx"):
        return OnnxSaliency(model)
    if exported := choose_exported(model, SALIENCY, engine=engine, device=device):
        return OnnxSaliencyNetwork(exported.files["maps"], device=onnx_device(device))
    with needs_torch(model, engine=engine, device=device):
        from likewise.predict.torch_networks import open_torch_saliency
    return open_torch_saliency(model, device)


def open_groups(
    model: str | Path, *, weights: str | Path | None = None, engine: str = "auto", device: str = "auto"
) -> tuple[GroupNetwork, str]:
    """Open the network that `CoSaliency`'s arguments name, and return it with its device; errors as there."""
    changed = [] if weights is None else [f"weights {str(weights)!r}"]
    if exported := choose_exported(model, CO_SALIENCY, engine=engine, device=device, changed=changed):
        device = onnx_device(device)
        return OnnxGroupNetwork(exported.files["vectors"], exported.files["masks"], device=device), device
    with needs_torch(model, engine=engine, device=device, changed=changed):
        from likewise.predict.torch_networks import open_torch_groups
    return open_torch_groups(model, weights, device)


def open_scenes(model: str | Path, *, engine: str = "auto", device: str = "auto") -> SceneNetwork:
    """Open the network that `SceneParser`'s arguments name; errors as there."""
    if exported := choose_exported(model, SCENES, engine=engine, device=device):
        return OnnxSceneNetwork(exported.files["scenes"], device=onnx_device(device))
    with needs_torch(model, engine=engine, device=device):
        from likewise.predict.torch_networks import open_torch_scenes
    return open_torch_scenes(model, device)


def onnx_device(device: str) -> str:
    """Return the device for ONNX Runtime."""
    return "cpu" if device == "auto" else device
