"""Saliency and co-saliency networks that run on torch."""

from __future__ import annotations

from pathlib import Path

from likewise.engine.torch import TorchGroupNetwork, TorchSaliencyNetwork
from likewise.models.blocks.coattention import SIZE
from likewise.models.saliency import SIDE
from likewise.predict.devices import torch_device
from likewise.predict.ready import prepare_network
from likewise.weights.checkpoint import fingerprint
from likewise.weights.load import open_model
from likewise.weights.names import CO_SALIENCY, SALIENCY


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
