"""Results as one HTML file."""

import base64
import html
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from likewise import __version__
from likewise.evaluate.report.episode_images import EpisodeImages
from likewise.evaluate.report.tables import (
    class_kind,
    class_metric,
    described,
    interval_shown,
    part_columns,
    part_rows,
    percent,
    with_interval,
)
from likewise.evaluate.scoring import Results
from likewise.io.atomic import write_atomically

TOLD_FROM = 0.2
"""The share of ignored pixels from which a card tells it: a boundary takes less, an unlabelled ground more."""


def write_page(
    results: Results, path: Path | str, worst: Sequence[EpisodeImages] = (), best: Sequence[EpisodeImages] = ()
) -> None:
    """Write one HTML file, images inside, that needs nothing else."""
    scores = results.mean or results.parts[0].scores
    first = next(iter(scores.values))
    others = [
        f"<div><dt>{text(name)}</dt><dd>{text(with_interval(scores, name))}</dd></div>"
        for name in list(scores.values)[1:]
    ]
    over = "mean over folds" if results.mean is not None else results.parts[0].name
    body = [
        f"<header><p class=eyebrow>{text(results.protocol)}</p><h1>{text(described(results.settings))}</h1></header>",
        "<section class=headline>",
        f"<p class=number>{percent(scores.values[first])}<small>{text(first)}, {text(over)}</small></p>",
        f"<p class=between>{text(interval_shown(scores, first).strip(' []').replace(', ', ' to '))}</p>"
        if first in scores.intervals
        else "",
        f"<dl>{''.join(others)}</dl></section>",
        f"<p class=note>All numbers in percent, under protocol {text(results.protocol)}. "
        f"{text(results.interval_note)}</p>",
        parts_table(results),
    ]
    if any(part.scores.per_class for part in results.parts):
        body.append(f"<h2>{class_metric(results)} per {class_kind(results)}</h2>{class_tables(results)}")
    for title, shown in (("Worst episodes", worst), ("Best episodes", best)):
        if shown:
            body.append(f"<h2>{title}</h2>{LEGEND}<div class=episodes>{''.join(map(card, shown))}</div>")
    settings = "".join(f"<div><dt>{text(key)}</dt><dd>{text(str(value))}</dd></div>" for key, value in told(results))
    body.append(f"<h2>Settings</h2><dl class=settings>{settings}</dl><footer>likewise {text(__version__)}</footer>")
    title = f"{results.protocol}: {percent(scores.values[first])}"
    page = PAGE.format(title=text(title), style=STYLE, body="\n".join(body))
    with write_atomically(path) as part:
        part.write_text(page, encoding="utf-8")


def parts_table(results: Results) -> str:
    head = "".join(f"<th>{text(name)}</th>" for name in part_columns(results))
    rows = [f"<tr>{''.join(f'<td>{text(cell)}</td>' for cell in cells)}</tr>" for cells in part_rows(results)]
    last = len(results.parts)
    body, foot = "".join(rows[:last]), "".join(rows[last:])
    return (
        f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody><tfoot>{foot}</tfoot></table></div>"
    )


def class_tables(results: Results) -> str:
    """A list of bars for each fold or set, with a line for the interval."""
    found = []
    for part in results.parts:
        bars = []
        for name, value in part.scores.per_class.items():
            line = ""
            if name in part.scores.intervals:
                low, high = (100 * edge for edge in part.scores.intervals[name])
                line = f"<u style='left:{low:.1f}%;width:{high - low:.1f}%'></u>"
            length = 100 * value if math.isfinite(value) else 0
            bars.append(
                f"<li><span>{text(name)}</span><i><b style='width:{length:.1f}%'></b>{line}</i>"
                f"<em>{percent(value)}<small>{text(interval_shown(part.scores, name))}</small></em></li>"
            )
        found.append(f"<section><h3>{text(part.name)}</h3><ol>{''.join(bars)}</ol></section>")
    return f"<div class=classes>{''.join(found)}</div>"


def card(shown: EpisodeImages) -> str:
    score = shown.score
    shots = "".join(image_tag(image, "support") for image in shown.supports)
    columns = 1 if len(shown.supports) <= 3 else 2
    query = image_tag(shown.query, "query")
    ignored = f", {shown.ignored:.0%} ignored" if shown.ignored >= TOLD_FROM else ""
    return (
        f"<figure><div class=images><div class=shots style='--columns:{columns}'>{shots}</div>{query}</div>"
        f"<figcaption><strong>{text(', '.join(score.episode.classes))}</strong> "
        f"<em>IoU {percent(score.iou)}</em><br><small>fold {score.fold}, line {score.line}: "
        f"{text(score.episode.query)}{ignored}</small></figcaption></figure>"
    )


def image_tag(image: UInt8[np.ndarray, "h w 3"], what: str) -> str:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "JPEG", quality=85, subsampling=0)
    coded = base64.b64encode(content.getvalue()).decode("ascii")
    return f"<img class={what} alt={what} src='data:image/jpeg;base64,{coded}'>"


def told(results: Results) -> list[tuple[str, Any]]:
    """The settings in reading order; the folds have their own table."""
    flat: list[tuple[str, Any]] = []
    for key, value in results.settings.items():
        if key == "model":
            flat += value.items()
        elif key != "folds" and value is not None:
            flat.append((key, value))
    return flat


def text(words: str) -> str:
    return html.escape(words)


LEGEND = (
    "<p class=legend><span><i style='background:#ee3377'></i>found</span>"
    "<span><i style='background:#ffd60a'></i>truth</span>supports on the left, each class outlined in its colour</p>"
)

PAGE = """<!doctype html>
<html lang=en>
<meta charset=utf-8>
<meta name=viewport content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
<body>
<main>
{body}
</main>
</body>
</html>
"""

STYLE = """
:root { --paper: #faf9f6; --ink: #22242a; --faint: #70747e; --line: #dedcd6; --mat: #f0eee8; --accent: #ee3377 }
@media (prefers-color-scheme: dark) {
  :root { --paper: #17181c; --ink: #eceae4; --faint: #9a9ea8; --line: #33353c; --mat: #222429; --accent: #ff5c93 }
}
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
main { max-width: 1120px; margin: 0 auto; padding: 48px 28px 72px }
h1 { font-size: 22px; font-weight: 600; margin: 0; overflow-wrap: anywhere }
h2 { font-size: 18px; font-weight: 600; margin: 52px 0 14px }
h3 { font-size: 13px; font-weight: 600; color: var(--faint); margin: 0 0 8px }
small, .note, .legend, .between, footer, dt { color: var(--faint) }
.eyebrow { margin: 0 0 4px; color: var(--accent); font-weight: 600; letter-spacing: .02em }
.headline { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 28px; margin-top: 30px }
.number { margin: 0; font-size: 64px; font-weight: 650; letter-spacing: -.02em; line-height: 1 }
.number small { font-size: 15px; font-weight: 400; letter-spacing: 0; margin-left: 12px }
.between { margin: 0 }
dl { display: flex; flex-wrap: wrap; gap: 6px 28px; margin: 0 }
dl div { display: flex; gap: 8px }
dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums }
.headline dl { margin-left: auto }
.note { margin: 18px 0 26px; padding-top: 14px; border-top: 1px solid var(--line) }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th { text-align: left; font-weight: 500; color: var(--faint) }
th, td { padding: 7px 18px 7px 0; white-space: nowrap; border-bottom: 1px solid var(--line) }
tfoot td { font-weight: 600; border-bottom: 0 }
.classes { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(430px, 100%), 1fr)); gap: 26px 44px }
ol { list-style: none; margin: 0; padding: 0 }
li { display: grid; grid-template-columns: 110px 1fr 142px; gap: 12px; align-items: center; padding: 3px 0 }
li span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap }
li i { position: relative; height: 12px; background: var(--mat); border-radius: 3px }
li b { position: absolute; inset: 0 auto 0 0; background: var(--accent); opacity: .8; border-radius: 3px }
li u { position: absolute; top: 5px; height: 2px; background: var(--ink) }
li em { font-style: normal; font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: -6px 0 16px }
.legend i { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 7px;
  vertical-align: -1px }
.episodes { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(340px, 100%), 1fr)); gap: 26px 22px }
figure { margin: 0 }
.images { display: grid; grid-template-columns: 2fr 3fr; gap: 6px; height: 190px }
.images > img, .shots img { width: 100%; height: 100%; object-fit: contain; background: var(--mat);
  border-radius: 4px; display: block; min-height: 0 }
.shots { display: grid; grid-template-columns: repeat(var(--columns), 1fr); grid-auto-rows: minmax(0, 1fr); gap: 4px;
  min-height: 0; min-width: 0 }
figcaption { margin-top: 7px; line-height: 1.35 }
figcaption em { float: right; font-style: normal; font-variant-numeric: tabular-nums }
.settings { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(320px, 100%), 1fr)) }
footer { margin-top: 56px; padding-top: 14px; border-top: 1px solid var(--line); font-size: 13px }
"""
