"""Results as tables in a terminal, and the words and numbers that tables and page share; in percent."""

import math
from typing import TYPE_CHECKING, Any

from likewise.evaluate.scoring import Part, Results
from likewise.metrics.scores import Scores

if TYPE_CHECKING:
    from rich.table import Table


def tables(results: Results) -> "list[Table]":
    """A table of the folds or sets, and where there are classes one of them; in percent."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    parts = Table(
        box=SIMPLE_HEAD, title=f"{results.protocol}: {described(results.settings)}", caption=results.interval_note
    )
    columns, rows = part_columns(results), part_rows(results)
    if len(rows) == 1:
        parts.add_column(columns[0])
        parts.add_column(rows[0][0])
        for name, cell in zip(columns[1:], rows[0][1:], strict=True):
            parts.add_row(name, cell)
    else:
        for index, name in enumerate(columns):
            # a narrow terminal may break the names, not the numbers
            parts.add_column(name, min_width=max(len(cells[index]) for cells in rows) if index else None)
        for cells in rows[: len(results.parts)]:
            parts.add_row(*cells)
        if results.mean is not None:
            parts.add_section()
            parts.add_row(*rows[-1], style="bold")
    found = [parts]
    if any(part.scores.per_class for part in results.parts):
        what = f"{class_metric(results)} under {results.protocol}"
        several = any(part.queries for part in results.parts)
        classes = Table("set", class_kind(results), *(["query images"] if several else []), what, box=SIMPLE_HEAD)
        for part in results.parts:
            for index, name in enumerate(part.scores.per_class):
                queries = [str(part.queries[name])] if several else []
                classes.add_row("" if index else part.name, name, *queries, class_shown(part.scores, name))
            classes.add_section()
        found.append(classes)
    return found


def part_columns(results: Results) -> list[str]:
    scores = results.parts[0].scores
    return ["set", "present", next(iter(scores.counts)), *scores.values]


def part_rows(results: Results) -> list[list[str]]:
    """A row of each fold or set, then one of their mean if there is one."""
    told = [(part.name, present(part), part.scores) for part in results.parts]
    if results.mean is not None:
        told.append(("mean over folds", "", results.mean))
    first = results.parts[0].scores
    count = next(iter(first.counts))
    return [
        [name, there, str(scores.counts[count]), *(with_interval(scores, value) for value in first.values)]
        for name, there, scores in told
    ]


def with_interval(scores: Scores, name: str) -> str:
    if name not in scores.values:
        return ""
    return percent(scores.values[name]) + interval_shown(scores, name)


def class_shown(scores: Scores, name: str) -> str:
    return percent(scores.per_class[name]) + interval_shown(scores, name)


def interval_shown(scores: Scores, name: str) -> str:
    if name not in scores.intervals:
        return ""
    low, high = scores.intervals[name]
    return f" [{percent(low)}, {percent(high)}]"


def percent(value: float) -> str:
    return f"{100 * value:.1f}" if math.isfinite(value) else "-"


def present(part: Part) -> str:
    left_out = f", {len(part.left_out)} episodes left out" if part.left_out else ""
    return f"{part.presence.listed - len(part.presence.missing)} of {part.presence.listed}{left_out}"


def class_metric(results: Results) -> str:
    return "Jaccard" if results.protocol == "co-segmentation" else "IoU"


def class_kind(results: Results) -> str:
    return "group" if results.protocol == "co-segmentation" else "class"


def described(settings: dict[str, Any]) -> str:
    """One line on what was scored: "1-way 1-shot, panet, lite0@..." or the settings as they are."""
    if "shots" not in settings:
        return ", ".join(f"{key} {value}" for key, value in settings.items())
    model = settings["model"]
    who = [settings["masks"]] if "masks" in settings else [model[key] for key in ("model", "backbone") if key in model]
    return ", ".join([f"{settings['ways']}-way {settings['shots']}-shot", *who])
