"""Write docs/results.md from results/*.json.

    python tools/make_results.py            # write the page
    python tools/make_results.py --check    # fail if the page differs from what the files give

Each file is one section. Fields: `title`; `about`, paragraphs above the table (protocol, data, what to read from it);
`processor` for timings; `commands`; `labels` and `columns`, the headers; `digits`, decimals of every number; `signed`,
columns printed with a sign; `rows`. A row has `labels`, `values` and `commit`, the commit at which it was measured;
`reproduced` is true where the current code gives the same number. A value is a number, a string, null, or
[value, low, high] with a 95% interval. `commit` may be given once for the whole file.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results.md"
HEAD = """# Results

<!-- Generated from results/*.json by `make results`. Edit those files. -->

Read these numbers with four cautions.

- Each data set is a part of the public one, stated per table. Numbers do not compare with papers that use all of it.
- Intervals are 95% bootstrap intervals; there is one seed unless a spread is given.
- *Measured* names the commit at which a row was measured. "Before" means that the current code was not run again.
- Some settings were chosen on images that are scored: see [the last table](#which-images-chose-which-setting).

How each setting was chosen, and against which alternatives, is in `experiments/`, one folder per question.
"""


def cell(value: Any, digits: int, *, signed: bool) -> str:
    """Return a table cell: a number, a number with its interval, or text."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    sign = "+" if signed else ""
    if isinstance(value, list):
        number, low, high = (f"{part:{sign}.{digits}f}" for part in value)
        return f"{number} [{low}, {high}]"
    return f"{value:{sign}.{digits}f}"


def section(content: dict[str, Any]) -> str:
    """Return one section as Markdown."""
    lines = [f"## {content['title']}", "", *(f"{paragraph}\n" for paragraph in content.get("about", ()))]
    if "processor" in content:
        lines += [f"Processor: {content['processor']}.", ""]
    if "commands" in content:
        lines += [*(f"    {command}" for command in content["commands"]), ""]
    columns = content["columns"]
    dated = any("commit" in row for row in (content, *content["rows"]))
    headers = [*content["labels"], *columns, *(["Measured"] if dated else [])]
    lines += ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    for row in content["rows"]:
        values = [
            cell(value, content.get("digits", 0), signed=name in content.get("signed", ()))
            for name, value in zip(columns, row["values"], strict=True)
        ]
        commit = row.get("commit", content.get("commit"))
        measured = [f"{commit}" if row.get("reproduced") else f"before, {commit}"] if dated else []
        lines.append("| " + " | ".join([*row["labels"], *values, *measured]) + " |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """Return the whole page."""
    files = sorted((ROOT / "results").glob("*.json"))
    return "\n".join([HEAD, *(section(json.loads(file.read_text(encoding="utf-8"))) for file in files)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the page is out of date")
    made = page()
    if not parser.parse_args().check:
        PAGE.write_text(made, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != made:
        sys.exit("docs/results.md is out of date: run `make results`")


if __name__ == "__main__":
    main()
