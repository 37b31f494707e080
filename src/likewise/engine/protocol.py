"""What a few-shot method asks of a network."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, UInt8


@runtime_checkable
class FeatureExtractor(Protocol):
    """A backbone with its weights and its normalisation.

    Attributes:
        name: the backbone and its taps, such as "lite0@blocks.4.2+blocks.5.3".
        fingerprint: of the weights; concepts state it. Equal for the same weights in every engine.
        multiple: both sides of an input image are multiples of this.
        channels: of all taps together.
        engine: "onnx" or "torch".
    """

    name: str
    fingerprint: str
    multiple: int
    channels: int
    engine: str

    def features(self, images: UInt8[np.ndarray, "b h w 3"]) -> list[Float32[np.ndarray, "b _c _h _w"]]:
        """Return each tap's feature map, shallow to deep, of RGB images whose sides are multiples of `multiple`."""
        ...
