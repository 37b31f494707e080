"""The graphs of each kind of network, written to files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from likewise.backbones.taps import Backbone
from likewise.engine.onnx import (
    BACKBONE,
    CONCEPT,
    GROUP_MASK,
    LOGITS,
    SALIENCY,
    SCENE,
    SEMANTIC,
    UNITS,
    VECTORS,
)
from likewise.engine.torch import TorchCorrelationNetwork
from likewise.export.concept import ConceptGraph
from likewise.export.graphs import BackboneGraph, GroupMaskGraph, SaliencyGraph, SceneGraph, VectorsGraph
from likewise.export.hsnet import OPERANDS, LogitsGraph, UnitsGraph, layer_shapes
from likewise.export.write import write_graph
from likewise.models import hsnet
from likewise.models.blocks.coattention import SIZE
from likewise.models.icnet import STRIDES
from likewise.models.saliency import SIDE
from likewise.ops.hypercorrelation.products import operands
from likewise.weights.checkpoint import fingerprint as fingerprint_of

Card = Mapping[str, str]


def export_backbone(
    backbone: Backbone,
    path: str | Path,
    *,
    semantic: Backbone | None = None,
    fingerprint: str | None = None,
    card: Card | None = None,
    weights: Sequence[Path] = (),
) -> None:
    """Write a backbone for `likewise.engine.onnx.OnnxBackbone`; its input's sides are multiples of its deepest stride.

    Args:
        semantic: a second network whose deepest tap is the semantic map; layers with the same weights run once.
        fingerprint: of the network that the backbone belongs to; concepts state it. Its own by default.
        card: further entries of the metadata, such as licence and commit.
        weights: see `write_graph`.
    """
    multiple = max(tap.stride for tap in backbone.taps)
    taps = [tap.module for tap in backbone.taps]
    outputs = [*taps, *([] if semantic is None else [SEMANTIC])]
    write_graph(
        BackboneGraph(backbone, semantic),
        [torch.zeros(1, 4 * multiple, 6 * multiple, 3, dtype=torch.uint8)],
        path,
        inputs=["images"],
        outputs=outputs,
        axes={"images": {0: "b", 1: "h", 2: "w"}} | {name: {0: "b", 2: "h", 3: "w"} for name in outputs},
        card={
            "kind": BACKBONE,
            "name": f"{backbone.spec.name}@{'+'.join(taps)}",
            "fingerprint": fingerprint or fingerprint_of(backbone),
            "multiple": str(multiple),
            **(card or {}),
        },
        weights=weights,
    )


def export_saliency(network: Any, path: str | Path, *, card: Card, weights: Sequence[Path] = ()) -> None:
    """Write a saliency network for `likewise.engine.onnx.OnnxSaliencyNetwork`."""
    write_graph(
        SaliencyGraph(network),
        [torch.zeros(1, SIDE, SIDE, 3, dtype=torch.uint8)],
        path,
        inputs=["images"],
        outputs=["maps"],
        axes={"images": {0: "b"}, "maps": {0: "b"}},
        card={"kind": SALIENCY, "fingerprint": fingerprint_of(network), "side": str(SIDE), **card},
        weights=weights,
    )


def export_groups(
    network: Any, vectors: str | Path, masks: str | Path, *, card: Card, weights: Sequence[Path] = ()
) -> None:
    """Write the two passes of an ICNet for `likewise.engine.onnx.OnnxGroupNetwork`.

    Args:
        vectors, masks: the files of the first and of the second pass.
    """
    entries = {"fingerprint": fingerprint_of(network), "side": str(SIZE), **card}
    names = [f"vectors{stride}" for stride in STRIDES]
    images, maps = torch.zeros(1, SIZE, SIZE, 3, dtype=torch.uint8), torch.full((1, SIZE, SIZE), 0.5)
    first = VectorsGraph(network)
    with torch.inference_mode():
        own = first(images, maps)
    write_graph(
        first,
        [images, maps],
        vectors,
        inputs=["images", "maps"],
        outputs=names,
        axes={},
        card={"kind": VECTORS, **entries},
        weights=weights,
    )
    write_graph(
        GroupMaskGraph(network),
        [images, maps, *(vector.expand(3, -1, -1).clone() for vector in own)],
        masks,
        inputs=["images", "maps", *names],
        outputs=["probabilities"],
        axes={name: {0: "n"} for name in names},
        card={"kind": GROUP_MASK, **entries},
        weights=weights,
    )


def export_hsnet(
    network: Any, units: str | Path, logits: str | Path, *, card: Card, weights: Sequence[Path] = ()
) -> None:
    """Write an HSNet for `likewise.engine.onnx.OnnxCorrelationNetwork`.

    Args:
        units, logits: the files of the backbone and of what follows it.
    """
    layers, digest = layer_shapes(network), fingerprint_of(network)
    by_torch = TorchCorrelationNetwork(network, digest, hsnet.training_side(network), rescue=network.config.rescue)
    entries = {
        "fingerprint": digest,
        "backbone": by_torch.backbone,
        "side": str(by_torch.side),
        "masked": str(int(network.config.mask_support)),
        "channels": json.dumps(by_torch.channels),
        "layers": json.dumps(layers),
        **card,
    }
    image, foreground = np.zeros((96, 160, 3), np.uint8), np.zeros((96, 160), bool)
    image[40:60], foreground[16:80, 16:96] = 255, True
    planes = {f"masks{stride}": torch.ones(1, 1, 1) for stride in hsnet.STRIDES}
    free = {0: "b", 1: "h", 2: "w"}
    write_graph(
        UnitsGraph(network),
        [torch.from_numpy(image)[None], *planes.values()],
        units,
        inputs=["images", *planes],
        outputs=[f"units{stride}" for stride in hsnet.STRIDES],
        axes={"images": free}
        | {name: {axis: f"{name}{axis}" for axis in free} for name in planes}
        | {f"units{stride}": {0: "b", 2: f"h{stride}", 3: f"w{stride}"} for stride in hsnet.STRIDES},
        card={"kind": UNITS, **entries},
        weights=weights,
    )
    support = operands(by_torch.encode_support(image, foreground), layers)
    (query,) = by_torch.encode_query(image[None])
    queries = {
        f"units{stride}": torch.cat(network.of_stride(query, stride), dim=1)[0].clone() for stride in hsnet.STRIDES
    }
    given = queries | {name: torch.from_numpy(support[name]) for name in OPERANDS}
    fixed = {f"{name}{stride}" for name in ("windows", "centers") for stride in hsnet.STRIDES}  # their channels are
    write_graph(
        LogitsGraph(network),
        list(given.values()),
        logits,
        inputs=list(given),
        outputs=["logits"],
        axes={name: {1: f"h_{name}", 2: f"w_{name}"} for name in queries}
        | {name: {axis: f"{name}_{axis}" for axis in range(given[name].ndim - (name in fixed))} for name in OPERANDS}
        | {"logits": {1: "h", 2: "w"}},
        card={"kind": LOGITS, **entries},
        weights=weights,
    )


def export_scenes(network: Any, path: str | Path, *, card: Card) -> None:
    """Write a scene network for `likewise.engine.onnx.OnnxSceneNetwork`."""
    write_graph(
        SceneGraph(network),
        [torch.zeros(2, 65, 95, 3, dtype=torch.uint8)],
        path,
        inputs=["images"],
        outputs=["probabilities"],
        axes={"images": {0: "b", 1: "h", 2: "w"}, "probabilities": {0: "b", 2: "h", 3: "w"}},
        card={"kind": SCENE, "fingerprint": fingerprint_of(network), **card},
    )


def export_concept(module: ConceptGraph, path: str | Path, *, card: Card) -> None:
    """Write a concept's graph, for other programs."""
    write_graph(
        module,
        [torch.full((1, 96, 128, 3), 127, dtype=torch.uint8)],
        path,
        inputs=["images"],
        outputs=["probabilities"],
        axes={"images": {1: "h", 2: "w"}, "probabilities": {0: "b", 1: "k", 2: "h", 3: "w"}},
        card={"kind": CONCEPT, **card},
    )
