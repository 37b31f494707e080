"""Networks by name: the one place that says which network a name stands for.

model name, run folder or weights file --> open_model --> OpenModel (the network with its weights)
"""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from likewise.backbones.specs import backbone_spec
from likewise.errors import ModelError, WeightsError
from likewise.models import hsnet, icnet, panet
from likewise.weights.build import build_model
from likewise.weights.checkpoint import (
    describe_misfits,
    find_misfits,
    first_line,
    load_state,
    read_header,
    read_state,
)
from likewise.weights.imagenet import load_backbone
from likewise.weights.names import MODELS, check_model

IMPORT_FORMAT = 1
"""The version of the files of `likewise weights import`; later versions are refused."""

DEFAULT_TAPS: dict[str, tuple[str, ...]] = {"lite0": ("blocks.4.2", "blocks.5.3", "blocks.6.0")}
"""Taps of "panet" by backbone: the best on the base classes of three of PASCAL-5i's folds (docs/results.md)."""


class PublishedNetwork(NamedTuple):
    """How to build a published network, and to rename the entries of its authors' checkpoint."""

    build: Callable[[], nn.Module]
    rename: Callable[[dict[str, Tensor]], dict[str, Tensor]]


PUBLISHED: dict[str, PublishedNetwork] = {
    "panet-vgg16": PublishedNetwork(panet.vgg16, panet.from_vgg16_checkpoint),
    "panet-resnet50": PublishedNetwork(lambda: panet.resnet(50), panet.from_resnet_checkpoint),
    "panet-resnet101": PublishedNetwork(lambda: panet.resnet(101), panet.from_resnet_checkpoint),
    "hsnet-vgg16": PublishedNetwork(hsnet.vgg16, hsnet.from_checkpoint),
    "hsnet-resnet50": PublishedNetwork(lambda: hsnet.resnet(50), hsnet.from_checkpoint),
    "hsnet-resnet101": PublishedNetwork(lambda: hsnet.resnet(101), hsnet.from_checkpoint),
    "icnet-vgg16": PublishedNetwork(icnet.vgg16, icnet.from_checkpoint),
}
"""The published networks of `likewise.weights.names`."""


@dataclass(frozen=True)
class OpenModel:
    """A network with its weights, in evaluation mode.

    Attributes:
        name: its name for concepts and records; for a run the name of its recipe, which moving the folder keeps.
        method: see `ModelEntry`.
        authors: whether the weights are the authors' own.
        trained_classes: the classes of its training data, where known.
    """

    network: Any
    name: str
    method: str
    authors: bool = False
    trained_classes: tuple[str, ...] = ()


def open_model(
    model: str | Path,
    methods: Collection[str],
    *,
    weights: str | Path | None = None,
    backbone: str = "lite0",
    taps: Sequence[str] = (),
) -> OpenModel:
    """The network that a name, a training run's folder or a weights file stands for.

    Args:
        methods: the methods that the caller can use, such as `FEW_SHOT`.
        weights: the checkpoint of a published network, or ImageNet weights for the backbone of "prototypes" or "panet";
            for "prototypes" also a training run of PANet.
        backbone, taps: of "prototypes" and "panet".

    Raises:
        ModelError: an unknown name, a model of another method, an unknown backbone or tap, or arguments that exclude
            each other.
        WeightsError: weights that cannot be found or do not fit.
    """
    name = str(model)
    check_model(name, methods)
    entry = MODELS.get(name)
    if name == "prototypes" and weights is not None and "recipe" in read_header(weights_file(weights)):
        run = open_file(Path(weights))
        if run.method != "panet":
            raise ModelError(f"{weights} is a run of {run.method}; prototypes take the backbone of a run of panet")
        return replace(run, name=f"prototypes of {run.name}", method="prototypes")
    if name in ("panet", "prototypes"):
        spec = backbone_spec(backbone, taps=tuple(taps) or DEFAULT_TAPS.get(backbone, ()))
        return OpenModel(panet.PANet(load_backbone(spec, weights=weights)), name, name)
    if (backbone, *taps) != ("lite0",):
        raise ModelError(f"{name} has a backbone of its own; only --model prototypes and --model panet take another")
    if entry is not None and entry.published:
        if weights is None:
            raise ModelError(
                f"{name} is a published network: give its authors' checkpoint with weights=... (--weights FILE), or "
                "choose a bundled model, which needs none (`likewise models` lists them)"
            )
        return OpenModel(load_published(name, weights), name, entry.method, authors=True)
    if weights is not None:
        raise ModelError(
            f"{name} has weights of its own; weights=... (--weights) is for published networks, prototypes and panet"
        )
    path = Path(model) if entry is None or entry.file is None else entry.file
    opened = open_file(path) if entry is None else replace(open_file(path), name=name, method=entry.method)
    if opened.method not in methods:
        raise ModelError(f"{name} holds {type(opened.network).__name__}; a model of {', '.join(methods)} is needed")
    return opened


def open_file(path: Path) -> OpenModel:
    """The network of a run's folder, of its `weights.safetensors`, or of a file of `likewise weights import`."""
    imported = imported_name(path)
    if imported is not None:
        return OpenModel(load_published(imported, path), imported, MODELS[imported].method, authors=True)
    file = weights_file(path)
    network, classes = load_trained(file)
    recipe = read_recipe(file, read_header(file))
    name = str(recipe.get("name", path.resolve().name))
    return OpenModel(network, name, recipe["model"]["name"], trained_classes=classes)


def weights_file(path: str | Path) -> Path:
    """The file of weights in a run's folder; any other path is itself."""
    path = Path(path)
    return path / "weights.safetensors" if path.is_dir() else path


def load_trained(path: str | Path) -> tuple[nn.Module, tuple[str, ...]]:
    """The network that `likewise train` left in a run's folder or weights file, and the classes of its training data.

    The file's header holds the recipe, which says how to build the network, and the classes. With `backbone`, the name
    of a bundled model, it holds only those entries of the backbone that differ from this model's, or from ImageNet's
    where this model has none.

    Raises:
        WeightsError: a file that does not exist, is not of a training run, or does not fit its own recipe.
    """
    path = weights_file(path)
    state, header = read_state(path), read_header(path)
    section, classes = read_recipe(path, header)["model"], tuple(json.loads(header["classes"]))
    try:
        check_numbers(section, max(len(state), *(size for value in state.values() for size in value.shape)))
        with torch.device("meta"):  # a section that does not fit must not fill the memory
            empty = build_model(section, classes)
        if "backbone" in header:
            state = bundled_backbone_state(empty, header["backbone"]) | state
        misfits = find_misfits(empty.state_dict(), state)
        model = build_model(section, classes) if not misfits else None
    except Exception as error:  # constructors raise errors of many classes
        raise WeightsError(f"{path}: its header does not describe a network ({first_line(error)})") from error
    if model is None:
        raise WeightsError(f"{path}: does not fit its own recipe; {describe_misfits(misfits)}")
    state = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    load_state(model, state, source=path)
    return model.eval(), classes


def bundled_backbone_state(network: Any, name: str) -> dict[str, Tensor]:
    """The entries of a network's backbone with a bundled model's weights, and ImageNet's where that has none.

    ImageNet's are rounded to half precision, as in the graphs.
    """
    file = MODELS[name].file
    assert file is not None
    imagenet, bundled = load_backbone(network.backbone.spec).half().float().state_dict(), read_state(file)
    return {f"backbone.{entry}": bundled.get(f"backbone.{entry}", value) for entry, value in imagenet.items()}


def read_recipe(path: Path, header: dict[str, str]) -> dict[str, Any]:
    """The recipe in the header of a run's weights; it has a model section with a name, and there is a list of classes.

    Raises:
        WeightsError: another header.
    """
    try:
        recipe, classes = json.loads(header["recipe"]), json.loads(header["classes"])
        if isinstance(recipe["model"]["name"], str) and all(isinstance(name, str) for name in [*classes]):
            return recipe
    except (KeyError, TypeError, ValueError, RecursionError):
        pass
    raise WeightsError(
        f"{path}: not the weights of a training run, whose header names the model; import a published checkpoint "
        "with `likewise weights import`"
    )


def check_numbers(section: Any, largest: int) -> None:
    """Raise a `ValueError` for a number in a model section that is negative or above all sizes of the weights."""
    for value in section.values() if isinstance(section, dict) else section:
        if isinstance(value, dict | list):
            check_numbers(value, largest)
        elif isinstance(value, int | float) and not 0 <= value <= largest:
            raise ValueError(f"{value} is not between 0 and {largest}")


def load_published(name: str, path: str | Path) -> nn.Module:
    """A published network with its weights, from the authors' checkpoint or a file of `likewise weights import`."""
    if name not in PUBLISHED:
        raise ModelError(f"{name} is not a published network; those are {', '.join(PUBLISHED)}")
    imported, state = imported_name(path), read_state(path)
    if imported is None:
        try:
            state = PUBLISHED[name].rename(state)
        except WeightsError as error:
            raise WeightsError(f"{path}: not a checkpoint of {name}; {error}") from error
    elif imported != name:
        raise WeightsError(f"{path}: holds {imported}, not {name}; choose it with --model {path}")
    model = PUBLISHED[name].build()
    load_state(model, state, source=path)
    return model.eval()


def imported_name(path: str | Path) -> str | None:
    """The name of the network in a file of `likewise weights import`; None for any other file."""
    header = read_header(path)
    if header.get("likewise") != "weights":
        return None
    name, format = header.get("model", ""), header.get("format", "")
    if format not in map(str, range(1, IMPORT_FORMAT + 1)) or name not in PUBLISHED:
        raise WeightsError(f"{path}: {name!r} in format {format!r} is unknown to this version; update likewise")
    return name
