"""What a method asks of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from likewise.ops.hypercorrelation.supports import Support

Vectors = dict[int, np.ndarray]
"""Vectors of the images of a group (ICNet's single-image vectors): for each stride `Float32[np.ndarray, "n 2 c"]`,
foreground and background, each of length one, or zero where a map is empty."""


class Features(NamedTuple):
    """The features of a batch of images.

    Attributes:
        levels: each tap's feature map, shallow to deep.
        semantic: the map that says what is where in the image (`likewise.ops.presence`): of the deepest tap, or of a
            network that training did not change.
    """

    levels: list[Float32[np.ndarray, "b _c _h _w"]]
    semantic: Float32[np.ndarray, "b _c _h _w"]


@runtime_checkable
class FeatureExtractor(Protocol):
    """A backbone with its weights and its normalisation.

    Attributes:
        name: the backbone and its taps, such as "lite0@blocks.4.2+blocks.5.3".
        fingerprint: of the weights; concepts state it. Equal for the same weights in every engine.
        multiple: both sides of an input image are multiples of this.
        channels: of all taps together.
        semantic_channels: of the semantic map.
        engine: "onnx" or "torch".
    """

    name: str
    fingerprint: str
    multiple: int
    channels: int
    semantic_channels: int
    engine: str

    def features(self, images: UInt8[np.ndarray, "b h w 3"]) -> Features:
        """Return the features of RGB images whose sides are multiples of `multiple`."""
        ...

    def levels(self, images: UInt8[np.ndarray, "b h w 3"]) -> list[Float32[np.ndarray, "b _c _h _w"]]:
        """Return the taps alone, which is faster."""
        ...


@runtime_checkable
class CorrelationNetwork(Protocol):
    """An HSNet: its backbone, and its comparison of an image with an example. Shots are joined by the caller.

    Attributes:
        backbone: the backbone and its taps, such as "lite0@blocks.2.0+blocks.2.1".
        fingerprint: of the weights; concepts state it. Equal for the same weights in every engine.
        engine: "onnx" or "torch".
        channels: of the taps of each stride.
        side: default input size in pixels.
    """

    backbone: str
    fingerprint: str
    engine: str
    channels: Mapping[int, Sequence[int]]
    side: int

    def encode_support(self, image: UInt8[np.ndarray, "h w 3"], foreground: Bool[np.ndarray, "h w"]) -> Support:
        """Return the foreground features of an example, whose sides are multiples of 16, at least 32 pixels."""
        ...

    def prepare(self, support: Support) -> Any:
        """Return a support as `logits` takes it."""
        ...

    def encode_query(self, images: UInt8[np.ndarray, "b h w 3"]) -> list[Any]:
        """Return each image as `logits` takes it; sizes as for `encode_support`."""
        ...

    def logits(self, query: Any, supports: Sequence[Any]) -> list[Float32[np.ndarray, "2 h w"]]:
        """Return logits of background and foreground for each shot, at a quarter of the input's size."""
        ...


@runtime_checkable
class SaliencyNetwork(Protocol):
    """A source of single-image saliency maps: our network in either engine, or any ONNX model.

    Attributes:
        name: of the model, for records.
        fingerprint: of its weights.
    """

    name: str
    fingerprint: str

    def plane(self, image: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "hp wp"]:
        """Return the probability map of the whole image, at the network's own size."""
        ...


@runtime_checkable
class GroupNetwork(Protocol):
    """A co-saliency network, in two passes over the images of a group.

    Attributes:
        name: of the model, for records.
        fingerprint: of its weights.
        engine: "onnx" or "torch".
        side: of images and maps, in pixels.
    """

    name: str
    fingerprint: str
    engine: str
    side: int

    def encode(self, image: UInt8[np.ndarray, "s s 3"], sism: Float32[np.ndarray, "s s"]) -> Vectors:
        """Return the vectors of one image (n = 1) under its saliency map."""
        ...

    def segment(
        self, image: UInt8[np.ndarray, "s s 3"], sism: Float32[np.ndarray, "s s"], group: Vectors
    ) -> Float32[np.ndarray, "s s"]:
        """Return the probability of the common object, given the vectors of all images of the group."""
        ...


@runtime_checkable
class SceneNetwork(Protocol):
    """A scene network.

    Attributes:
        name: of the model, for records.
        fingerprint: of its weights.
        engine: "onnx" or "torch".
        classes: the names of its classes.
        labels: the label of each class in the files that it was trained on.
        side: the short side, in pixels, to which training resized images; 0 if it did not.
    """

    name: str
    fingerprint: str
    engine: str
    classes: tuple[str, ...]
    labels: tuple[int, ...]
    side: int

    def probabilities(self, images: UInt8[np.ndarray, "b h w 3"]) -> Float32[np.ndarray, "b k h w"]:
        """Return the probability of each class at every pixel, for images of any size."""
        ...
