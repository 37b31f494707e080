"""Networks by name: those bundled with the installation and those of training runs.

Each `weights.safetensors` of a run holds its recipe in the header, which says how to build the network.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import nn

from likewise.backbones.specs import backbone_spec
from likewise.backbones.taps import Backbone
from likewise.errors import WeightsError
from likewise.models import (
    fcn,
    hsnet,
    icnet,
    mcibi,
    panet,
    prototype_hsnet,
    saliency,
)
from likewise.weights.checkpoint import load_state, read_header, read_state

BUNDLED = Path(__file__).parent / "pretrained"
"""Weights trained by us, `<model>-<backbone>.safetensors`, each with its record, `.json`."""


def bundled(*names: str) -> list[str]:
    """Those of the names whose weights came with this installation."""
    return [name for name in names if (BUNDLED / f"{name}.safetensors").is_file()]


def weights_of(run: str | Path) -> Path:
    """The file of weights in a run's folder, or of what is bundled by that name; a file is itself."""
    run = Path(run)
    if run.name == str(run) and bundled(run.name):
        return BUNDLED / f"{run.name}.safetensors"
    return run / "weights.safetensors" if run.is_dir() else run


def recipe_name(run: str | Path) -> str:
    """What the recipe of a run is called, wherever its folder stands; the folder's name where that is not told."""
    path = weights_of(run)
    return str(json.loads(read_header(path).get("recipe", "{}")).get("name", Path(run).resolve().name))


def load_trained(path: str | Path) -> tuple[nn.Module, tuple[str, ...]]:
    """The model that `likewise train` left in a run's folder, or in its `weights.safetensors`, and its classes.

    The name of a bundled model stands for the run that it came from.

    The file's header holds the recipe, which says what network it is, and the classes it was trained on.

    Raises:
        WeightsError: no such file, not one of a training run, or weights that do not fit.
    """
    path = weights_of(path)
    state, header = read_state(path), read_header(path)
    try:
        section, classes = json.loads(header["recipe"])["model"], tuple(json.loads(header["classes"]))
        build = TRAINED[section["name"]]
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path}: not the weights of a training run, whose header names the model; a published checkpoint is "
            "first read with `likewise weights import`"
        ) from error
    model = build(section, classes)
    if isinstance(model, prototype_hsnet.PrototypeHSNet):
        state = prototype_hsnet.from_run(state)
    load_state(
        model,
        {name: value.float() if value.is_floating_point() else value for name, value in state.items()},
        source=path,
    )
    return model.eval(), classes


def _trained_panet(section: dict[str, Any], classes: tuple[str, ...]) -> nn.Module:
    return panet.PANet(Backbone(backbone_spec(section["backbone"], taps=tuple(section["taps"]))))


def _trained_hsnet(section: dict[str, Any], classes: tuple[str, ...]) -> nn.Module:
    spec = backbone_spec(section["backbone"])
    modules = [tap.module for tap in spec.taps]
    spec = spec.with_taps(*modules[modules.index(section["first_tap"]) :])
    channels = tuple(section["channels"])
    if not section.get("prototype_taps"):
        return hsnet.HSNet(Backbone(spec), hsnet.HSNetConfig(channels=channels))
    config = prototype_hsnet.PrototypeHSNetConfig(
        channels=channels, prototype_taps=tuple(section["prototype_taps"]), self_support=section["self_support"]
    )
    return prototype_hsnet.PrototypeHSNet(Backbone(spec), config)


def _trained_mcibi(section: dict[str, Any], classes: tuple[str, ...]) -> nn.Module:
    backbone = Backbone(backbone_spec(section["backbone"], taps=tuple(section["taps"])))
    chosen = {field.name: section[field.name] for field in fields(mcibi.MCIBIConfig) if field.name in section}
    return mcibi.MCIBI(backbone, classes, mcibi.MCIBIConfig(**chosen))


def _trained_fcn(section: dict[str, Any], classes: tuple[str, ...]) -> nn.Module:
    backbone = Backbone(backbone_spec(section["backbone"], taps=tuple(section["taps"])))
    chosen = {name: section[name] for name in ("convolutions", "channels", "detail") if name in section}
    return fcn.FCN(backbone, classes, **chosen)


def _trained_saliency(section: dict[str, Any], classes: tuple[str, ...]) -> nn.Module:
    return saliency.lite0(section["width"])


def _trained_icnet(section: dict[str, Any], classes: tuple[str, ...]) -> nn.Module:
    return icnet.variant(section["backbone"], compress=section.get("compress", True))


TRAINED: dict[str, Callable[[dict[str, Any], tuple[str, ...]], nn.Module]] = {
    "panet": _trained_panet,
    "hsnet": _trained_hsnet,
    "mcibi": _trained_mcibi,
    "fcn": _trained_fcn,
    "saliency": _trained_saliency,
    "icnet": _trained_icnet,
}
"""The models that runs may hold: how to build each from its recipe's section and its classes."""
