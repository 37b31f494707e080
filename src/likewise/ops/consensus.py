"""What the images of a group share, in closed form: prototypes of the salient parts that recur in the other images.

    features, saliency maps --> recurrence --> weak examples --> form_prototypes --> log_odds --+
                                                    ^                                           |
                                                    +--------------- three rounds --------------+
    features, saliency map of any image, Prototypes --> consensus_odds --> added to the map's log-odds

Ours; nothing is trained. A position recurs if every other image has a similar position where its map is salient, and
none as similar where it is not: grass recurs as background, and a second salient thing recurs in few images. Maps cut
by recurrence are the examples of `likewise.ops.prototypes`, an image is one shot, and the masks that its prototypes
give are the examples of the next round. Within an image, the part that agrees best with the prototypes then competes
with its other salient parts and with its background, so that a second thing is dropped as a whole.

Constants were chosen on five co-segmentation groups (experiments/16-icnet-group).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float32

from likewise.ops.bilinear import resize_bilinear
from likewise.ops.prototypes import (
    Prototypes,
    SupportStatistics,
    cosine,
    form_prototypes,
    log_odds,
    merge_statistics,
    side_weights,
    sigmoid,
    support_statistics,
    unit_length,
)

MOST_COMPARED = 32
"""Images of a group that are compared with each other: the time grows with the square."""
SALIENT, NOT_SALIENT = 0.5, 0.3
"""Values of a saliency map above and below which a position is taken as salient and as not."""
FEWEST_POSITIONS = 3
"""Positions that a region has at least to take part."""
RECURRENCE_SCALE = 40.0
"""Factor that turns recurrence, a difference of cosines, into the log-odds that weigh a position."""
ROUNDS = 3
"""Times that prototypes are formed; chosen with the other constants (experiments/16-icnet-group)."""
ODDS_WEIGHT = 3.0
"""Weight of the prototypes' log-odds against the map's."""
CONTRAST_SCALE = 20.0
"""Factor of the contrast within the image, a difference of cosines."""
BEST_PART = 0.6
"""Share of the image's high log-odds from which a salient position belongs to the part that agrees best."""

Map = Float32[np.ndarray, "h w"]
AnyMap = Float32[np.ndarray, "_h _w"]


def learn_consensus(features: Sequence[Float32[np.ndarray, "c _h _w"]], maps: Sequence[AnyMap]) -> Prototypes | None:
    """Return the prototypes of what the images share, or None if no map has a salient part.

    Args:
        features: of at most `MOST_COMPARED` images.
        maps: their saliency maps in [0, 1], of any size.
    """
    units = [unit_length(image) for image in features]
    values = [map_at_positions(each, (unit.shape[1], unit.shape[2])) for each, unit in zip(maps, units, strict=True)]
    masks = []
    for value, recurs in zip(values, recurrence(units, values), strict=True):
        weight = value * sigmoid(RECURRENCE_SCALE * recurs)
        masks.append(weight > 0.5 * max(float(weight.max()), 1e-3))
    prototypes = None
    for _ in range(ROUNDS):
        shots = [weak_example(unit, mask) for unit, mask in zip(units, masks, strict=True) if enough(mask)]
        if not shots:
            break
        stacked = (np.stack([np.asarray(part) for part in parts]) for parts in zip(*shots, strict=True))
        prototypes = form_prototypes(merge_statistics(SupportStatistics(*stacked)), len(shots))
        masks = [log_odds(unit, prototypes) > 0 for unit in units]
    return prototypes


def consensus_odds(
    features: Float32[np.ndarray, "c hf wf"], saliency: Map, prototypes: Prototypes
) -> Float32[np.ndarray, "hf wf"]:
    """Return the log-odds, at the features' positions, to add to those of the image's saliency map."""
    unit = unit_length(features)
    odds = log_odds(unit, prototypes)
    value = map_at_positions(saliency, (unit.shape[1], unit.shape[2]))
    salient = (value > SALIENT) | (odds > 0)
    background = (value < NOT_SALIENT) & (odds < 0)
    found = ODDS_WEIGHT * odds
    if not (enough(salient) and enough(background)):
        return found
    best = salient & (odds > BEST_PART * max(float(np.quantile(odds[salient], 0.9)), 0))
    if not enough(best):
        return found
    others = [background] + [part for part in [salient & ~best] if enough(part)]
    flat = unit.reshape(len(unit), -1)
    own, *rivals = cosine(np.stack([unit[:, part].mean(axis=1) for part in [best, *others]]), flat)
    return found + CONTRAST_SCALE * (own - np.max(rivals, axis=0)).reshape(odds.shape)


def recurrence(
    units: Sequence[Float32[np.ndarray, "c _h _w"]], maps: Sequence[AnyMap]
) -> list[Float32[np.ndarray, "_h _w"]]:
    """Return how much each position recurs as salient: the mean over the other images of a difference of cosines.

    The largest cosine with a salient position of the other image minus the largest one with a position that is not
    salient. 0 where no other image has both.
    """
    flat = [unit.reshape(len(unit), -1) for unit in units]
    sides = [
        (own[:, (each > SALIENT).ravel()], own[:, (each < NOT_SALIENT).ravel()])
        for own, each in zip(flat, maps, strict=True)
    ]
    counted = [min(inside.shape[1], outside.shape[1]) >= FEWEST_POSITIONS for inside, outside in sides]
    found = []
    for index, (own, unit) in enumerate(zip(flat, units, strict=True)):
        total, count = np.zeros(own.shape[1], np.float32), 0
        for other, (inside, outside) in enumerate(sides):
            if other != index and counted[other]:
                total += (own.T @ inside).max(axis=1) - (own.T @ outside).max(axis=1)
                count += 1
        found.append((total / max(count, 1)).reshape(unit.shape[1:]))
    return found


def weak_example(unit: Float32[np.ndarray, "c h w"], mask: Bool[np.ndarray, "h w"]) -> SupportStatistics:
    """Return the statistics of an image whose mask is guessed at the features' positions."""
    return support_statistics(unit, mask, ~mask)._replace(weights=side_weights(float(mask.mean())))


def enough(mask: Bool[np.ndarray, "h w"]) -> bool:
    return int(mask.sum()) >= FEWEST_POSITIONS


def map_at_positions(saliency: Map, size: tuple[int, int]) -> Float32[np.ndarray, "hf wf"]:
    """Return the map's mean around each position of features of `size` (height, width)."""
    height, width = size
    fine = resize_bilinear(saliency, (4 * height, 4 * width))
    return fine.reshape(height, 4, width, 4).mean(axis=(1, 3))
