"""A disk cache for the features of a backbone's frozen layers.

    image --> digest --> the digest's file, or the frozen layers, whose output becomes a new file

`cache_frozen` replaces the frozen layers before the first trainable one; the model's code stays the same. A file is
named after a digest of the normalised image, so each crop, mirror image and size has its own. Features are stored in
half precision, and newly computed features are rounded to it too, so reading and computing give the same bits. Files
are written atomically, so processes share a folder.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float16
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn

from likewise.backbones.specs import Tap
from likewise.backbones.taps import Backbone
from likewise.errors import TrainingError
from likewise.io.atomic import write_atomically
from likewise.weights.checkpoint import fingerprint


class FeatureCache(nn.Module):
    """images -> feature maps of a frozen network, read from disk if cached, else computed and stored.

    The network is not a submodule: it has no part in `parameters()` and `state_dict()`.

    Args:
        network: returns one feature map or a list of them for a batch of images; it is frozen.
        folder: parent of all caches; this cache uses a subfolder named after the network's weights, layers and taps.
        taps: taps of the network, if its layers do not determine them.
    """

    def __init__(self, network: nn.Module, folder: str | Path, taps: tuple[Tap, ...] = ()) -> None:
        super().__init__()
        self.compute = _as_function(network.eval().requires_grad_(False))
        layers = hashlib.sha256(f"{network} {taps}".encode()).hexdigest()[:8]
        self.folder = Path(folder) / f"{fingerprint(network)}-{layers}"
        self.computed = 0

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """Return the feature maps, rounded to half precision, in the images' dtype."""
        rows = [self._features(image) for image in images]
        return [
            torch.from_numpy(np.stack(level)).to(images.device, images.dtype, memory_format=torch.channels_last)
            for level in zip(*rows, strict=True)
        ]

    def _features(self, image: Float[Tensor, "3 h w"]) -> list[Float16[np.ndarray, "c _h _w"]]:
        pixels = image.detach().movedim(0, -1).contiguous().cpu().numpy()
        height, width = image.shape[-2:]
        digest = hashlib.blake2b(pixels.data, digest_size=16).hexdigest()
        path = self.folder / f"{height}x{width}" / f"{digest}.safetensors"
        if path.is_file():
            stored = load_file(path)
            return [stored[str(level)] for level in range(len(stored))]
        # one image at a time, since rounding can depend on the batch size
        features = [np.ascontiguousarray(level[0].half().cpu().numpy()) for level in self.compute(image[None])]
        self.computed += 1
        with write_atomically(path) as part:
            save_file({str(level): plane for level, plane in enumerate(features)}, part)
        return features


class CachedBackbone(FeatureCache):
    """A completely frozen backbone with a cache, with the interface of `Backbone`."""

    def __init__(self, backbone: Backbone, folder: str | Path) -> None:
        super().__init__(backbone, folder, backbone.taps)
        self.spec, self.taps, self.normalise = backbone.spec, backbone.taps, backbone.normalise


class CachedFront(nn.Module):
    """The frozen first layers of a network, with a cache."""

    def __init__(self, network: nn.Sequential, folder: str | Path) -> None:
        super().__init__()
        self.cache = FeatureCache(network, folder)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b _c _h _w"]:
        (features,) = self.cache(images)
        return features


def cache_frozen(backbone: Backbone, folder: str | Path) -> Backbone | CachedBackbone:
    """Return the backbone with its layers before the first trainable one replaced by a cache.

    The backbone is modified in place; its state dict loses the entries of the replaced layers.

    Raises:
        TrainingError: the first layer is trainable, or the network is not a sequence of layers.
    """
    if not any(parameter.requires_grad for parameter in backbone.parameters()):
        return CachedBackbone(backbone, folder)
    front = list(itertools.takewhile(lambda layer: _is_fixed(layer[2], backbone), _sequence(backbone.net)))
    if not front:
        raise TrainingError(
            f"the first layer of {backbone.spec.name} is trained, so no features can be cached: train fewer modules "
            "(model.learn), or set cache=null"
        )
    probe = torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64).to(next(backbone.parameters()).device)
    mode = backbone.training
    with torch.no_grad():
        whole = backbone.eval()(probe)
        network = nn.Sequential(*(module for _, _, module in front))
        for parent, name, _ in front:
            setattr(parent, name, nn.Identity())
        setattr(front[0][0], front[0][1], network)
        cut = backbone(probe)
    if not all(torch.equal(one, other) for one, other in zip(whole, cut, strict=True)):
        raise TrainingError(
            f"{backbone.spec.name} is not a sequence of layers, so the features of its frozen part cannot be cached: "
            "set cache=null"
        )
    setattr(front[0][0], front[0][1], CachedFront(network, folder))
    return backbone.train(mode)


def _as_function(network: nn.Module) -> Callable[[Tensor], list[Tensor]]:
    """Return the network as a function; a closure, so that it does not become a submodule."""

    def compute(images: Tensor) -> list[Tensor]:
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            features = network.to(images.device)(images)
        return features if isinstance(features, list) else [features]

    return compute


def _sequence(parent: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """Yield `(parent, name, layer)` in order of execution, descending into sequences."""
    for name, module in parent.named_children():
        if isinstance(module, nn.Sequential):
            yield from _sequence(module)
        else:
            yield parent, name, module


def _is_fixed(layer: nn.Module, backbone: Backbone) -> bool:
    tapped = {backbone.net.get_submodule(tap.module) for tap in backbone.taps}
    return not tapped.intersection(layer.modules()) and not any(p.requires_grad for p in layer.parameters())
