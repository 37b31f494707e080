"""Heads whose networks run on torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from likewise.backbones.specs import BACKBONES
from likewise.engine.torch import TorchBackbone, TorchCorrelationNetwork
from likewise.models.hsnet import HSNet, training_side
from likewise.predict.devices import torch_device, torch_precision
from likewise.predict.feature_cache import CachedBackbone
from likewise.predict.heads.hsnet import HSNetHead
from likewise.predict.heads.panet import PANetHead
from likewise.predict.heads.protocol import Head, Opened
from likewise.predict.heads.prototypes import PrototypesHead
from likewise.predict.network_setup import prepare_network
from likewise.weights.checkpoint import fingerprint
from likewise.weights.imagenet import load_semantic
from likewise.weights.load import open_model
from likewise.weights.names import FEW_SHOT, MODELS


def open_torch_head(
    model: str,
    backbone: str,
    taps: Sequence[str],
    weights: str | Path | None,
    device: str,
    precision: str,
    as_published: bool,
    feature_cache: int,
) -> Opened:
    """Open the model that `FewShot`'s arguments name; see `likewise.predict.heads.open.open_head`."""
    place = torch_device(device)
    dtype = torch_precision(precision, place)
    opened = open_model(model, FEW_SHOT, weights=weights, backbone=backbone, taps=taps)
    network: Any = opened.network
    digest = fingerprint(network)
    semantic: Any = None
    if weights is None and model in MODELS and MODELS[model].world:
        semantic = prepare_network(load_semantic(), place, dtype)
    prepare_network(network, place, dtype, fold=network.backbone.spec.name in BACKBONES)
    if feature_cache:
        network.backbone = CachedBackbone(network.backbone, feature_cache)
        semantic = CachedBackbone(semantic, feature_cache) if semantic else None
    head: Head
    if isinstance(network, HSNet):
        rescue = not (opened.authors and as_published)
        compared = TorchCorrelationNetwork(network, digest, training_side(network), rescue=rescue)
        head = HSNetHead(compared, as_published=as_published)
    elif opened.method == "prototypes":
        head = PrototypesHead(TorchBackbone(network.backbone, digest, semantic))
    else:
        config, extractor = network.config, TorchBackbone(network.backbone, digest, semantic)
        head = PANetHead(extractor, scale=config.scale, pool_at=config.pool_at, align_corners=config.align_corners)
    return Opened(head, opened.name, "torch", str(place), opened.trained_classes)
