"""The default method: prototypes and a discriminant in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, UInt8

from likewise.ops.discriminant import LearnedClass, class_odds, learn_class, own_odds
from likewise.ops.prototypes import (
    SupportStatistics,
    join_classes,
    merge_statistics,
    probabilities,
    resize_mask,
    support_statistics,
)
from likewise.predict.heads.features import Encoded, FeatureHead, Prepared
from likewise.predict.heads.protocol import Found, Mask
from likewise.predict.inputs import Pixels
from likewise.predict.presence import are_present, folded_semantic_rows, semantic_rows
from likewise.predict.second_look import PREFIX, look_again, mean_of_looks


class PrototypesHead(FeatureHead):
    """Whitened self-support prototypes (`likewise.ops.prototypes`) and a linear discriminant of the examples' pixels
    (`likewise.ops.discriminant`) on the features of any backbone.

    A class has its own pair of prototypes; classes compete with their odds against their background. At the second look
    the statistics of both sizes count the same, since an object may be of another size than in the examples, and the
    discriminant of the image itself joins in (`look_closer`).

    Args:
        extractor: computes the features. All its taps are concatenated.
        world: of its semantic map; without one, presence is not judged.
    """

    finer_rows: tuple[str, ...] = SupportStatistics._fields

    def shapes(self) -> dict[str, tuple[int, ...]]:
        c = self.extractor.channels
        return {"means": (2, c), "sums": (2, c), "shares": (2,), "squares": (c, c), "weights": (2,)}

    def learn(
        self, image: UInt8[np.ndarray, "h w 3"], foreground: Mask, background: Mask, *, absent: bool = False
    ) -> dict[str, np.ndarray]:
        size = (image.shape[0], image.shape[1])
        inside = resize_mask(foreground, size)
        outside = resize_mask(background, size) & ~inside if background.any() else np.zeros_like(inside)
        ((features, semantic),) = self.encode(image[None])
        own, other = (np.zeros_like(inside), inside) if absent else (inside, outside)
        statistics = support_statistics(features, own, other)
        rows = {name: np.asarray(part, np.float16)[None] for name, part in statistics._asdict().items()}
        return rows | semantic_rows(semantic, inside, absent=absent)

    def merge(self, ways: Sequence[dict[str, np.ndarray]]) -> list[LearnedClass]:
        """Return what is known of each class from its rows."""
        return [learn_class(statistics_in(way), way["count"]) for way in ways]

    def rows_of_second_look(self, way: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        own = {name: way[name].astype(np.float32) for name in self.finer_rows}
        return {name: (part + way[PREFIX + name]) / 2 for name, part in own.items()}

    def fold(self, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return one row that stands for several examples."""
        folded: dict[str, np.ndarray] = {}
        for prefix in [prefix for prefix in ("", PREFIX) if f"{prefix}means" in rows]:
            merged = merge_statistics(statistics_in(rows, prefix), rows["count"])
            folded |= {prefix + name: np.asarray(part, np.float16)[None] for name, part in merged._asdict().items()}
        return folded | folded_semantic_rows(rows)

    def answer(
        self,
        encoded: Encoded,
        prepared: Prepared,
        size: tuple[int, int] | None = None,
        thresholds: Sequence[float] = (),
        finer: Pixels | None = None,
    ) -> Found:
        look = self.look(encoded, prepared)
        judged = prepared.judge(look) if prepared.judge else None
        odds = look.odds
        present = are_present(judged, thresholds, len(odds))
        logits = [one.logit for one in judged] if judged else [0.0] * len(odds)
        if finer is not None and any(present):
            odds = look_again(
                odds,
                odds[present].max(axis=0),
                finer,
                self.taps_of,
                lambda features, first: self.look_closer(features, first, prepared.finer, logits, present),
                multiple=self.multiple,
            )
        return Found(
            probabilities(join_classes(list(odds), logits, present), size or encoded.features.shape[1:]), judged
        )

    def look_closer(
        self,
        features: Float32[np.ndarray, "c h w"],
        first: Float32[np.ndarray, "k h w"],
        ways: Sequence[LearnedClass],
        logits: Sequence[float],
        present: Sequence[bool],
    ) -> Float32[np.ndarray, "k h w"]:
        """Return the log-odds of both looks and of the image's own discriminant.

        It tells the objects of all classes from the rest, so it raises the class that wins a position, and lowers all.
        It counts as one example beside those of a class.

        Args:
            features: of the second look.
            first: log-odds of the first look at their positions.
            logits: for each class, the log-odds that it is in the image.
            present: for each class, whether it is taken to be there.
        """
        odds = mean_of_looks(first, self.odds(features, ways))
        own = own_odds(features, odds[np.array(present)].max(axis=0))
        winner = np.argmax(join_classes(list(odds), logits, present), axis=0)
        raises = winner == np.arange(len(odds))[:, None, None]
        shots = np.array([way.prototypes.shots for way in ways], np.float32)[:, None, None]
        return odds + np.where(raises, own, np.minimum(own, 0)) / shots

    def odds(self, features: Float32[np.ndarray, "c h w"], own: Sequence[LearnedClass]) -> Float32[np.ndarray, "k h w"]:
        return np.stack([class_odds(features, way) for way in own])


def statistics_in(rows: dict[str, np.ndarray], prefix: str = "") -> SupportStatistics:
    return SupportStatistics(*(rows[prefix + name] for name in SupportStatistics._fields))
