"""Masks from clicks, boxes and strokes.

selector = Selector("cat.jpg")                       # features and colours of the image, once
mask = selector.mask(points=[(210, 140)])            # True where the object is, at the size of the image
mask = selector.mask(points=[(210, 140), (40, 60)], labels=[1, 0], previous=mask)
mask = selector.mask(box=(120, 60, 330, 290))

    image -> features, colours --------+
    clicks, box, strokes -> planes ----+-> network -> edges -> mask
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from likewise.engine.onnx import MARKS, OnnxBackbone, OnnxGraph
from likewise.engine.protocol import FeatureExtractor
from likewise.errors import ModelError
from likewise.io.images import ScaledImage, Source, read_scaled
from likewise.io.marks import Box
from likewise.io.resize import cell_means
from likewise.ops.bilinear import resize_bilinear
from likewise.ops.prototypes import sigmoid
from likewise.predict.edges import LARGEST, refine_edges
from likewise.predict.inputs import Inputs
from likewise.predict.selector_planes import Seeds, boxes_mask, check_shape, planes_of, seeds_of, view_of
from likewise.weights.names import PANET_LITE0, SELECTOR_LITE0

SIDE = 384
"""The network sees about `SIDE` x `SIDE` pixels; it was trained at this size."""


class Selector:
    """Makes masks of one image. Opening takes the time, a mask then little. Several threads may use one.

    Args:
        image: see `likewise.read_image`.
        extractor: the backbone of the bundled models, where one is open already (`FewShot.extractor`).

    Raises:
        ImageError: an image that cannot be read or is too small.
        ModelError: another backbone.
    """

    def __init__(self, image: Source | ScaledImage, *, extractor: FeatureExtractor | None = None) -> None:
        scaled = read_scaled(image, LARGEST)
        self.image, self.size = scaled.pixels, scaled.size
        self._network, backbone = marks_network(), extractor or bundled_backbone()
        if backbone.fingerprint != self._network.fingerprint:
            raise ModelError(f"{backbone} is another backbone than that of {self._network.name}; leave it out")
        resized = Inputs(SIDE, 2 * backbone.multiple, backbone.multiple).resize(self.image)
        self._view = view_of(resized, backbone.features(resized[None]))
        self._grid = self._view.colours.shape[1], self._view.colours.shape[2]

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
            box: `(x0, y0, x1, y1)` in pixels around the object, or several; nothing outside is the object.
            strokes: 0 unknown, 1 object, 2 not the object.
            previous: the mask so far, which these marks, together with all before, correct.

        Raises:
            ArgumentError: no mark of the object, a point outside the image, an impossible box or label, or arrays of
                another size.
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
        if previous is not None:
            check_shape("previous", previous, self.size)
            previous = cell_means(previous, self._grid) > 0.5
        seeds = seeds_of(self.size, self._grid, points, labels, box, strokes)
        found = resize_bilinear(self.coarse(seeds, previous), (self.image.shape[0], self.image.shape[1]))
        found = resize_bilinear(refine_edges(np.stack([1 - found, found]), self.image)[1], self.size)
        return found if box is None else found * boxes_mask(box, self.size)

    def coarse(self, seeds: Seeds, previous: Bool[np.ndarray, "hg wg"] | None = None) -> Float32[np.ndarray, "hg wg"]:
        """Return the probability of the object at the grid of the marks."""
        coarse, fine = planes_of(self._view, seeds, previous)
        inputs = {"middle": self._view.middle, "deep": self._view.deep, "coarse": coarse, "fine": fine}
        found = sigmoid(self._network.run({name: plane[None] for name, plane in inputs.items()})[0][0])
        if seeds.limit is not None:
            found[~seeds.limit] = 0
        found[seeds.inside], found[seeds.outside] = 1, 0
        return found


@lru_cache(maxsize=1)
def bundled_backbone() -> OnnxBackbone:
    """Return the backbone of the default model."""
    return OnnxBackbone(PANET_LITE0[1]["backbone"])


@lru_cache(maxsize=1)
def marks_network() -> OnnxGraph:
    """Return the network that reads marks."""
    return OnnxGraph(SELECTOR_LITE0, MARKS)
