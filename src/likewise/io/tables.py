"""CSV tables."""

import csv
from collections.abc import Iterable
from pathlib import Path

from likewise.io.atomic import write_atomically


def write_rows(path: Path, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a CSV file atomically, in UTF-8; what is not text there, such as names of files, is escaped.

    Raises:
        OutputError: The system refuses to write.
    """
    with (
        write_atomically(path) as part,
        part.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(rows)
