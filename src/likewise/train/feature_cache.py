"""A disk cache for the features of a backbone's frozen layers.

    images --> digest --> row of a memory-mapped file, or the frozen layers, whose output becomes a new row

`cache_frozen` replaces the frozen layers before the first trainable one; the model's code stays the same. The key is
a digest of the normalised image, so each crop, mirror image and size has its own row. Features are stored in half
precision, and newly computed features are rounded to it too, so reading a row and computing it give the same bits.
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
from likewise.errors import TrainingError
from likewise.io.atomic import write_atomically
from likewise.weights.checkpoint import fingerprint

KEY_BYTES = 16
"""Length of an image digest (BLAKE2b)."""


class Rows:
    """Rows of half-precision features in a folder, for images of one size and one frozen network.

    Each process appends to its own part, the row before its key, so processes share the folder without a lock and an
    interrupted write leaves no valid key.

    Args:
        folder: created if missing; existing rows are indexed.
        shapes: shapes of the feature maps of a row, without the batch axis.
    """

    def __init__(self, folder: Path, shapes: list[tuple[int, ...]]) -> None:
        self.folder = folder
        self.shapes = shapes
        self.values = sum(math.prod(shape) for shape in shapes)
        self.index: dict[bytes, tuple[Path, int]] = {}
        self.maps: dict[Path, Float16[np.ndarray, "rows values"]] = {}
        self.part: tuple[Path, BinaryIO, BinaryIO] | None = None
        for keys in sorted(folder.glob("part-*/keys")):
            rows = keys.with_name("rows")
            count = min(keys.stat().st_size // KEY_BYTES, rows.stat().st_size // (2 * self.values))
            content = keys.read_bytes()
            for index in range(count):
                self.index.setdefault(content[index * KEY_BYTES : (index + 1) * KEY_BYTES], (rows, index))

    def __contains__(self, key: bytes) -> bool:
        return key in self.index

    def read(self, key: bytes) -> list[Float16[np.ndarray, "..."]]:
        """Return a copy of the feature maps of a key."""
        path, index = self.index[key]
        if path not in self.maps or index >= len(self.maps[path]):
            stored = path.stat().st_size // (2 * self.values)
            self.maps[path] = np.memmap(path, np.float16, "r", shape=(stored, self.values))
        row = np.array(self.maps[path][index])
        ends = itertools.accumulate(math.prod(shape) for shape in self.shapes)
        return [part.reshape(shape) for part, shape in zip(np.split(row, list(ends)[:-1]), self.shapes, strict=True)]

    def add(self, key: bytes, features: list[Float16[np.ndarray, "..."]]) -> None:
        """Append a row."""
        if self.part is None:
            self.part = self._open_part()
        path, rows, keys = self.part
        index = rows.tell() // (2 * self.values)
        for part in features:
            rows.write(part.tobytes())
        rows.flush()
        keys.write(key)
        keys.flush()
        self.index[key] = path, index

    def _open_part(self) -> tuple[Path, BinaryIO, BinaryIO]:
        for number in itertools.count():
            part = self.folder / f"part-{number}"
            try:
                part.mkdir(parents=True)
            except FileExistsError:
                continue
            return part / "rows", (part / "rows").open("wb"), (part / "keys").open("wb")
        raise AssertionError("unreachable: itertools.count is infinite")


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
        self.rows: dict[tuple[int, int], Rows] = {}
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
        key = hashlib.blake2b(pixels.data, digest_size=KEY_BYTES).digest()
        size = (image.shape[-2], image.shape[-1])
        rows = self.rows.get(size) or self._open(size)
        if rows is not None and key in rows:
            return rows.read(key)
        # one image at a time, since rounding can depend on the batch size
        features = [level[0].half().cpu().numpy() for level in self.compute(image[None])]
        self.computed += 1
        if rows is None:
            rows = self._open(size, [level.shape for level in features])
            assert rows is not None
        rows.add(key, features)
        return features

    def _open(self, size: tuple[int, int], shapes: list[tuple[int, ...]] | None = None) -> Rows | None:
        """Return the rows for images of that size; None if there are none and `shapes` is None."""
        folder = self.folder / f"{size[0]}x{size[1]}"
        path = folder / "shapes.json"
        if shapes is not None:
            with write_atomically(path) as part:
                part.write_text(json.dumps(shapes))
        elif not path.is_file():
            return None
        else:
            shapes = [tuple(shape) for shape in json.loads(path.read_text())]
        self.rows[size] = Rows(folder, shapes)
        return self.rows[size]


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
