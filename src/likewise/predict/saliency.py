"""Single-image saliency maps from the bundled network or from an ONNX model.

saliency = Saliency()                        # or Saliency("u2net.onnx")
saliency.segment("photo.jpg").probability    # at the size of the image

They are the input of co-saliency (`likewise.predict.co_saliency`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
import torch
from cachetools import LRUCache, cached
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from likewise.io.images import Source, read_image
from likewise.io.resize import resize_image
from likewise.models.saliency import SaliencyNet
from likewise.ops.features import resize
from likewise.predict.devices import torch_device
from likewise.predict.edges import refine_edges
from likewise.predict.onnx_saliency import OnnxSaliency
from likewise.predict.ready import prepare_network
from likewise.predict.result import Result
from likewise.weights import DEFAULT_SALIENCY
from likewise.weights.checkpoint import fingerprint
from likewise.weights.load import open_model
from likewise.weights.names import SALIENCY

SIDE = 224
"""Side of the network's input in pixels, as in training; the map is 56 x 56 before it is resized."""

CACHED = 32 << 20
"""Bytes of cached maps: about 2,500 of the bundled network. Both passes over a group need the map of each image."""

SALIENT = ("salient",)
"""The class names of a saliency map."""


class Prior(Protocol):
    """A source of saliency maps."""

    name: str
    fingerprint: str

    def plane(self, image: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "1 1 hp wp"]:
        """The probability map of the whole image, at any size."""


class Network:
    """The saliency network as a prior."""

    def __init__(self, model: str, device: torch.device) -> None:
        opened = open_model(model, SALIENCY)
        network: Any = opened.network
        self.name, self.fingerprint, self.device = opened.name, fingerprint(network), device
        self.network: SaliencyNet = prepare_network(network, device, fold=True)

    def plane(self, image: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "1 1 hp wp"]:
        pixels = torch.tensor(resize_image(image, SIDE, SIDE), device=self.device)[None]
        backbone = self.network.backbone
        return self.network.decode(backbone(backbone.normalise(pixels))).sigmoid()


class Saliency:
    """Maps of the salient object in single images.

    Args:
        model: "saliency-lite0", bundled; the folder of a saliency run; or the path of an ONNX model (`OnnxSaliency`).
        device: see `likewise.FewShot`; an ONNX model runs on the CPU.
        edges: see `likewise.FewShot`; for `segment` only, not for `map_at`.

    Raises:
        ModelError: an unknown model or device, or a model of another method.
        WeightsError: weights that do not fit.
    """

    def __init__(self, model: str | Path = DEFAULT_SALIENCY, *, device: str = "auto", edges: bool = True) -> None:
        self.edges = edges
        self.prior: Prior
        if str(model).endswith(".onnx"):
            self.prior = OnnxSaliency(model)
        else:
            self.prior = Network(str(model), torch_device(device))
        cache: LRUCache[Hashable, Tensor] = LRUCache(CACHED, getsizeof=lambda plane: plane.nbytes)
        self.cached_plane = cached(cache, key=image_key, lock=Lock())(lambda image: self.prior.plane(image))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that determine the maps, for the records of a run."""
        return {"model": self.prior.name, "weights": self.prior.fingerprint, "edges": self.edges}

    @torch.inference_mode()
    def segment(self, image: Source) -> Result:
        """The map and its mask (above 0.5) at the size of the image.

        Raises:
            ImageError: a file that cannot be read.
        """
        pixels = read_image(image)
        plane = resize(self.prior.plane(pixels), pixels.shape[:2], align_corners=False)[0, 0]
        return map_result(plane.float().cpu().numpy(), SALIENT, pixels, edges=self.edges)

    @torch.inference_mode()
    def map_at(self, image: UInt8[np.ndarray, "h w 3"], side: int) -> Float[Tensor, "side side"]:
        """The map at `side` x `side` pixels; the maps of recent images are cached."""
        return resize(self.cached_plane(image), (side, side), align_corners=False)[0, 0]


def image_key(image: UInt8[np.ndarray, "h w 3"]) -> Hashable:
    """A cache key from the content of an image."""
    return image.shape, hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()


def map_result(
    probability: Float32[np.ndarray, "h w"], classes: tuple[str, ...], image: UInt8[np.ndarray, "h w 3"], *, edges: bool
) -> Result:
    """The result for a probability map of one class: above 0.5 is the mask, whose mean probability is the score.

    With `edges` the map is first refined to the edges of the image.
    """
    found = probability.clip(0, 1)
    if edges:
        found = refine_edges(np.stack([1 - found, found]), image)[1]
    mask = found > 0.5
    score = float(found[mask].mean()) if mask.any() else 0.0
    return Result(mask, found, mask.astype(np.uint8), classes, (score,), image)
