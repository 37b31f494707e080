"""Results as files: `results.json`, and a page with the worst and best episodes as images.

Every number is stored with its protocol and with how much of the data was present.
"""

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from likewise.errors import requires_extra
from likewise.evaluate.report import tables
from likewise.evaluate.report.episode_images import EpisodeImages, episode_images, worst_and_best
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
    finite = json.loads(json.dumps(record), parse_constant=lambda _: None)
    with write_atomically(path) as part:
        part.write_text(json.dumps(finite, indent=1, allow_nan=False) + "\n")


def scores_record(scores: Scores) -> dict[str, Any]:
    shown = {"values": scores.values, "per class": scores.per_class, "intervals": scores.intervals}
    return {**shown, "counts": scores.counts}


MIN_IGNORED = 0.2
"""Share of ignored pixels from which a card states it: object boundaries take less, an unlabelled background more."""


def write_page(
    results: Results, path: Path | str, worst: Sequence[EpisodeImages] = (), best: Sequence[EpisodeImages] = ()
) -> None:
    """Write one self-contained HTML file with numbers, images and style."""
    with requires_extra("evaluate", "the report page"):
        from jinja2 import Environment, PackageLoader

    loader = PackageLoader("likewise.evaluate.report", ".")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"percent": tables.percent, "data_url": data_url}
    page = environment.get_template("page.html.j2").render(
        results=results,
        settings=results.settings | results.settings.get("model", {}),
        worst=worst,
        best=best,
        tables=tables,
        min_ignored=MIN_IGNORED,
        version=__version__,
    )
    with write_atomically(path) as part:
        part.write_text(page, encoding="utf-8")


def data_url(image: UInt8[np.ndarray, "h w 3"]) -> str:
    """Return the image as a JPEG in a data URL."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, "JPEG", quality=85, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
