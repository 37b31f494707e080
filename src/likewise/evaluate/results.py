"""Results of an evaluation: the scores of each fold or set, with presence, settings and episodes."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from likewise.data.episodes import Episode
from likewise.data.layout import Presence
from likewise.metrics.scores import Scores


@dataclass(frozen=True)
class EpisodeScore:
    """The IoU of an episode, the mean over the ways that its target shows; `line` in the list counts from 0."""

    fold: int
    line: int
    episode: Episode
    mask: Path
    iou: float


@dataclass(frozen=True)
class Part:
    """The scores of one fold or set, and how much of its data is on disk.

    `left_out` is the reason by line of the episodes that were not scored; `queries` the number of scored query images
    of each class, empty without queries.
    """

    name: str
    presence: Presence
    scores: Scores
    left_out: dict[int, str] = field(default_factory=dict)
    queries: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """Scores of one or several folds or sets under one protocol.

    Attributes:
        settings: the predicted data and what produced the predictions.
        mean: mean over the folds, if there are several.
        interval_note: one sentence on the kind of the intervals.
        episodes: every episode whose target shows any of its classes.
    """

    protocol: str
    parts: tuple[Part, ...]
    settings: dict[str, Any]
    mean: Scores | None = None
    interval_note: str = ""
    episodes: tuple[EpisodeScore, ...] = ()
