"""A pytest plugin for `make robustness`: counts the inputs of tests by kind and writes the table in docs/robustness.md.

A test counts as one input unless it records "tried" (a number); "kills" (a number), "fuzzed" (processor
seconds of random damages) and "megabytes" are optional.
"""

import os
import time
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs" / "robustness.md"
START, END = "<!-- table -->\n", "<!-- end of table -->\n"
KINDS = {
    "robustness/test_images.py": "broken, foreign and hostile images",
    "robustness/test_settings.py": "recipes, settings and records of runs",
    "robustness/test_concepts.py": "concepts with one damage",
    "robustness/test_platforms.py": "platforms, users and file systems",
    "robustness/test_kills.py": "kills, interrupts and faults",
    "robustness/test_memory.py": "memory",
    "robustness/test_reproducible.py": "equal runs",
    "unit/predict/test_concept_schema.py": "concepts with random damages",
    "unit/weights/test_load.py": "weights",
    "unit/io/test_paths.py": "names, links and folders",
    "unit/io/test_atomic.py": "file writes",
    "unit/jobs/test_records.py": "two runs in one folder",
    "unit/jobs/test_pipeline.py": "runs over folders",
    "unit/jobs/test_pipeline_stops.py": "runs over folders",
    "unit/jobs/test_shards.py": "large jobs",
    "unit/jobs/test_shard_storage.py": "large jobs",
    "unit/train/test_loop.py": "folders of training runs",
    "integration/cli/test_segment.py": "command lines",
}
started = time.time()
rows: dict[str, dict[str, float]] = {}


def pytest_runtest_logreport(report) -> None:
    kind = next((kind for path, kind in KINDS.items() if path in report.nodeid), None)
    if kind is None or report.skipped or (report.when != "call" and report.passed):
        return
    recorded = dict(report.user_properties)
    row = rows.setdefault(kind, {"tried": 0, "wrong": 0, "kills": 0, "fuzzed": 0, "megabytes": 0, "seconds": 0})
    row["tried"] += recorded.get("tried", 1)
    row["wrong"] += recorded.get("wrong", 1) if report.failed else 0
    row["kills"] += recorded.get("kills", 0)
    row["fuzzed"] += recorded.get("fuzzed", 0)
    row["megabytes"] = max(row["megabytes"], recorded.get("megabytes", 0))
    row["seconds"] += report.duration


def pytest_terminal_summary(terminalreporter) -> None:
    lines = ["| Kind | Tried | Refused or right | Wrong | Kills survived | Seconds |", "|---|--:|--:|--:|--:|--:|"]
    total = {key: sum(row[key] for row in rows.values()) for key in ("tried", "wrong", "kills", "seconds")}
    for kind, row in [*sorted(rows.items()), ("**all**", total)]:
        right = row["tried"] - row["wrong"]
        cells = (row["tried"], right, row["wrong"], row["kills"] or "", row["seconds"])
        lines.append(f"| {kind} | " + " | ".join(f"{each:,.0f}" if each != "" else "" for each in cells) + " |")
    largest = max((row["megabytes"] for row in rows.values()), default=0)
    fuzzed = ", ".join(f"{row['fuzzed'] / 3600:.2f} h of {kind}" for kind, row in sorted(rows.items()) if row["fuzzed"])
    lines += [
        "",
        f"Largest memory of a process: {largest:,.0f} MB. Random damages, in processor time: {fuzzed}. "
        f"Time: {(time.time() - started) / 60:.0f} minutes.",
    ]
    terminalreporter.write_line("\n".join(lines))
    if os.environ.get("LIKEWISE_ROBUSTNESS_DOCS"):
        text = DOCS.read_text(encoding="utf-8")
        before, _, rest = text.partition(START)
        DOCS.write_text(before + START + "\n".join(lines) + "\n" + END + rest.partition(END)[2], encoding="utf-8")
