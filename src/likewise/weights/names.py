"""Every model that has a name. No torch here, so that listing models is quick and needs no extra.

`likewise.weights.load` opens them.
"""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from likewise.errors import ModelError, did_you_mean
from likewise.weights import PRETRAINED

FEW_SHOT, CO_SALIENCY, SALIENCY, SCENES = ("prototypes", "panet", "hsnet"), ("icnet",), ("saliency",), ("mcibi", "fcn")
"""The methods that serve each purpose."""


@dataclass(frozen=True)
class ModelEntry:
    """A model that has a name. Without `file`, and not `published`, it is an untrained model on any backbone.

    Attributes:
        method: the name of its builder in `likewise.weights.build.BUILDERS`, or "prototypes".
        about: one line for people.
        file: of bundled weights, whose header holds the recipe that says how to build the network.
        onnx: the graphs for ONNX Runtime with the same weights, by their role (`likewise.weights.exported`).
        world: what presence compares classes with (`likewise.predict.worlds`).
        published: a published network, which needs its authors' checkpoint.
    """

    method: str
    about: str
    file: Path | None = None
    onnx: Mapping[str, Path] = field(default_factory=dict)
    world: Path | None = None
    published: bool = False


PANET_LITE0 = (
    PRETRAINED / "panet-lite0.safetensors",
    {"backbone": PRETRAINED / "panet-lite0.onnx"},
    PRETRAINED / "panet-lite0.world",
)
SELECTOR_LITE0 = PRETRAINED / "selector-lite0.onnx"
"""The network of `likewise.Selector`, on the features of panet-lite0."""
MODELS: dict[str, ModelEntry] = {
    "prototypes-lite0": ModelEntry(
        "prototypes", "whitened self-support prototypes on the features of panet-lite0", *PANET_LITE0
    ),
    "panet-lite0": ModelEntry("panet", "PANet (ICCV 2019) on lite0, trained by us", *PANET_LITE0),
    "hsnet-lite0": ModelEntry(
        "hsnet",
        "HSNet (ICCV 2021) at half width on lite0, trained by us",
        PRETRAINED / "hsnet-lite0.safetensors",
        {"units": PRETRAINED / "hsnet-lite0.units.onnx", "logits": PRETRAINED / "hsnet-lite0.logits.onnx"},
    ),
    "prototypes": ModelEntry("prototypes", "prototypes-lite0's method on any backbone, or on a run of PANet"),
    "panet": ModelEntry("panet", "PANet without training, on any backbone"),
    "panet-vgg16": ModelEntry("panet", "PANet, the published network", published=True),
    "panet-resnet50": ModelEntry("panet", "PANet, the published network", published=True),
    "panet-resnet101": ModelEntry("panet", "PANet, the published network", published=True),
    "hsnet-vgg16": ModelEntry("hsnet", "HSNet, the published network", published=True),
    "hsnet-resnet50": ModelEntry("hsnet", "HSNet, the published network", published=True),
    "hsnet-resnet101": ModelEntry("hsnet", "HSNet, the published network", published=True),
    "icnet-lite0": ModelEntry(
        "icnet",
        "ICNet (NeurIPS 2020) on lite0, trained by us, for groups",
        PRETRAINED / "icnet-lite0.safetensors",
        {"vectors": PRETRAINED / "icnet-lite0.vectors.onnx", "masks": PRETRAINED / "icnet-lite0.masks.onnx"},
    ),
    "icnet-vgg16": ModelEntry("icnet", "ICNet, the published network, for groups", published=True),
    "saliency-lite0": ModelEntry(
        "saliency",
        "a saliency network on lite0, for the maps that ICNet needs",
        PRETRAINED / "saliency-lite0.safetensors",
        {"maps": PRETRAINED / "saliency-lite0.onnx"},
    ),
}
"""Every model that has a name."""


def check_model(model: str | Path, methods: Collection[str]) -> None:
    """Check that `model` is an existing path, or the name of a model of one of the methods."""
    entry = MODELS.get(str(model))
    if entry is None and not Path(model).exists():
        known = [name for name, own in MODELS.items() if own.method in methods]
        folder = Path(model).parent
        beside = [str(path) for path in folder.iterdir() if path.is_dir()] if os.access(folder, os.R_OK) else []
        hint = did_you_mean(str(model), [*known, *beside]) or "."
        raise ModelError(
            f"unknown model {str(model)!r}, which is no file or folder either{hint} "
            f"Known: {', '.join([*known, 'folders of training runs, files of `likewise weights import`'])}"
        )
    if entry is not None and entry.method not in methods:
        raise ModelError(f"{model} is a model of {entry.method}; one of {', '.join(methods)} is needed")
