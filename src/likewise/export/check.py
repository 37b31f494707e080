"""Exported graphs compared with torch."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from likewise.engine.onnx import (
    OnnxBackbone,
    OnnxCorrelationNetwork,
    OnnxGroupNetwork,
    OnnxSaliencyNetwork,
    OnnxSceneNetwork,
    open_session,
)
from likewise.engine.protocol import CorrelationNetwork
from likewise.engine.torch import (
    TorchBackbone,
    TorchCorrelationNetwork,
    TorchGroupNetwork,
    TorchSaliencyNetwork,
    TorchSceneNetwork,
)
from likewise.predict.concept import Concept
from likewise.predict.few_shot import FewShot

SIZES = ((32, 32), (96, 64), (288, 512), (320, 320))
"""Heights and widths, in pixels, of the images that are compared: multiples of the deepest stride."""
SUPPORT_SIZES = ((32, 32), (96, 48), (208, 304), (256, 256), (336, 112))
"""Heights and widths, in pixels, of HSNet's examples."""
ODD_SIZES = ((33, 47), (64, 64), (101, 190))
"""Heights and widths, in pixels, for graphs that take any size: two that are no multiples of a stride."""


class Difference(NamedTuple):
    """The largest difference of a graph's outputs from torch's, as a share of the largest value, over some inputs."""

    graph: str
    largest: float


def compare(method: str, own: Any, graphs: Mapping[str, Path]) -> tuple[Difference, ...]:
    """Return the difference of each graph from torch.

    Args:
        method: of the model, or "concept".
        own: the network; for a concept a `FewShot` on torch and the concept.
        graphs: the files by role.
    """
    comparisons: dict[str, Callable[[Any, Mapping[str, Path]], dict[str, float]]] = {
        "hsnet": compare_hsnet,
        "saliency": compare_saliency,
        "icnet": compare_groups,
        "mcibi": compare_scenes,
        "fcn": compare_scenes,
        "concept": compare_concept,
    }
    found = comparisons.get(method, compare_backbone)(own, graphs)
    return tuple(Difference(graphs[role].name, largest) for role, largest in found.items())


def compare_backbone(network: Any, graphs: Mapping[str, Path]) -> dict[str, float]:
    by_torch, by_onnx = TorchBackbone(network.backbone, ""), OnnxBackbone(graphs["backbone"])
    largest = 0.0
    for size in SIZES:
        images = sample(*(max(1, length // by_onnx.multiple) * by_onnx.multiple for length in size))[None]
        levels = zip(by_onnx.features(images).levels, by_torch.features(images).levels, strict=True)
        largest = max(largest, *(difference(found, expected) for found, expected in levels))
    return {"backbone": largest}


def compare_hsnet(network: Any, graphs: Mapping[str, Path]) -> dict[str, float]:
    """Objects that fill a quarter of an image, and four pixels; the support's features are compared on both."""
    by_onnx: CorrelationNetwork = OnnxCorrelationNetwork(graphs["units"], graphs["logits"])
    by_torch: CorrelationNetwork = TorchCorrelationNetwork(copy.deepcopy(network), "", by_onnx.side, rescue=True)
    units, logits, supports = 0.0, 0.0, []
    for index, (height, width) in enumerate(SUPPORT_SIZES):
        foreground = np.zeros((height, width), bool)
        side = (2, 2) if index % 2 else (height // 2, width // 2)
        foreground[height // 4 : height // 4 + side[0], width // 3 : width // 3 + side[1]] = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the small object
            own, reference = (
                each.encode_support(sample(height, width, index), foreground) for each in (by_onnx, by_torch)
            )
        for stride, level in reference.levels.items():
            pairs = zip(own.levels[stride].features, level.features, strict=True)
            units = max(units, *(difference(found, expected) for found, expected in pairs))
        supports.append(reference)
    for size in SIZES:
        images = sample(*size, seed=9)[None]
        found, expected = (
            each.logits(each.encode_query(images)[0], [each.prepare(support) for support in supports])
            for each in (by_onnx, by_torch)
        )
        logits = max(logits, *(difference(*pair) for pair in zip(found, expected, strict=True)))
    return {"units": units, "logits": logits}


def compare_saliency(network: Any, graphs: Mapping[str, Path]) -> dict[str, float]:
    by_onnx = OnnxSaliencyNetwork(graphs["maps"])
    by_torch = TorchSaliencyNetwork(network, "", "", by_onnx.side)
    planes = ((by_onnx.plane(image), by_torch.plane(image)) for image in (sample(*size) for size in SIZES))
    return {"maps": max(difference(found, expected) for found, expected in planes)}


def compare_groups(network: Any, graphs: Mapping[str, Path]) -> dict[str, float]:
    """Positions of nearly equal attention may swap, which changes single pixels of a mask by more than rounding."""
    by_onnx = OnnxGroupNetwork(graphs["vectors"], graphs["masks"])
    side = by_onnx.side
    by_torch = TorchGroupNetwork(network, "", "", side)
    images = [sample(side, side, seed) for seed in range(3)]
    sisms = [sample(side, side, seed)[..., 0].astype(np.float32) / 255 for seed in range(3, 6)]
    ours, theirs = (
        [network.encode(image, sism) for image, sism in zip(images, sisms, strict=True)]
        for network in (by_onnx, by_torch)
    )
    pairs = [(one[stride], other[stride]) for one, other in zip(ours, theirs, strict=True) for stride in one]
    masks = []
    for count in (1, 3):
        group = {stride: np.concatenate([own[stride] for own in theirs[:count]]) for stride in theirs[0]}
        for image, sism in zip(images, sisms, strict=True):
            masks.append((by_onnx.segment(image, sism, group), by_torch.segment(image, sism, group)))
    return {"vectors": max(difference(*pair) for pair in pairs), "masks": max(difference(*pair) for pair in masks)}


def compare_scenes(network: Any, graphs: Mapping[str, Path]) -> dict[str, float]:
    by_onnx = OnnxSceneNetwork(graphs["scenes"])
    by_torch = TorchSceneNetwork(network, "", "", by_onnx.classes, by_onnx.labels, by_onnx.side)
    batches = (np.stack([sample(*size), sample(*size, seed=1)]) for size in ODD_SIZES)
    pairs = ((by_onnx.probabilities(images), by_torch.probabilities(images)) for images in batches)
    return {"scenes": max(difference(found, expected) for found, expected in pairs)}


def compare_concept(own: tuple[FewShot, Concept], graphs: Mapping[str, Path]) -> dict[str, float]:
    """Pillow and ONNX Runtime round single pixels differently as they resize, so this is not rounding alone."""
    session, (few_shot, concept) = open_session(graphs["concept"], "cpu"), own
    prepared = few_shot.head.prepare(concept)._replace(judge=None)
    largest = 0.0
    for size in (*SIZES, *ODD_SIZES):
        image = sample(*size)
        ((expected, _),) = few_shot.head.segment(few_shot.inputs.resize(image)[None], prepared, [size])
        largest = max(largest, difference(session.run(None, {"images": image[None]})[0][0], expected))
    return {"concept": largest}


def sample(height: int, width: int, seed: int = 0) -> UInt8[np.ndarray, "h w 3"]:
    """Return an image of coloured patches."""
    patches = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return np.array(Image.fromarray(patches).resize((width, height), Image.Resampling.BICUBIC))


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference as a share of the largest expected value."""
    return float(abs(found - expected).max() / max(abs(expected).max(), 1e-12))
