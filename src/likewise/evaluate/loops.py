"""Evaluation in two loops: predict to a folder, score the folder.

    data, protocol --> start_run --> RUN/run.json, RUN/fold0/episodes.jsonl, ...
    episode --> segment ----> predict --> RUN/fold0/masks/00000.png, ...       (or any other program writes them)
    masks, targets ---------> score ----> Results --> tables, results.json, index.html (`likewise.evaluate.report`)

A mask is a label PNG at the size of the protocol (or of the query), named after the line of the episode list, from
00000.
"""

import json
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from cachetools import LRUCache, cached
from jaxtyping import UInt8

from likewise.data.episodes import Episode, EpisodeSet, read_pair
from likewise.errors import ImageError, check_known
from likewise.evaluate.protocols import Protocol
from likewise.evaluate.results import EpisodeScore, Part, Results
from likewise.evaluate.run import Run, read_episodes
from likewise.evaluate.scoring import read_prediction, require_files
from likewise.io.atomic import PART_PREFIX, write_atomically
from likewise.io.images import save_pillow
from likewise.io.masks import read_labels, read_mask
from likewise.metrics.scores import Scores, interval
from likewise.viz.draw import paletted

Segment = Callable[[EpisodeSet, Episode], tuple[np.ndarray, tuple[float, ...] | None]]
"""Returns the labels of an episode's query, uint8 (h, w) with 0 and way + 1, at the size of the protocol, and the
presence of each way, or None if the method does not judge it."""

TARGET_CACHE = 1 << 28
"""Bytes of cached targets; an image is the query of several episodes."""

ON_CORRUPT = ("stop", "skip")
"""What to do with episodes of unreadable images: stop with an error, or leave them out with a warning."""


@dataclass
class Report:
    """Masks that `predict` wrote, masks that existed before, and episodes left out for a corrupt image."""

    done: int = 0
    finished_before: int = 0
    left_out: int = 0


def predict(
    run: Run, segment: Segment, *, on_corrupt: str = "stop", progress: Callable[[int, int], None] | None = None
) -> Report:
    """Write the missing masks of a run, each whole or not at all; `progress` gets the finished and all episodes.

    An unreadable image raises an `ImageError`, or with `on_corrupt` "skip" its episodes are left out with a warning.
    """
    check_known(on_corrupt, ON_CORRUPT, "value of on_corrupt")
    report = Report()
    lists = {fold: read_episodes(run.list_path(fold)) for fold in run.folds}
    total = sum(map(len, lists.values()))
    for fold, episodes in lists.items():
        left_out: dict[int, str] = {}
        for part in run.masks(fold).glob(f"{PART_PREFIX}*"):  # of a killed run
            part.unlink()
        for line, episode in enumerate(episodes):
            path = run.masks(fold) / mask_name(line)
            if path.exists():
                report.finished_before += 1
            else:
                with leave_out_corrupt(left_out, fold, line, on_corrupt):
                    labels, presences = segment(run.folds[fold], episode)
                    if presences is not None:
                        with run.presences_path(fold).open("a") as file:
                            file.write(
                                "\n" + json.dumps({"line": line, "presences": presences})
                            )  # a cut line ends here
                    save_pillow(paletted(labels), path)
                    report.done += 1
            if progress:
                progress(report.done + report.finished_before + report.left_out + len(left_out), total)
        report.left_out += len(left_out)
        with write_atomically(run.left_out_path(fold)) as part:
            part.write_text(json.dumps(left_out, indent=1))
    return report


def score(
    run: Run,
    masks: Path | str | None = None,
    *,
    on_corrupt: str = "stop",
    progress: Callable[[int, int], None] | None = None,
) -> Results:
    """Return the scores of a run under its protocol; `on_corrupt` and `progress` are as for `predict`.

    Args:
        masks: a folder with the predictions of another program for the same episodes: `fold<F>/<line>.png`, or
            `<line>.png` if the run has one fold; lines count from 00000. 0 is background; with one way any other value
            is the object, with several ways 1, 2, ... are the ways.

    Raises:
        PredictionError: a mask that is missing, unreadable, of another size than its target or with a label beyond the
            ways; or a class without a scored episode, where the protocol needs every class.
    """
    check_known(on_corrupt, ON_CORRUPT, "value of on_corrupt")
    lists = {fold: read_episodes(run.list_path(fold)) for fold in run.folds}
    left_out = {fold: read_left_out(run, fold) if masks is None else {} for fold in run.folds}
    folders = {fold: run.masks(fold) if masks is None else fold_folder(run, Path(masks), fold) for fold in run.folds}
    for fold, episodes in lists.items():
        names = [mask_name(line) for line in range(len(episodes)) if line not in left_out[fold]]
        require_files(folders[fold], names, run.folds[fold].name)
    parts, scored, resampled = [], [], []
    finished, total = 0, sum(map(len, lists.values()))
    for fold, dataset in run.folds.items():
        metric = run.protocol.metric(dataset.classes)
        target_of = cached_targets(dataset, run.protocol)
        presences = read_presences(run, fold) if masks is None else {}
        for line, episode in enumerate(lists[fold]):
            if line not in left_out[fold]:
                with leave_out_corrupt(left_out[fold], fold, line, on_corrupt):
                    target, path = target_of(episode), folders[fold] / mask_name(line)
                    found = read_episode_mask(path, target.shape, len(episode.classes))
                    iou = metric.update(found, target, episode, presences.get(line))
                    if iou is not None:
                        scored.append(EpisodeScore(fold, line, episode, path, iou))
            finished += 1
            if progress:
                progress(finished, total)
        per_class, queries = metric.resampled(), metric.queries()
        resampled.append(np.mean(list(per_class.values()), axis=0))
        scores = metric.compute()
        if not scores.intervals:
            # resampling a single image has no spread, which is not certainty
            several = {name: drawn for name, drawn in per_class.items() if queries[name] > 1}
            scores = replace(scores, intervals=finite_intervals({"mIoU": resampled[-1], **several}))
        parts.append(Part(dataset.name, dataset.presence, scores, left_out[fold], queries))
    name = run.protocol.name
    origin = "part of the protocol, except for the mean over folds" if name == "likewise-1" else f"not part of {name}"
    return Results(
        name,
        tuple(parts),
        run.settings if masks is None else {**run.settings, "masks": str(Path(masks).resolve())},
        mean_over_folds(parts, resampled) if len(parts) > 1 else None,
        f"95% bootstrap interval over the query images of each class ({origin})",
        tuple(scored),
    )


def mean_over_folds(parts: Sequence[Part], resampled: Sequence[np.ndarray]) -> Scores:
    """Return the mean of each value over the folds, with the interval of mIoU; each fold is resampled separately."""
    first = parts[0].scores
    values = {
        name: float(np.mean([part.scores.values[name] for part in parts]))
        for name in first.values
        if all(name in part.scores.values for part in parts) and not name.endswith("std over runs")
    }
    counts = {name: sum(part.scores.counts[name] for part in parts) for name in first.counts if name != "runs"}
    return Scores(first.protocol, values, {}, finite_intervals({"mIoU": np.mean(resampled, axis=0)}), counts)


def finite_intervals(resampled: Mapping[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """Return the interval of each value that is finite in every resample."""
    return {name: interval(drawn) for name, drawn in resampled.items() if np.isfinite(drawn).all()}


def cached_targets(dataset: EpisodeSet, protocol: Protocol) -> Callable[[Episode], UInt8[np.ndarray, "h w"]]:
    """Return a function that reads the target of an episode at the size of the protocol and caches recent ones."""
    cache: LRUCache[Hashable, np.ndarray] = LRUCache(TARGET_CACHE, getsizeof=lambda target: target.nbytes)

    @cached(cache, key=lambda episode: (episode.query, episode.classes))
    def target_of(episode: Episode) -> UInt8[np.ndarray, "h w"]:
        return read_pair(dataset, episode.query, episode.classes, protocol.size, protocol.nearest)[1]

    return target_of


def mask_name(line: int) -> str:
    """Return the file name of an episode's mask: its line in the list, from 0, in five digits."""
    return f"{line:05d}.png"


def read_episode_mask(path: Path, size: tuple[int, ...], ways: int) -> UInt8[np.ndarray, "h w"]:
    """Return the labels in a mask file; with one way, any mask format that `read_mask` reads."""
    return read_prediction(path, size, read_mask if ways == 1 else read_labels, labels=ways + 1)


def fold_folder(run: Run, masks: Path, fold: int) -> Path:
    """Return the folder of another program's masks for a fold."""
    folder = masks / f"fold{fold}"
    return masks if len(run.folds) == 1 and not folder.is_dir() else folder


def read_left_out(run: Run, fold: int) -> dict[int, str]:
    """Return the reason by line of the episodes that `predict` left out."""
    path = run.left_out_path(fold)
    return {int(line): reason for line, reason in json.loads(path.read_text()).items()} if path.is_file() else {}


def read_presences(run: Run, fold: int) -> dict[int, list[float]]:
    """Return by line the presences that `predict` wrote; a line cut by a kill belongs to an episode done again."""
    found, path = {}, run.presences_path(fold)
    for text in path.read_text().splitlines() if path.is_file() else ():
        with suppress(json.JSONDecodeError):
            entry = json.loads(text)
            found[entry["line"]] = entry["presences"]
    return found


@contextmanager
def leave_out_corrupt(left_out: dict[int, str], fold: int, line: int, on_corrupt: str) -> Iterator[None]:
    """With "skip", turn an `ImageError` in the block into a warning and an entry of `left_out`."""
    try:
        yield
    except ImageError as error:
        if on_corrupt == "stop":
            raise
        warnings.warn(f"episode {line} of fold {fold} is left out: {error}", stacklevel=4)
        left_out[line] = str(error)
