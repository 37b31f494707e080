"""Networks run by torch, on any of its devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, UInt8
from torch import Tensor

from likewise.engine.protocol import Features, Vectors
from likewise.io.resize import resize_image
from likewise.models.hsnet_inference import (
    Learned,
    channels_of,
    encode_query,
    encode_support,
    learned,
    relate_and_classify,
)
from likewise.ops.hypercorrelation.supports import Support


class TorchBackbone:
    """A backbone of `likewise.backbones`, ready for inference.

    Args:
        backbone: a `Backbone`, or one with a cache around it; frozen, in evaluation mode, on its device and in its
            precision.
        fingerprint: of the weights, taken before batch norm was folded.
        semantic: a second network, likewise ready, whose deepest tap is the semantic map. Defaults to the backbone.
    """

    engine = "torch"

    def __init__(self, backbone: Any, fingerprint: str, semantic: Any = None) -> None:
        self.backbone, self.fingerprint, self.semantic = backbone, fingerprint, semantic
        self.name = f"{backbone.spec.name}@{'+'.join(tap.module for tap in backbone.taps)}"
        self.multiple = max(tap.stride for tap in backbone.taps)
        self.channels = sum(tap.channels for tap in backbone.taps)
        self.semantic_channels = (backbone if semantic is None else semantic).taps[-1].channels

    @torch.inference_mode()
    def features(self, images: UInt8[np.ndarray, "b h w 3"]) -> Features:
        """Return the features of RGB images whose sides are multiples of `multiple`."""
        inputs = normalised(self.backbone, images)
        levels = self.backbone(inputs)
        deepest = levels[-1] if self.semantic is None else self.semantic(inputs)[-1]
        return Features([level.float().cpu().numpy() for level in levels], deepest.float().cpu().numpy())

    @torch.inference_mode()
    def levels(self, images: UInt8[np.ndarray, "b h w 3"]) -> list[Float32[np.ndarray, "b _c _h _w"]]:
        """Return the taps alone, which is faster."""
        return [level.float().cpu().numpy() for level in self.backbone(normalised(self.backbone, images))]

    def __repr__(self) -> str:
        return f"TorchBackbone({self.name!r}, {next(self.backbone.parameters()).device})"


class TorchCorrelationNetwork:
    """An HSNet (`likewise.models.hsnet`), ready for inference, as a `CorrelationNetwork`.

    Args:
        network: its config is changed by `rescue`.
        fingerprint: of the weights, taken before batch norm was folded.
        side: default input size in pixels.
        rescue: see `likewise.models.hsnet.HSNetConfig`.
    """

    engine = "torch"

    def __init__(self, network: Any, fingerprint: str, side: int, *, rescue: bool) -> None:
        self.network, self.fingerprint, self.side = network, fingerprint, side
        network.config = replace(network.config, rescue=rescue)
        self.backbone = f"{network.backbone.spec.name}@{'+'.join(tap.module for tap in network.backbone.taps)}"
        self.channels: Mapping[int, Sequence[int]] = channels_of(network)

    @torch.inference_mode()
    def encode_support(self, image: UInt8[np.ndarray, "h w 3"], foreground: Bool[np.ndarray, "h w"]) -> Support:
        """Return the foreground features of an example."""
        images = normalised(self.network.backbone, image[None])
        masks = torch.from_numpy(foreground)[None].to(images.device).float()
        return encode_support(self.network, images, masks)[0]

    @torch.inference_mode()
    def prepare(self, support: Support) -> Learned:
        """Return a support on the device of the network."""
        return learned(self.network, [support])[0]

    @torch.inference_mode()
    def encode_query(self, images: UInt8[np.ndarray, "b h w 3"]) -> list[list[Tensor]]:
        """Return the unit features of each image."""
        taps = encode_query(self.network, normalised(self.network.backbone, images))
        return [[tap[index : index + 1] for tap in taps] for index in range(len(images))]

    def logits(self, query: list[Tensor], supports: Sequence[Learned]) -> list[Float32[np.ndarray, "2 h w"]]:
        """Return logits of background and foreground for each shot."""
        return list(relate_and_classify(self.network, query, supports).cpu().numpy())


class TorchSaliencyNetwork:
    """A saliency network (`likewise.models.saliency`), ready for inference, as a `SaliencyNetwork`.

    Args:
        side: of the network's input in pixels.
    """

    def __init__(self, network: Any, name: str, fingerprint: str, side: int) -> None:
        self.network, self.name, self.fingerprint, self.side = network, name, fingerprint, side

    @torch.inference_mode()
    def plane(self, image: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "hp wp"]:
        """Return the probability map of the whole image, at the network's own size."""
        backbone = self.network.backbone
        levels = backbone(normalised(backbone, resize_image(image, self.side, self.side)[None]))
        return self.network.decode(levels).sigmoid()[0, 0].float().cpu().numpy()


class TorchGroupNetwork:
    """An ICNet (`likewise.models.icnet`), ready for inference, as a `GroupNetwork`.

    Args:
        side: of images and maps, in pixels.
    """

    engine = "torch"

    def __init__(self, network: Any, name: str, fingerprint: str, side: int) -> None:
        self.network, self.name, self.fingerprint, self.side = network, name, fingerprint, side

    @torch.inference_mode()
    def encode(self, image: UInt8[np.ndarray, "s s 3"], sism: Float32[np.ndarray, "s s"]) -> Vectors:
        """Return the vectors of one image under its saliency map."""
        vectors = self.network.encode_group(*self.inputs(image, sism))
        return {stride: own.cpu().numpy() for stride, own in vectors.items()}

    @torch.inference_mode()
    def segment(
        self, image: UInt8[np.ndarray, "s s 3"], sism: Float32[np.ndarray, "s s"], group: Vectors
    ) -> Float32[np.ndarray, "s s"]:
        """Return the probability of the group's common object."""
        images, sisms = self.inputs(image, sism)
        vectors = {stride: torch.from_numpy(own).to(images.device) for stride, own in group.items()}
        return self.network.segment(images, sisms, vectors)[0].cpu().numpy()

    def inputs(self, image: np.ndarray, sism: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return image and map as the network takes them, on its device."""
        images = normalised(self.network.backbone, image[None])
        return images, torch.tensor(sism, device=images.device)[None]


class TorchSceneNetwork:
    """A scene network (`likewise.models.mcibi`, `likewise.models.fcn`), ready for inference, as a `SceneNetwork`."""

    engine = "torch"

    def __init__(
        self, network: Any, name: str, fingerprint: str, classes: tuple[str, ...], labels: tuple[int, ...], side: int
    ) -> None:
        self.network, self.name, self.fingerprint = network, name, fingerprint
        self.classes, self.labels, self.side = classes, labels, side

    @torch.inference_mode()
    def probabilities(self, images: UInt8[np.ndarray, "b h w 3"]) -> Float32[np.ndarray, "b k h w"]:
        """Return the probability of each class at every pixel, for images of any size."""
        return self.network(normalised(self.network.backbone, images)).float().softmax(dim=1).cpu().numpy()


def normalised(backbone: Any, images: UInt8[np.ndarray, "b h w 3"]) -> Tensor:
    """Return images normalised for a backbone, on its device and in its precision."""
    weight = next(backbone.parameters())
    return backbone.normalise(torch.from_numpy(np.array(images)).to(weight.device)).to(weight.dtype)
