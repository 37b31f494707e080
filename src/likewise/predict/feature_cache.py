"""A backbone that keeps the features of recent images, for programs that see the same images again."""

from collections.abc import Hashable
from threading import Lock
from typing import Any

import torch
from cachetools import LRUCache, cached
from jaxtyping import Float
from torch import Tensor, nn

from likewise.io.digests import pixels_key


class CachedBackbone(nn.Module):
    """A frozen backbone with a cache of feature maps, keyed by the content of each normalised image.

    Args:
        backbone: the backbone (`likewise.backbones.taps.Backbone`).
        limit: of the cached features, in bytes.
    """

    def __init__(self, backbone: Any, limit: int) -> None:
        super().__init__()
        self.spec, self.taps, self.normalise = backbone.spec, backbone.taps, backbone.normalise
        self.backbone = backbone
        self.passes = 0
        self.cache: LRUCache[Hashable, list[Tensor]] = LRUCache(
            limit, getsizeof=lambda levels: sum(level.nbytes for level in levels)
        )
        self._features = cached(self.cache, key=content_key, lock=Lock())(self._compute)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """The backbone's feature maps, computed one image at a time."""
        found = [self._features(image) for image in images.split(1)]
        return [torch.cat(level) for level in zip(*found, strict=True)]

    def _compute(self, image: Tensor) -> list[Tensor]:
        self.passes += 1
        return self.backbone(image)


def content_key(image: Tensor) -> Hashable:
    """A cache key from the content of a normalised image."""
    return pixels_key(image.movedim(1, -1).contiguous().cpu().view(torch.uint8).numpy())
