"""PANet's method on any features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, UInt8

from likewise.engine.protocol import FeatureExtractor
from likewise.ops.bilinear import resize_bilinear
from likewise.ops.presence import World
from likewise.ops.prototypes import cosine, masked_mean, softmax
from likewise.predict.heads.features import Encoded, FeatureHead, Prepared
from likewise.predict.heads.protocol import Found, Mask
from likewise.predict.inputs import Pixels
from likewise.predict.presence import Look, are_present, folded_semantic_rows, mean_row, semantic_rows
from likewise.predict.second_look import PREFIX, look_again, mean_of_looks


class PANetHead(FeatureHead):
    """PANet as published: shots are averaged into one prototype per class, and a softmax over cosines decides.

    Args:
        extractor: computes the features. All its taps are concatenated.
        world: of its semantic map; without one, presence is not judged.
        scale: factor of the cosine (`likewise.models.panet.PANetConfig`, as the next two).
        pool_at: pool support features at the size of the "mask" or of the "features".
        align_corners: of every resize.
    """

    finer_rows: tuple[str, ...] = ("foreground", "background")

    def __init__(
        self,
        extractor: FeatureExtractor,
        world: World | None = None,
        *,
        scale: float = 20.0,
        pool_at: str = "mask",
        align_corners: bool = False,
    ) -> None:
        super().__init__(extractor, world, align_corners=align_corners)
        self.scale, self.pool_at = scale, pool_at

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return dict.fromkeys(self.finer_rows, (self.extractor.channels,))

    def learn(
        self, image: UInt8[np.ndarray, "h w 3"], foreground: Mask, background: Mask, *, absent: bool = False
    ) -> dict[str, np.ndarray]:
        ((features, semantic),) = self.encode(image[None])
        rows = {}
        for name, mask in (("foreground", foreground), ("background", background)):
            weights = mask.astype(np.float32)
            if self.pool_at == "features":
                size = (features.shape[1], features.shape[2])
                weights = resize_bilinear(weights, size, align_corners=self.align_corners)
            rows[name] = masked_mean(features, weights, align_corners=self.align_corners)[None]
        return rows | semantic_rows(semantic, foreground, absent=absent)

    def merge(self, ways: Sequence[dict[str, np.ndarray]]) -> Float32[np.ndarray, "k c"]:
        """Return the background prototype, averaged over classes and shots, then one per class (PANet, section 3.2)."""
        background = np.mean([mean_row(way, "background") for way in ways], axis=0)
        return np.stack([background, *(mean_row(way, "foreground") for way in ways)])

    def fold(self, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return one row that stands for several examples."""
        names = [prefix + name for prefix in ("", PREFIX) for name in self.finer_rows if prefix + name in rows]
        return {name: mean_row(rows, name)[None] for name in names} | folded_semantic_rows(rows)

    def answer(
        self,
        encoded: Encoded,
        prepared: Prepared,
        size: tuple[int, int] | None = None,
        thresholds: Sequence[float] = (),
        finer: Pixels | None = None,
    ) -> Found:
        query, semantic = encoded
        logits = self.read(query, prepared.own)
        judged = prepared.judge(Look(semantic, logits[1:] - logits[0])) if prepared.judge else None
        present = are_present(judged, thresholds, len(logits) - 1)
        if finer is not None and any(present):
            logits = look_again(
                logits,
                (logits[1:] - logits[0])[present].max(axis=0),
                finer,
                self.taps_of,
                lambda features, first: mean_of_looks(first, self.read(features, prepared.finer)),
                multiple=self.multiple,
            )
        for way, there in enumerate(present, start=1):
            if not there:
                logits[way] = logits.min()
        planes = resize_bilinear(logits, size or query.shape[1:], align_corners=self.align_corners)
        return Found(softmax(planes), judged)

    def odds(
        self, features: Float32[np.ndarray, "c h w"], own: Float32[np.ndarray, "k c"]
    ) -> Float32[np.ndarray, "ways h w"]:
        logits = self.read(features, own)
        return logits[1:] - logits[0]

    def read(
        self, features: Float32[np.ndarray, "c h w"], prototypes: Float32[np.ndarray, "k c"]
    ) -> Float32[np.ndarray, "k h w"]:
        """Return the logits of background and classes."""
        return self.scale * cosine(prototypes, features.reshape(len(features), -1)).reshape(-1, *features.shape[1:])
