"""Results as files: `results.json`, and a page with the worst and best episodes as images.

Every number is stored with its protocol and with how much of the data was present.
"""

import json
import math
from pathlib import Path
from typing import Any

from likewise.evaluate.report.episode_images import episode_images, worst_and_best
from likewise.evaluate.report.page import write_page
from likewise.evaluate.results import Results
from likewise.evaluate.run import Run
from likewise.io.atomic import write_atomically
from likewise.metrics.scores import Scores
from likewise.version import __version__


def write_report(results: Results, folder: Path | str, run: Run | None = None) -> Path:
    """Write `results.json` and `index.html`, with images of episodes if `run` is given; return the page's path."""
    folder = Path(folder)
    write_results(results, folder / "results.json")
    page = folder / "index.html"
    if run is None:
        write_page(results, page)
    else:
        worst, best = worst_and_best(results.episodes)
        write_page(results, page, episode_images(run, worst), episode_images(run, best))
    return page


def write_results(results: Results, path: Path | str) -> None:
    """Write protocol, numbers, settings and presence as JSON, whole or not at all; NaN becomes null."""
    record = {
        "likewise": __version__,
        "protocol": results.protocol,
        "settings": results.settings,
        "intervals": results.interval_note or None,
        "parts": [
            {
                "name": part.name,
                "listed": part.presence.listed,
                "present": part.presence.listed - len(part.presence.missing),
                "query images": part.queries,
                "left out": {str(line): reason for line, reason in part.left_out.items()},
                **scores_record(part.scores),
            }
            for part in results.parts
        ],
        "mean": None if results.mean is None else scores_record(results.mean),
    }
    with write_atomically(path) as part:
        part.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")


def scores_record(scores: Scores) -> dict[str, Any]:
    """Return scores as JSON values."""
    return {
        "values": {name: finite(value) for name, value in scores.values.items()},
        "per class": {name: finite(value) for name, value in scores.per_class.items()},
        "intervals": {name: [finite(edge) for edge in edges] for name, edges in scores.intervals.items()},
        "counts": scores.counts,
    }


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
