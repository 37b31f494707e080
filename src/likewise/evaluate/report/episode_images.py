"""The worst and best episodes as images: supports outlined, and on the query the prediction and the ground truth."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from likewise.data.episodes import read_pair
from likewise.evaluate.loops import read_episode_mask
from likewise.evaluate.results import EpisodeScore
from likewise.evaluate.run import Run
from likewise.io.labels import IGNORE
from likewise.io.resize import resize_image, resize_labels
from likewise.viz.draw import outline, overlay, palette

GALLERY_SIZE = 9
"""Number of episodes in each gallery of the page."""

QUERY_SIDE, SUPPORT_SIDE = 400, 260
"""Longer side of the images on the page, in pixels; they are displayed at about half of it."""

TRUTH_COLOUR = (255, 214, 10)
"""Outline of the ground truth; yellow differs from every class colour of `likewise.viz.draw.palette`."""


@dataclass(frozen=True)
class EpisodeImages:
    """An episode as images: supports with their class outlined, the query with prediction tinted and truth outlined.

    `ignored` is the share of ignored pixels in the target.
    """

    score: EpisodeScore
    supports: tuple[UInt8[np.ndarray, "_ _ 3"], ...]
    query: UInt8[np.ndarray, "h w 3"]
    ignored: float


def episode_images(run: Run, scores: Iterable[EpisodeScore]) -> list[EpisodeImages]:
    """Return the images of these episodes, with the aspect of their files."""
    found = []
    for score in scores:
        episode, dataset = score.episode, run.folds[score.fold]
        colours = palette(len(episode.classes)).tolist()
        supports = []
        for way, shots in enumerate(episode.supports):
            for name in shots:
                small, labels = resize_pair(*read_pair(dataset, name, episode.classes), SUPPORT_SIDE)
                supports.append(outline(small, labels == way + 1, tuple(colours[way])))
        image, target = resize_pair(*read_pair(dataset, episode.query, episode.classes), QUERY_SIDE)
        size = Image.open(score.mask).size
        prediction = read_episode_mask(score.mask, (size[1], size[0]), len(episode.classes))
        drawn = overlay(image, resize_labels(prediction, *target.shape))
        ignored = target == IGNORE
        drawn = outline(drawn, (target > 0) & ~ignored, TRUTH_COLOUR)
        found.append(EpisodeImages(score, tuple(supports), drawn, float(ignored.mean())))
    return found


def resize_pair(
    image: UInt8[np.ndarray, "h w 3"], labels: UInt8[np.ndarray, "h w"], side: int
) -> tuple[UInt8[np.ndarray, "h2 w2 3"], UInt8[np.ndarray, "h2 w2"]]:
    """Return both with a longer side of `side` pixels."""
    scale = side / max(labels.shape)
    height, width = (max(1, round(length * scale)) for length in labels.shape)
    return resize_image(image, height, width), resize_labels(labels, height, width)


def worst_and_best(
    scores: Sequence[EpisodeScore], count: int = GALLERY_SIZE
) -> tuple[list[EpisodeScore], list[EpisodeScore]]:
    """Return the `count` episodes with the lowest IoU and those with the highest; no query image occurs twice."""
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
