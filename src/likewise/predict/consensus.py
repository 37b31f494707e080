"""The second pass over a group in closed form: prototypes of what recurs, in place of ICNet.

consensus = Consensus(cosaliency)
shared = consensus.learn(images)                 # compares up to 32 of them
consensus.segment("1.jpg", shared).mask
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from likewise.errors import ImageError
from likewise.io.images import ScaledImage, Source, read_scaled
from likewise.io.paths import ImageFile
from likewise.io.prefetch import prefetch
from likewise.ops.bilinear import resize_bilinear
from likewise.ops.consensus import MOST_COMPARED, consensus_odds, learn_consensus
from likewise.ops.prototypes import Prototypes, sigmoid
from likewise.predict.co_saliency import COMMON, CoSaliency
from likewise.predict.edges import LARGEST
from likewise.predict.few_shot import FewShot
from likewise.predict.result import Result, map_result

CERTAIN = 1e-3
"""Smallest probability of a saliency map, so that its log-odds are finite."""


class Consensus:
    """Segments what the images of a group share, from their saliency maps and `prototypes-lite0`'s features.

    Args:
        cosaliency: whose maps, engine, device and edge refinement it uses.
        few_shot: whose features it uses: by default "prototypes-lite0"; "prototypes" on any backbone.
    """

    def __init__(self, cosaliency: CoSaliency, few_shot: FewShot | None = None) -> None:
        self.cosaliency = cosaliency
        self.few_shot = few_shot or FewShot(
            engine=cosaliency.engine, device=str(cosaliency.device), quality="fast", edges=False
        )

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that determine the results, beside those of the maps, for the records of a run."""
        return {"then": "consensus", "then weights": self.few_shot.fingerprint, "side": self.few_shot.side}

    def learn(
        self, images: Sequence[ImageFile], *, progress: Callable[[int, int], None] | None = None
    ) -> Prototypes | None:
        """Return the prototypes of what the images share; None if no saliency map marks anything.

        Compares at most `MOST_COMPARED` images, evenly spread over the list. Unreadable images are skipped.

        Args:
            progress: called with (images done, all images that are compared).
        """
        count = min(len(images), MOST_COMPARED)
        chosen = [images[index * len(images) // count] for index in range(count)]
        features, maps = [], []
        for index, (_, reading) in enumerate(prefetch(chosen, partial(read_scaled, short=LARGEST))):
            with suppress(ImageError):
                image = reading.result()
                saliency = self.cosaliency.sism(image)
                features.append(self.few_shot.features(image.pixels))
                maps.append(saliency)
            if progress:
                progress(index + 1, count)
        return learn_consensus(features, maps) if maps else None

    def segment(self, image: Source | ScaledImage | ImageFile, shared: Prototypes | None) -> Result:
        """Segment the shared object in one image, of the group or another; without prototypes, return its map.

        Raises:
            ImageError: an image that has no map in the folder of maps.
        """
        scaled = read_scaled(image, LARGEST)
        pixels, saliency = scaled.pixels, self.cosaliency.sism(scaled)
        size = pixels.shape[0], pixels.shape[1]
        probability = resize_bilinear(saliency, size).clip(CERTAIN, 1 - CERTAIN)
        if shared is not None:
            odds = resize_bilinear(consensus_odds(self.few_shot.features(pixels), saliency, shared), size)
            probability = sigmoid(np.log(probability / (1 - probability)) + odds)
        return map_result(probability, COMMON, scaled, edges=self.cosaliency.edges)
