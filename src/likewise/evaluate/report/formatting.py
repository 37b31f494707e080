"""Numbers and labels that the terminal tables and the page share; numbers are in percent."""

import math
from typing import Any

from likewise.evaluate.results import Part, Results
from likewise.metrics.scores import Scores


def percent(value: float) -> str:
    """Return a fraction in percent with one decimal; "-" for NaN."""
    return f"{100 * value:.1f}" if math.isfinite(value) else "-"


def format_interval(scores: Scores, name: str) -> str:
    """Return the interval of a value or class as " [low, high]"; empty without one."""
    if name not in scores.intervals:
        return ""
    low, high = scores.intervals[name]
    return f" [{percent(low)}, {percent(high)}]"


def format_value(scores: Scores, name: str) -> str:
    """Return a value with its interval; empty if the scores do not have it."""
    return percent(scores.values[name]) + format_interval(scores, name) if name in scores.values else ""


def format_class(scores: Scores, name: str) -> str:
    """Return the value of a class with its interval."""
    return percent(scores.per_class[name]) + format_interval(scores, name)


def format_presence(part: Part) -> str:
    """Return how many entries are present, and how many episodes were left out."""
    left_out = f", {len(part.left_out)} episodes left out" if part.left_out else ""
    return f"{part.presence.listed - len(part.presence.missing)} of {part.presence.listed}{left_out}"


def part_columns(results: Results) -> list[str]:
    """Return the column names of the table of folds or sets."""
    scores = results.parts[0].scores
    return ["set", "present", next(iter(scores.counts)), *scores.values]


def part_rows(results: Results) -> list[list[str]]:
    """Return one row for each fold or set, and one for their mean if there is one."""
    named = [(part.name, format_presence(part), part.scores) for part in results.parts]
    if results.mean is not None:
        named.append(("mean over folds", "", results.mean))
    first = results.parts[0].scores
    count = next(iter(first.counts))
    return [
        [name, presence, str(scores.counts[count]), *(format_value(scores, value) for value in first.values)]
        for name, presence, scores in named
    ]


def class_metric(results: Results) -> str:
    return "Jaccard" if results.protocol == "co-segmentation" else "IoU"


def class_noun(results: Results) -> str:
    return "group" if results.protocol == "co-segmentation" else "class"


def describe(settings: dict[str, Any]) -> str:
    """Return one line on what was scored: "1-way 1-shot, panet, lite0@..." for episodes, else all settings."""
    if "shots" not in settings:
        return ", ".join(f"{key} {value}" for key, value in settings.items())
    model = settings["model"]
    source = (
        [settings["masks"]] if "masks" in settings else [model[key] for key in ("model", "backbone") if key in model]
    )
    return ", ".join([f"{settings['ways']}-way {settings['shots']}-shot", *source])
