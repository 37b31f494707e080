"""Features of the frozen part of a backbone, computed once for each image and then read from disk.

    images --> digest --> a row of a memory-mapped file, or else the frozen layers, whose output becomes that row

`cache_frozen` puts a cache in front of the layers that learn, so a model's code does not know of it. Rows are found
by the content of the normalised image: crops, mirror images and other sizes are other rows, never wrong ones.
Features are kept in half precision; one that is read and one that was just computed have the same bits.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from jaxtyping import Float, Float16
from torch import Tensor, nn

from likewise.backbones.specs import Tap
from likewise.backbones.taps import Backbone
from likewise.io.atomic import write_atomically
from likewise.weights.checkpoint import fingerprint

KEY_BYTES = 16


class Rows:
    """Rows of half-precision features in a folder, for images of one size under one frozen network.

    Every process that has something to add writes to a part of its own, row first and key last, so that processes
    may share the folder without a lock, and one that is killed leaves no half row behind that counts.

    Args:
        folder: made if it does not exist; rows that are there are found at once.
        shapes: of the feature maps that make a row, without the batch axis.
    """

    def __init__(self, folder: Path, shapes: list[tuple[int, ...]]) -> None:
        self.folder = folder
        self.shapes = shapes
        self.values = sum(math.prod(shape) for shape in shapes)
        self.where: dict[bytes, tuple[Path, int]] = {}
        self.maps: dict[Path, Float16[np.ndarray, "rows values"]] = {}
        self.added: tuple[Path, BinaryIO, BinaryIO] | None = None
        for keys in sorted(folder.glob("part-*/keys")):
            rows = keys.with_name("rows")
            count = min(keys.stat().st_size // KEY_BYTES, rows.stat().st_size // (2 * self.values))
            content = keys.read_bytes()
            for index in range(count):
                self.where.setdefault(content[index * KEY_BYTES : (index + 1) * KEY_BYTES], (rows, index))

    def __contains__(self, key: bytes) -> bool:
        return key in self.where

    def read(self, key: bytes) -> list[Float16[np.ndarray, "..."]]:
        """The feature maps of a key, copied out of the file."""
        path, index = self.where[key]
        if path not in self.maps or index >= len(self.maps[path]):
            stored = path.stat().st_size // (2 * self.values)
            self.maps[path] = np.memmap(path, np.float16, "r", shape=(stored, self.values))
        row = np.array(self.maps[path][index])
        ends = itertools.accumulate(math.prod(shape) for shape in self.shapes)
        return [part.reshape(shape) for part, shape in zip(np.split(row, list(ends)[:-1]), self.shapes, strict=True)]

    def add(self, key: bytes, features: list[Float16[np.ndarray, "..."]]) -> None:
        """Append a row."""
        if self.added is None:
            self.added = self._open_part()
        path, rows, keys = self.added
        index = rows.tell() // (2 * self.values)
        for part in features:
            rows.write(part.tobytes())
        rows.flush()
        keys.write(key)
        keys.flush()
        self.where[key] = path, index

    def _open_part(self) -> tuple[Path, BinaryIO, BinaryIO]:
        for number in itertools.count():
            part = self.folder / f"part-{number}"
            try:
                part.mkdir(parents=True)
            except FileExistsError:
                continue
            return part / "rows", (part / "rows").open("wb"), (part / "keys").open("wb")
        raise AssertionError("counting ends nowhere")


class FeatureCache(nn.Module):
    """images -> the feature maps of a frozen network, from disk where they have been computed before.

    The network is no part of this module: not of its parameters, not of its state dict.

    Args:
        network: frozen; gives one feature map or a list of them for a batch of images.
        folder: of all caches; this one takes a folder in it named by the network's weights, layers and `taps`.
        taps: where the network is read, as far as its layers do not say so.
    """

    def __init__(self, network: nn.Module, folder: str | Path, taps: tuple[Tap, ...] = ()) -> None:
        super().__init__()
        self.compute = _computing(network.eval().requires_grad_(False))
        layers = hashlib.sha256(f"{network} {taps}".encode()).hexdigest()[:8]
        self.folder = Path(folder) / f"{fingerprint(network)}-{layers}"
        self.rows: dict[tuple[int, int], Rows] = {}
        self.computed = 0

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """The network's feature maps, rounded to half precision and given in the precision of the images."""
        kept = [self._features(image) for image in images]
        return [
            torch.from_numpy(np.stack(level)).to(images.device, images.dtype, memory_format=torch.channels_last)
            for level in zip(*kept, strict=True)
        ]

    def _features(self, image: Float[Tensor, "3 h w"]) -> list[Float16[np.ndarray, "c _h _w"]]:
        pixels = image.detach().movedim(0, -1).contiguous().cpu().numpy()
        key = hashlib.blake2b(pixels.data, digest_size=KEY_BYTES).digest()
        size = (image.shape[-2], image.shape[-1])
        rows = self.rows.get(size) or self._open(size)
        if rows is not None and key in rows:
            return rows.read(key)
        # one at a time: kernels may differ in the last bit with the size of the batch
        features = [level[0].half().cpu().numpy() for level in self.compute(image[None])]
        self.computed += 1
        if rows is None:
            rows = self._open(size, [level.shape for level in features])
            assert rows is not None
        rows.add(key, features)
        return features

    def _open(self, size: tuple[int, int], shapes: list[tuple[int, ...]] | None = None) -> Rows | None:
        """The rows of images of that size; None if there are none yet and `shapes` are not given."""
        folder = self.folder / f"{size[0]}x{size[1]}"
        stated = folder / "shapes.json"
        if shapes is not None:
            with write_atomically(stated) as part:
                part.write_text(json.dumps(shapes))
        elif not stated.is_file():
            return None
        else:
            shapes = [tuple(shape) for shape in json.loads(stated.read_text())]
        self.rows[size] = Rows(folder, shapes)
        return self.rows[size]


class CachedBackbone(FeatureCache):
    """A backbone that is frozen from end to end, behind a cache; for models, it is the backbone."""

    def __init__(self, backbone: Backbone, folder: str | Path) -> None:
        super().__init__(backbone, folder, backbone.taps)
        self.spec, self.taps, self.normalise = backbone.spec, backbone.taps, backbone.normalise


class CachedFront(nn.Module):
    """The first layers of a network, all of them frozen, behind a cache."""

    def __init__(self, network: nn.Sequential, folder: str | Path) -> None:
        super().__init__()
        self.cache = FeatureCache(network, folder)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b _c _h _w"]:
        (features,) = self.cache(images)
        return features


def cache_frozen(backbone: Backbone, folder: str | Path) -> Backbone | CachedBackbone:
    """The backbone with a cache in place of all that comes before the first layer that learns.

    The backbone is changed, and its state dict has no longer the entries of the layers behind the cache.

    Raises:
        ValueError: the first layer learns already; or the network is not simply its layers one after the other, so
            that it cannot be cut.
    """
    if not any(parameter.requires_grad for parameter in backbone.parameters()):
        return CachedBackbone(backbone, folder)
    front = list(itertools.takewhile(lambda layer: _is_fixed(layer[2], backbone), _sequence(backbone.net)))
    if not front:
        raise ValueError(
            f"nothing of {backbone.spec.name} is frozen before its first layer that learns, so there is nothing to "
            "cache: freeze its first layers, or train without a cache"
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
        raise ValueError(
            f"{backbone.spec.name} is not simply its layers one after the other, so its frozen part cannot be cached: "
            "train without a cache"
        )
    setattr(front[0][0], front[0][1], CachedFront(network, folder))
    return backbone.train(mode)


def _computing(network: nn.Module) -> Callable[[Tensor], list[Tensor]]:
    """The network as a function; a closure, so that no module counts it among its own."""

    def compute(images: Tensor) -> list[Tensor]:
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            features = network.to(images.device)(images)
        return features if isinstance(features, list) else [features]

    return compute


def _sequence(parent: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """`(parent, name, layer)` in the order of execution, the entries of sequences one by one."""
    for name, module in parent.named_children():
        if isinstance(module, nn.Sequential):
            yield from _sequence(module)
        else:
            yield parent, name, module


def _is_fixed(layer: nn.Module, backbone: Backbone) -> bool:
    tapped = {backbone.net.get_submodule(tap.module) for tap in backbone.taps}
    return not tapped.intersection(layer.modules()) and not any(p.requires_grad for p in layer.parameters())
