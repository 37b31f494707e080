"""Results as tables in a terminal, with the rows that the page shows too; numbers are in percent."""

import math
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from likewise.errors import counted, unmarked
from likewise.evaluate.results import Part, Results
from likewise.metrics.scores import Scores


def tables(results: Results) -> list[Table]:
    """Return a table of the folds or sets, and one of the classes if there are any."""
    found = [part_table(results)]
    if any(part.scores.per_class for part in results.parts):
        found.append(class_table(results))
    return found


def part_table(results: Results) -> Table:
    """Return one row for each fold or set; a single one is laid out in two columns."""
    table = Table(
        box=SIMPLE_HEAD,
        title=unmarked(f"{results.protocol}: {describe(results.settings)}"),
        caption=results.interval_note,
    )
    columns, rows = part_columns(results), part_rows(results)
    if len(rows) == 1:
        table.add_column(columns[0])
        table.add_column(unmarked(rows[0][0]))
        for name, cell in zip(columns[1:], rows[0][1:], strict=True):
            table.add_row(name, cell)
        return table
    for index, name in enumerate(columns):
        # a narrow terminal may wrap the names, not the numbers
        table.add_column(name, min_width=max(len(cells[index]) for cells in rows) if index else None)
    for cells in rows[: len(results.parts)]:
        table.add_row(unmarked(cells[0]), *cells[1:])
    if results.mean is not None:
        table.add_section()
        table.add_row(*rows[-1], style="bold")
    return table


def class_table(results: Results) -> Table:
    """Return one row for each class of each fold or set."""
    with_queries = any(part.queries for part in results.parts)
    metric, noun = class_terms(results)
    columns = ["set", noun, *(["query images"] if with_queries else []), f"{metric} under {results.protocol}"]
    table = Table(*columns, box=SIMPLE_HEAD)
    for part in results.parts:
        for index, name in enumerate(part.scores.per_class):
            queries = [str(part.queries[name])] if with_queries else []
            table.add_row(
                "" if index else unmarked(part.name), unmarked(name), *queries, format_class(part.scores, name)
            )
        table.add_section()
    return table


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
    left_out = f", {counted(len(part.left_out), 'episode')} left out" if part.left_out else ""
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
    _, _, count, *values = part_columns(results)
    return [
        [name, presence, str(scores.counts[count]), *(format_value(scores, value) for value in values)]
        for name, presence, scores in named
    ]


def class_terms(results: Results) -> tuple[str, str]:
    """Return the names of the score of a class and of a class."""
    return ("Jaccard", "group") if results.protocol == "co-segmentation" else ("IoU", "class")


def describe(settings: dict[str, Any]) -> str:
    """Return one line on what was scored: "1-way 1-shot, panet, lite0@..." for episodes, else all settings."""
    if "shots" not in settings:
        return ", ".join(f"{key} {value}" for key, value in settings.items())
    model = settings["model"]
    source = (
        [settings["masks"]] if "masks" in settings else [model[key] for key in ("model", "backbone") if key in model]
    )
    return ", ".join([f"{settings['ways']}-way {settings['shots']}-shot", *source])
