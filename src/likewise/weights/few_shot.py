"""Which network the name of a few-shot model stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from likewise.backbones.specs import backbone_spec
from likewise.errors import ModelError
from likewise.models.panet import PANet
from likewise.predict import DEFAULT_MODEL
from likewise.weights.imagenet import load_backbone
from likewise.weights.load import BUNDLED, bundled, load_trained, recipe_name
from likewise.weights.published import BY_EXAMPLE, imported_name, load_checkpoint, load_imported

BUNDLED_MODELS = ("hsnet-lite0", "panet-lite0")
"""Those trained by us, there or not."""

DEFAULT_TAPS: dict[str, tuple[str, ...]] = {"lite0": ("blocks.4.2", "blocks.5.3", "blocks.6.0")}
"""The best on base classes for three of PASCAL-5i's four folds, and close to it on the fourth (docs/results.md)."""


@dataclass(frozen=True)
class Opened:
    """A network with its weights.

    Attributes:
        name: of the model, as concepts and results state it; of a run that of its recipe, wherever the folder stands.
        published: whether the weights are its authors'.
        trained_classes: what it was trained on, where that is known.
    """

    network: Any
    name: str
    published: bool = False
    trained_classes: tuple[str, ...] = ()


def open_network(model: str, backbone: str, taps: Sequence[str], weights: str | Path | None) -> Opened:
    """The network that `FewShot`'s arguments name.

    Raises:
        ModelError: an unknown model, backbone or tap, or arguments that do not go together.
        WeightsError: weights that cannot be had or do not fit.
    """
    if model == "panet":
        spec = backbone_spec(backbone, taps=tuple(taps) or DEFAULT_TAPS.get(backbone, ()))
        return Opened(PANet(load_backbone(spec, weights=weights)), model)
    if model in BY_EXAMPLE:
        if weights is None:
            raise ModelError(
                f"{model} is a published network: pass its authors' checkpoint with weights=... (--weights FILE), "
                f"or take model={DEFAULT_MODEL!r}, which needs none"
            )
        return Opened(load_checkpoint(model, weights), model, published=True)
    path = BUNDLED / f"{model}.safetensors" if model in bundled(*BUNDLED_MODELS) else Path(model)
    if not path.exists():
        names = ", ".join((*bundled(*BUNDLED_MODELS), "panet", *BY_EXAMPLE))
        raise ModelError(
            f"no model is called {model!r}; there are {names}, the folders of training runs and the files of "
            "`likewise weights import`"
        )
    if (backbone, *taps, weights) != ("lite0", None):
        raise ModelError(
            f"{model} has a backbone and weights of its own; for another backbone, taps or weights take model='panet' "
            "(--model panet)"
        )
    imported = imported_name(path)
    if imported is not None:
        return Opened(load_imported(path, imported), imported, published=True)
    network, classes = load_trained(path)
    return Opened(network, model if path.parent == BUNDLED else recipe_name(path), trained_classes=classes)
