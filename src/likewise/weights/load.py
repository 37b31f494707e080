"""Networks by name: the one place that says which network a name stands for.

model name, run folder or weights file --> open_model --> OpenModel (the network with its weights)
"""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from likewise.backbones.specs import backbone_spec
from likewise.errors import ModelError, WeightsError
from likewise.models import hsnet, icnet, panet
from likewise.weights.build import build_model
from likewise.weights.checkpoint import load_state, read_header, read_state
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
    recipe = json.loads(read_header(file)["recipe"])
    return OpenModel(network, recipe.get("name", path.resolve().name), recipe["model"]["name"], trained_classes=classes)


def weights_file(path: str | Path) -> Path:
    """The file of weights in a run's folder; any other path is itself."""
    path = Path(path)
    return path / "weights.safetensors" if path.is_dir() else path


def load_trained(path: str | Path) -> tuple[nn.Module, tuple[str, ...]]:
    """The network that `likewise train` left in a run's folder or weights file, and the classes of its training data.

    The file's header holds the recipe, which says how to build the network, and the classes.

    Raises:
        WeightsError: a file that does not exist, is not of a training run, or does not fit its own recipe.
    """
    path = weights_file(path)
    state, header = read_state(path), read_header(path)
    try:
        section, classes = json.loads(header["recipe"])["model"], tuple(json.loads(header["classes"]))
        model = build_model(section, classes)
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path}: not the weights of a training run, whose header names the model; import a published checkpoint "
            "with `likewise weights import`"
        ) from error
    state = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    load_state(model, state, source=path)
    return model.eval(), classes


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
    if int(header["format"]) > IMPORT_FORMAT or header["model"] not in PUBLISHED:
        raise WeightsError(
            f"{path}: {header['model']} in format {header['format']} is unknown to this version; update likewise"
        )
    return header["model"]
