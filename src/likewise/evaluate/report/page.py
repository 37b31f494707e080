"""Results as one HTML file, from the template `page.html.j2`."""

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from likewise.errors import requires_extra
from likewise.evaluate.report.episode_images import EpisodeImages
from likewise.evaluate.report.tables import (
    class_metric,
    class_noun,
    describe,
    format_interval,
    format_value,
    part_columns,
    part_rows,
    percent,
)
from likewise.evaluate.results import Part, Results
from likewise.io.atomic import write_atomically
from likewise.version import __version__

MIN_IGNORED = 0.2
"""Share of ignored pixels from which a card states it: object boundaries take less, an unlabelled background more."""


def write_page(
    results: Results, path: Path | str, worst: Sequence[EpisodeImages] = (), best: Sequence[EpisodeImages] = ()
) -> None:
    """Write one self-contained HTML file with numbers, images and style."""
    with requires_extra("evaluate", "the report page"):
        from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("likewise.evaluate.report", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("page.html.j2").render(page_values(results, worst, best))
    with write_atomically(path) as part:
        part.write_text(page, encoding="utf-8")


def page_values(results: Results, worst: Sequence[EpisodeImages], best: Sequence[EpisodeImages]) -> dict[str, Any]:
    scores = results.mean or results.parts[0].scores
    first, *others = scores.values
    rows = part_rows(results)
    galleries = {"Worst episodes": worst, "Best episodes": best}
    return {
        "version": __version__,
        "protocol": results.protocol,
        "description": describe(results.settings),
        "headline": {
            "name": first,
            "value": percent(scores.values[first]),
            "scope": "mean over folds" if results.mean is not None else results.parts[0].name,
            "interval": format_interval(scores, first).strip(" []").replace(", ", " to "),
        },
        "others": {name: format_value(scores, name) for name in others},
        "interval_note": results.interval_note,
        "columns": part_columns(results),
        "rows": rows[: len(results.parts)],
        "mean_rows": rows[len(results.parts) :],
        "class_title": f"{class_metric(results)} per {class_noun(results)}",
        "class_lists": {part.name: class_bars(part) for part in results.parts if part.scores.per_class},
        "galleries": {title: list(map(card, episodes)) for title, episodes in galleries.items() if episodes},
        "settings": page_settings(results),
    }


def class_bars(part: Part) -> list[dict[str, Any]]:
    """Return the bar of each class: its length and, if there is one, its interval in percent of the full length."""
    bars = []
    for name, value in part.scores.per_class.items():
        low, high = part.scores.intervals.get(name, (math.nan, math.nan))
        bars.append(
            {
                "name": name,
                "value": percent(value),
                "interval": format_interval(part.scores, name),
                "length": 100 * value if math.isfinite(value) else 0,
                "line": (100 * low, 100 * (high - low)) if math.isfinite(low) else None,
            }
        )
    return bars


def card(episode: EpisodeImages) -> dict[str, Any]:
    score = episode.score
    ignored = f", {episode.ignored:.0%} ignored" if episode.ignored >= MIN_IGNORED else ""
    return {
        "supports": [data_url(image) for image in episode.supports],
        "columns": 1 if len(episode.supports) <= 3 else 2,
        "query": data_url(episode.query),
        "classes": ", ".join(score.episode.classes),
        "iou": percent(score.iou),
        "place": f"fold {score.fold}, line {score.line}: {score.episode.query}{ignored}",
    }


def data_url(image: UInt8[np.ndarray, "h w 3"]) -> str:
    """Return the image as a JPEG in a data URL."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, "JPEG", quality=85, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"


def page_settings(results: Results) -> dict[str, Any]:
    """Return the settings in reading order, without the folds, which have their own table."""
    flat: dict[str, Any] = {}
    for key, value in results.settings.items():
        if key == "model":
            flat |= value
        elif key != "folds" and value is not None:
            flat[key] = value
    return flat
