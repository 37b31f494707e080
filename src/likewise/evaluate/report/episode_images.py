"""Which episodes are shown, and how: supports outlined, and on the query what was found and what is true."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from likewise.data.episodes import load_episode
from likewise.evaluate.loops import read_episode_mask
from likewise.evaluate.run import Run
from likewise.evaluate.scoring import EpisodeScore
from likewise.io.labels import IGNORE
from likewise.io.resize import resize_image, resize_labels
from likewise.viz.draw import outline, overlay, palette

SHOWN = 9
QUERY_SIDE, SHOT_SIDE = 400, 260
TRUTH_COLOUR = (255, 214, 10)


@dataclass(frozen=True)
class EpisodeImages:
    """An episode to look at: its supports outlined; the query with what was found tinted and the truth outlined.

    `ignored` is the share of the query that counts neither way.
    """

    score: EpisodeScore
    supports: tuple[UInt8[np.ndarray, "_ _ 3"], ...]
    query: UInt8[np.ndarray, "h w 3"]
    ignored: float


def episode_images(run: Run, scores: Iterable[EpisodeScore]) -> list[EpisodeImages]:
    """The images of some episodes, in the aspect that the photographs have."""
    found = []
    for score in scores:
        episode = score.episode
        loaded = load_episode(run.folds[score.fold], episode)
        colours = palette(len(episode.classes)).tolist()
        supports = []
        for way, (images, labels) in enumerate(zip(loaded.supports, loaded.support_labels, strict=True)):
            for image, own in zip(images, labels, strict=True):
                small, mask = fitted(image, own, SHOT_SIDE)
                supports.append(outline(small, mask == way + 1, tuple(colours[way])))
        image, target = fitted(loaded.query, loaded.target, QUERY_SIDE)
        size = Image.open(score.mask).size
        prediction = read_episode_mask(score.mask, (size[1], size[0]), len(episode.classes))
        drawn = overlay(image, resize_labels(prediction, *target.shape))
        ignored = target == IGNORE
        drawn = outline(drawn, (target > 0) & ~ignored, TRUTH_COLOUR)
        found.append(EpisodeImages(score, tuple(supports), drawn, float(ignored.mean())))
    return found


def fitted(
    image: UInt8[np.ndarray, "h w 3"], labels: UInt8[np.ndarray, "h w"], side: int
) -> tuple[UInt8[np.ndarray, "h2 w2 3"], UInt8[np.ndarray, "h2 w2"]]:
    """Both with their longer side at `side` pixels."""
    scale = side / max(labels.shape)
    height, width = (max(1, round(length * scale)) for length in labels.shape)
    return resize_image(image, height, width), resize_labels(labels, height, width)


def worst_and_best(scores: Sequence[EpisodeScore], count: int = SHOWN) -> tuple[list[EpisodeScore], list[EpisodeScore]]:
    """The `count` episodes of the lowest IoU and those of the highest, no query image twice."""
    ranked = sorted(scores, key=lambda score: (score.iou, score.fold, score.line))
    lowest: dict[str, EpisodeScore] = {}
    for score in ranked:
        lowest.setdefault(score.episode.query, score)
    worst = list(lowest.values())[: min(count, (len(lowest) + 1) // 2)]
    taken = {score.episode.query for score in worst}
    highest: dict[str, EpisodeScore] = {}
    for score in reversed(ranked):
        if score.episode.query not in taken:
            highest.setdefault(score.episode.query, score)
    return worst, list(highest.values())[:count]
