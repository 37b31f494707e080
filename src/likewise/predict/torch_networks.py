"""Saliency, co-saliency and scene networks that run on torch."""

from __future__ import annotations

import json
from pathlib import Path

from likewise.engine.torch import TorchGroupNetwork, TorchSaliencyNetwork, TorchSceneNetwork
from likewise.errors import WeightsError
from likewise.io.labels import IGNORE
from likewise.io.resize import LARGEST_SIDE
from likewise.models.blocks.coattention import SIZE
from likewise.models.saliency import SIDE
from likewise.predict.devices import torch_device
from likewise.predict.network_setup import prepare_network
from likewise.weights.checkpoint import fingerprint, read_header
from likewise.weights.load import open_model, read_recipe, weights_file
from likewise.weights.names import CO_SALIENCY, SALIENCY, SCENES


def open_torch_saliency(model: str | Path, device: str) -> TorchSaliencyNetwork:
    """Open the network that `Saliency`'s arguments name."""
    place = torch_device(device)
    opened = open_model(model, SALIENCY)
    digest = fingerprint(opened.network)
    return TorchSaliencyNetwork(prepare_network(opened.network, place, fold=True), opened.name, digest, SIDE)


def open_torch_groups(model: str | Path, weights: str | Path | None, device: str) -> tuple[TorchGroupNetwork, str]:
    """Open the network that `CoSaliency`'s arguments name, and return it with its device."""
    place = torch_device(device)
    opened = open_model(model, CO_SALIENCY, weights=weights)
    digest = fingerprint(opened.network)
    network = prepare_network(opened.network, place, fold=not opened.authors)
    return TorchGroupNetwork(network, opened.name, digest, SIZE), str(place)


def open_torch_scenes(model: str | Path, device: str) -> TorchSceneNetwork:
    """Open the network that `SceneParser`'s arguments name."""
    place = torch_device(device)
    opened = open_model(model, SCENES)
    digest = fingerprint(opened.network)
    network = prepare_network(opened.network, place)
    labels = stored_labels(model, len(opened.trained_classes))
    return TorchSceneNetwork(network, opened.name, digest, opened.trained_classes, labels, training_side(model))


def training_side(model: str | Path) -> int:
    """The short side, in pixels, to which training resized images; 0 if it did not."""
    path = weights_file(model)
    data = read_recipe(path, read_header(path)).get("data")
    side = data.get("side") if isinstance(data, dict) else None
    if side is not None and not (type(side) is int and 0 <= side <= LARGEST_SIDE):
        raise WeightsError(f"{path}: its recipe's data.side is {side!r}, not 0 to {LARGEST_SIDE}")
    return side or 0


def stored_labels(model: str | Path, classes: int) -> tuple[int, ...]:
    """The label of each class in the files that the model was trained on."""
    path = weights_file(model)
    try:
        labels = json.loads(read_header(path).get("labels", json.dumps([*range(classes)])))
        if (
            sorted({label for label in labels if type(label) is int and 0 <= label <= IGNORE}) == sorted(labels)
            and len(labels) == classes
        ):
            return tuple(labels)
    except (ValueError, TypeError, RecursionError):
        pass
    raise WeightsError(f"{path}: its header's labels are not one different label from 0 to {IGNORE} for each class")
