"""Masks from clicks, boxes and strokes.

selector = Selector("cat.jpg")                       # features, colours and edges of the image, once
mask = selector.mask(points=[(210, 140)])            # True where the object is, at the size of the image
mask = selector.mask(points=[(210, 140), (40, 60)], labels=[1, 0])
mask = selector.mask(box=(120, 60, 330, 290))

    image -> features, colours, edges
    clicks, box, strokes -> seeds -> prior of each position (similarity, colours) -> random walk -> edges -> mask
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8
from PIL import Image

from likewise.engine.protocol import FeatureExtractor
from likewise.errors import ArgumentError
from likewise.io.images import Source, read_image
from likewise.io.marks import Box, box_mask
from likewise.io.resize import resize_image
from likewise.ops.bilinear import resize_bilinear
from likewise.ops.prototypes import sigmoid
from likewise.ops.random_walk import edge_weights, random_walk
from likewise.predict.edges import refine_edges
from likewise.predict.heads.open import open_head
from likewise.predict.heads.prototypes import PrototypesHead
from likewise.predict.inputs import Inputs
from likewise.weights import DEFAULT_MODEL

GRID = 128
"""Seeds are spread over about `GRID` x `GRID` positions."""
SIDE = 480
"""The network sees about `SIDE` x `SIDE` pixels."""
CONTRAST = 4.0
"""How much colour differences stop the random walk."""
HOLD = 0.02
"""How firmly a position is held to its prior; a neighbour of the same colour has weight 1."""
SEED = 100.0
"""How firmly a seed is held."""
BINS = 16
"""Bins of a colour channel."""
ROUNDS = 2
"""Times that colours are learned from the mask so far."""


class Selector:
    """Makes masks of one image. Opening takes the time; masks then follow within 150 ms. Safe for several threads.

    Args:
        image: see `likewise.read_image`.
        extractor: the backbone, such as `FewShot.extractor`; the bundled one if None.

    Raises:
        ImageError: an image that cannot be read or is too small.
    """

    def __init__(self, image: Source, *, extractor: FeatureExtractor | None = None) -> None:
        self.image = read_image(image)
        self.size = self.image.shape[0], self.image.shape[1]
        extractor = extractor or bundled_extractor()
        inputs = Inputs(SIDE, extractor.multiple, extractor.multiple)
        found = extractor.features(inputs.resize(self.image)[None])
        self.grid = Inputs(GRID, 16, 1).size(*self.size)
        small = resize_image(self.image, *self.grid)
        colours = np.asarray(Image.fromarray(small).convert("LAB"), np.float32).transpose(2, 0, 1) / 255
        self.colours = colours
        bins = (colours * BINS).astype(int).clip(0, BINS - 1)
        self.bins = (bins[0] * BINS + bins[1]) * BINS + bins[2]
        self.weights = edge_weights(colours, contrast=CONTRAST)
        self.features = [_centred(level[0]) for level in found.levels]

    def __repr__(self) -> str:
        return f"Selector({self.size[1]}x{self.size[0]})"

    def mask(
        self,
        points: Sequence[tuple[float, float]] = (),
        labels: Sequence[int] | None = None,
        box: Box | Sequence[Box] | None = None,
        strokes: UInt8[np.ndarray, "h w"] | None = None,
        previous: Bool[np.ndarray, "h w"] | None = None,
    ) -> Bool[np.ndarray, "h w"]:
        """Return where the object is.

        Args:
            points: `(x, y)` in pixels.
            labels: for each point 1, on the object, or 0, not on it; all on it if None.
            box: `(x0, y0, x1, y1)` in pixels around the object, or several; the object lies inside.
            strokes: 0 unknown, 1 object, 2 not the object.
            previous: the mask so far, which changes where the marks ask for it.

        Raises:
            ArgumentError: no mark of the object, a point outside the image, an impossible box, or arrays of another
                size.
        """
        return self.probability(points, labels, box, strokes, previous) > 0.5

    def probability(
        self,
        points: Sequence[tuple[float, float]] = (),
        labels: Sequence[int] | None = None,
        box: Box | Sequence[Box] | None = None,
        strokes: UInt8[np.ndarray, "h w"] | None = None,
        previous: Bool[np.ndarray, "h w"] | None = None,
    ) -> Float32[np.ndarray, "h w"]:
        """Return the probability of the object; arguments and errors are those of `mask`."""
        seeds = self._seeds(points, labels, box, strokes)
        prior = self._similarity(seeds)
        if previous is not None:
            if previous.shape != self.size:
                raise ArgumentError(f"previous is {previous.shape}; the image is {self.size}")
            before = _shrink(previous.astype(np.float32), self.grid)
            prior = 0.5 * prior + 0.5 * before
        found = self._walk(prior, seeds)
        for _ in range(ROUNDS):
            found = self._walk(0.5 * prior + 0.5 * self._colour_prior(found, seeds), seeds)
        found = np.stack([1 - found, found])
        return refine_edges(resize_bilinear(found, self.size), self.image)[1]

    def _seeds(
        self,
        points: Sequence[tuple[float, float]],
        labels: Sequence[int] | None,
        box: Box | Sequence[Box] | None,
        strokes: UInt8[np.ndarray, "h w"] | None,
    ) -> Seeds:
        height, width = self.grid
        inside, outside = np.zeros(self.grid, bool), np.zeros(self.grid, bool)
        labels = [1] * len(points) if labels is None else list(labels)
        if len(labels) != len(points):
            raise ArgumentError(f"{len(points)} points and {len(labels)} labels; give one label for each point")
        rows, columns = np.ogrid[:height, :width]
        for (x, y), label in zip(points, labels, strict=True):
            if not (0 <= x < self.size[1] and 0 <= y < self.size[0]):
                raise ArgumentError(f"point {x:g},{y:g} lies outside the image of {self.size[1]}x{self.size[0]} pixels")
            row, column = int(y * height / self.size[0]), int(x * width / self.size[1])
            disc = (rows - row) ** 2 + (columns - column) ** 2 <= 2
            (inside if label else outside)[disc] = True
        if strokes is not None:
            if strokes.shape != self.size:
                raise ArgumentError(f"strokes are {strokes.shape}; the image is {self.size}")
            for value, plane in ((1, inside), (2, outside)):
                plane |= _shrink((strokes == value).astype(np.float32), self.grid) > 0
        limit = None
        if box is not None:
            boxes = box if np.ndim(box) > 1 else [box]
            limit = np.any([box_mask(one, self.size) for one in boxes], axis=0)  # type: ignore[arg-type]
            limit = _shrink(limit.astype(np.float32), self.grid) >= 0.5
            outside |= ~limit
        if not inside.any() and limit is None:
            raise ArgumentError("nothing marks the object; give a point with label 1, a box or a stroke")
        return Seeds(inside, outside & ~inside, limit)

    def _similarity(self, seeds: Seeds) -> Float32[np.ndarray, "h w"]:
        """Return a prior from the features: more similar to the object's seeds than to the rest."""
        if not seeds.inside.any():
            assert seeds.limit is not None
            return np.where(seeds.limit, np.float32(0.6), np.float32(0))
        logit = np.zeros(self.grid, np.float32)
        for features in self.features:
            size = (features.shape[1], features.shape[2])
            own = _shrink(seeds.inside.astype(np.float32), size).ravel()
            flat = features.reshape(len(features), -1)
            centre = flat @ (own / own.sum())
            near = (centre @ flat) / max(float(np.linalg.norm(centre)), 1e-6)
            if seeds.outside.any():
                other = _shrink(seeds.outside.astype(np.float32), size).ravel()
                away = flat @ (other / other.sum())
                near = near - 0.5 * np.maximum((away @ flat) / max(float(np.linalg.norm(away)), 1e-6), 0)
            logit += resize_bilinear((8 * (near - 0.4)).reshape(size).astype(np.float32), self.grid)
        return sigmoid(logit)

    def _colour_prior(self, found: Float32[np.ndarray, "h w"], seeds: Seeds) -> Float32[np.ndarray, "h w"]:
        """Return the probability by the colours of the mask so far."""
        return _histogram_ratio(self.bins, found)

    def _walk(self, prior: Float32[np.ndarray, "h w"], seeds: Seeds) -> Float32[np.ndarray, "h w"]:
        target = np.where(seeds.inside, np.float32(1), np.where(seeds.outside, np.float32(0), prior))
        strength = np.where(seeds.inside | seeds.outside, np.float32(SEED), np.float32(HOLD))
        return random_walk(self.weights, target, strength)


class Seeds(NamedTuple):
    """What is known of the positions of the grid.

    Attributes:
        inside: on the object.
        outside: not on it.
        limit: the boxes.
    """

    inside: Bool[np.ndarray, "h w"]
    outside: Bool[np.ndarray, "h w"]
    limit: Bool[np.ndarray, "h w"] | None


@lru_cache(maxsize=1)
def bundled_extractor() -> FeatureExtractor:
    """Return the backbone of the default model."""
    head = open_head(DEFAULT_MODEL, "lite0", (), None).head
    assert isinstance(head, PrototypesHead)
    return head.extractor


def _centred(features: Float32[np.ndarray, "c h w"]) -> Float32[np.ndarray, "c h w"]:
    """Return unit features less their mean, of unit length again."""
    unit = features / np.maximum(np.linalg.norm(features, axis=0), 1e-6)
    unit = unit - unit.mean(axis=(1, 2), keepdims=True)
    return unit / np.maximum(np.linalg.norm(unit, axis=0), 1e-6)


def _shrink(plane: Float32[np.ndarray, "h w"], size: tuple[int, int]) -> Float32[np.ndarray, "h2 w2"]:
    """Return the mean over the cells of a coarser plane."""
    return np.asarray(Image.fromarray(plane).resize((size[1], size[0]), Image.Resampling.BOX))


def _histogram_ratio(bins: Int[np.ndarray, "h w"], found: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Return the probability of each position by smoothed colour histograms of the object and of the rest."""
    count = BINS**3
    own = np.bincount(bins.ravel(), found.ravel(), count).reshape(BINS, BINS, BINS)
    other = np.bincount(bins.ravel(), 1 - found.ravel(), count).reshape(BINS, BINS, BINS)
    own, other = _smooth(own), _smooth(other)
    own, other = own / max(own.sum(), 1e-6) + 1e-5, other / max(other.sum(), 1e-6) + 1e-5
    return (own / (own + other)).ravel()[bins].astype(np.float32)


def _smooth(histogram: Float[np.ndarray, "l a b"]) -> Float[np.ndarray, "l a b"]:
    """Return a histogram blurred along its three axes."""
    for axis in range(3):
        own = np.moveaxis(histogram, axis, 0)
        padded = np.concatenate([own[:1], own, own[-1:]])
        histogram = np.moveaxis(0.25 * padded[:-2] + 0.5 * own + 0.25 * padded[2:], 0, axis)
    return histogram
