"""The graphs of each kind of network, written to files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from likewise.backbones.taps import Backbone
from likewise.engine.onnx import BACKBONE, CONCEPT, GROUP_MASK, SALIENCY, SCENE, SEMANTIC, VECTORS
from likewise.export.concept import ConceptGraph
from likewise.export.graphs import BackboneGraph, GroupMaskGraph, SaliencyGraph, SceneGraph, VectorsGraph
from likewise.export.write import write_graph
from likewise.models.blocks.coattention import SIZE
from likewise.models.icnet import STRIDES
from likewise.models.saliency import SIDE
from likewise.weights.checkpoint import fingerprint as fingerprint_of

Card = Mapping[str, str]


def export_backbone(
    backbone: Backbone,
    path: str | Path,
    *,
    semantic: Backbone | None = None,
    fingerprint: str | None = None,
    card: Card | None = None,
    weights: Path | None = None,
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


def export_saliency(network: Any, path: str | Path, *, card: Card, weights: Path | None = None) -> None:
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
    network: Any, vectors: str | Path, masks: str | Path, *, card: Card, weights: Path | None = None
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
