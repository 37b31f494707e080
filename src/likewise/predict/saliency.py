"""Single-image saliency maps from the bundled network or from an ONNX model.

saliency = Saliency()                        # or Saliency("u2net.onnx")
saliency.segment("photo.jpg").probability    # at the size of the image

They are the input of co-saliency (`likewise.predict.co_saliency`).
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from cachetools import LRUCache, cached
from jaxtyping import Float32, UInt8

from likewise.io.digests import pixels_key
from likewise.io.images import ScaledImage, Source, read_scaled
from likewise.ops.bilinear import resize_bilinear
from likewise.predict.edges import LARGEST
from likewise.predict.engines import open_saliency
from likewise.predict.result import Result, map_result
from likewise.weights import DEFAULT_SALIENCY

CACHED = 32 << 20
"""Bytes of cached maps: about 2,500 of the bundled network. Both passes over a group need the map of each image."""

SALIENT = ("salient",)
"""The class names of a saliency map."""


class Saliency:
    """Maps of the salient object in single images.

    Args:
        model: "saliency-lite0", bundled; the folder of a saliency run, or of its export; or the path of an ONNX model
            (`likewise.predict.onnx_saliency`).
        engine: see `likewise.FewShot`.
        device: see `likewise.FewShot`; an ONNX model of others runs on the CPU.
        edges: see `likewise.FewShot`; for `segment` only, not for `map_at`.

    Raises:
        ModelError: an unknown model or device, or a model of another method.
        WeightsError: weights that do not fit.
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_SALIENCY,
        *,
        engine: str = "auto",
        device: str = "auto",
        edges: bool = True,
    ) -> None:
        self.edges = edges
        self.network = open_saliency(model, engine=engine, device=device)
        cache: LRUCache[Hashable, np.ndarray] = LRUCache(CACHED, getsizeof=lambda plane: plane.nbytes)
        self.cached_plane = cached(cache, key=pixels_key, lock=Lock())(lambda image: self.network.plane(image))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that determine the maps, for the records of a run."""
        return {"model": self.network.name, "weights": self.network.fingerprint, "edges": self.edges}

    def segment(self, image: Source | ScaledImage) -> Result:
        """The map and its mask (above 0.5) at the size of the image.

        Raises:
            ImageError: a file that cannot be read.
        """
        scaled = read_scaled(image, LARGEST)
        size = (scaled.pixels.shape[0], scaled.pixels.shape[1])
        plane = resize_bilinear(self.network.plane(scaled.pixels), size)
        return map_result(plane, SALIENT, scaled, edges=self.edges)

    def map_at(self, image: UInt8[np.ndarray, "h w 3"], side: int) -> Float32[np.ndarray, "side side"]:
        """The map at `side` x `side` pixels; the maps of recent images are cached."""
        return resize_bilinear(self.cached_plane(image), (side, side))
