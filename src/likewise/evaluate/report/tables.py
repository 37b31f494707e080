"""Results as tables in a terminal; numbers are in percent."""

from rich.box import SIMPLE_HEAD
from rich.table import Table

from likewise.evaluate.report.formatting import (
    class_metric,
    class_noun,
    describe,
    format_class,
    part_columns,
    part_rows,
)
from likewise.evaluate.results import Results


def tables(results: Results) -> list[Table]:
    """Return a table of the folds or sets, and one of the classes if there are any."""
    found = [part_table(results)]
    if any(part.scores.per_class for part in results.parts):
        found.append(class_table(results))
    return found


def part_table(results: Results) -> Table:
    """Return one row for each fold or set; a single one is laid out in two columns."""
    table = Table(
        box=SIMPLE_HEAD, title=f"{results.protocol}: {describe(results.settings)}", caption=results.interval_note
    )
    columns, rows = part_columns(results), part_rows(results)
    if len(rows) == 1:
        table.add_column(columns[0])
        table.add_column(rows[0][0])
        for name, cell in zip(columns[1:], rows[0][1:], strict=True):
            table.add_row(name, cell)
        return table
    for index, name in enumerate(columns):
        # a narrow terminal may wrap the names, not the numbers
        table.add_column(name, min_width=max(len(cells[index]) for cells in rows) if index else None)
    for cells in rows[: len(results.parts)]:
        table.add_row(*cells)
    if results.mean is not None:
        table.add_section()
        table.add_row(*rows[-1], style="bold")
    return table


def class_table(results: Results) -> Table:
    """Return one row for each class of each fold or set."""
    with_queries = any(part.queries for part in results.parts)
    metric = f"{class_metric(results)} under {results.protocol}"
    table = Table("set", class_noun(results), *(["query images"] if with_queries else []), metric, box=SIMPLE_HEAD)
    for part in results.parts:
        for index, name in enumerate(part.scores.per_class):
            queries = [str(part.queries[name])] if with_queries else []
            table.add_row("" if index else part.name, name, *queries, format_class(part.scores, name))
        table.add_section()
    return table
