"""Networks from the model section of a recipe: one way to build each model, for training and for loading.

recipe section, classes --> build_model --> the network, its weights random
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from torch import nn

from likewise.backbones.specs import backbone_spec
from likewise.backbones.taps import Backbone
from likewise.errors import ModelError, check_known
from likewise.models.fcn import FCN
from likewise.models.hsnet import HSNet, HSNetConfig
from likewise.models.icnet import variant
from likewise.models.mcibi import MCIBI, MCIBIConfig
from likewise.models.panet import PANet
from likewise.models.saliency import lite0

Section = Mapping[str, Any]


def build_model(section: Section, classes: tuple[str, ...] = ()) -> nn.Module:
    """The network of a recipe's model section, its weights random; training then loads ImageNet weights.

    Args:
        section: `likewise.train.recipes.sections` as a dict; "name" says which model.
        classes: of the training data; only scene models depend on them.
    """
    check_known(section["name"], BUILDERS, "model", ModelError)
    return BUILDERS[section["name"]](section, classes)


def tapped_backbone(section: Section) -> Backbone:
    """The section's backbone, read at its taps; at all of its taps if the section names none."""
    return Backbone(backbone_spec(section["backbone"], taps=tuple(section.get("taps", ()))))


def hsnet_backbone(section: Section) -> Backbone:
    """The section's backbone, read at all its taps from `first_tap` on."""
    spec = backbone_spec(section["backbone"])
    modules = [tap.module for tap in spec.taps]
    check_known(section["first_tap"], modules, f"tap of {spec.name}", ModelError)
    return Backbone(spec.with_taps(*modules[modules.index(section["first_tap"]) :]))


def chosen(config: type, section: Section) -> Any:
    """The config with those of its fields that the section has; JSON's lists become tuples."""
    values = {field.name: section[field.name] for field in fields(config) if field.name in section}
    return config(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def build_fcn(section: Section, classes: tuple[str, ...]) -> FCN:
    options = {name: section[name] for name in ("convolutions", "channels", "dropout", "detail") if name in section}
    return FCN(tapped_backbone(section), classes, **options)


BUILDERS: dict[str, Callable[[Section, tuple[str, ...]], nn.Module]] = {
    "panet": lambda section, classes: PANet(tapped_backbone(section)),
    "hsnet": lambda section, classes: HSNet(hsnet_backbone(section), chosen(HSNetConfig, section)),
    "icnet": lambda section, classes: variant(section["backbone"], compress=section.get("compress", True)),
    "saliency": lambda section, classes: lite0(section["width"]),
    "mcibi": lambda section, classes: MCIBI(tapped_backbone(section), classes, chosen(MCIBIConfig, section)),
    "fcn": build_fcn,
}
"""How to build each model."""
