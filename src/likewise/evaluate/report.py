"""Results for people and programs: a table, `results.json`, and a page with the worst and best episodes as pictures.

Every number stands beside the name of its protocol and how much of the data was there.
"""

import base64
import html
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from likewise import __version__
from likewise.data.episodes import load_episode
from likewise.data.layout import IGNORE
from likewise.data.transforms import resize_labels, resize_picture
from likewise.draw import outline, overlay, palette
from likewise.evaluate.loops import read_episode_mask
from likewise.evaluate.run import Run
from likewise.evaluate.scoring import EpisodeScore, Part, Results
from likewise.metrics import Scores
from likewise.writing import written

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = 9
QUERY_SIDE, SHOT_SIDE = 400, 260
TRUTH_COLOUR = (255, 214, 10)
TOLD_FROM = 0.2
"""The share of ignored pixels from which a card tells it: a boundary takes less, an unlabelled ground more."""


@dataclass(frozen=True)
class EpisodePictures:
    """An episode to look at: its supports outlined; the query with what was found tinted and the truth outlined.

    `ignored` is the share of the query that counts neither way.
    """

    score: EpisodeScore
    supports: tuple[UInt8[np.ndarray, "_ _ 3"], ...]
    query: UInt8[np.ndarray, "h w 3"]
    ignored: float


def write_report(results: Results, folder: Path | str, run: Run | None = None) -> Path:
    """Write `results.json` and `index.html`, with pictures of episodes if their run is given; gives the page's path."""
    folder = Path(folder)
    write_results(results, folder / "results.json")
    page = folder / "index.html"
    if run is None:
        write_page(results, page)
    else:
        worst, best = worst_and_best(results.episodes)
        write_page(results, page, episode_pictures(run, worst), episode_pictures(run, best))
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
                "query pictures": part.queries,
                "left out": {str(line): reason for line, reason in part.left_out.items()},
                **numbers(part.scores),
            }
            for part in results.parts
        ],
        "mean": None if results.mean is None else numbers(results.mean),
    }
    with written(path) as part:
        part.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")


def numbers(scores: Scores) -> dict[str, Any]:
    return {
        "values": {name: finite(value) for name, value in scores.values.items()},
        "per class": {name: finite(value) for name, value in scores.per_class.items()},
        "intervals": {name: [finite(edge) for edge in edges] for name, edges in scores.intervals.items()},
        "counts": scores.counts,
    }


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


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
        classes = Table("set", class_kind(results), *(["query pictures"] if several else []), what, box=SIMPLE_HEAD)
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


def episode_pictures(run: Run, scores: Iterable[EpisodeScore]) -> list[EpisodePictures]:
    """The pictures of some episodes, in the aspect that the photographs have."""
    found = []
    for score in scores:
        episode = score.episode
        loaded = load_episode(run.folds[score.fold], episode)
        colours = palette(len(episode.classes)).tolist()
        supports = []
        for way, (pictures, labels) in enumerate(zip(loaded.supports, loaded.support_labels, strict=True)):
            for picture, own in zip(pictures, labels, strict=True):
                small, mask = fitted(picture, own, SHOT_SIDE)
                supports.append(outline(small, mask == way + 1, tuple(colours[way])))
        picture, target = fitted(loaded.query, loaded.target, QUERY_SIDE)
        size = Image.open(score.mask).size
        prediction = read_episode_mask(score.mask, (size[1], size[0]), len(episode.classes))
        drawn = overlay(picture, resize_labels(prediction, *target.shape))
        ignored = target == IGNORE
        drawn = outline(drawn, (target > 0) & ~ignored, TRUTH_COLOUR)
        found.append(EpisodePictures(score, tuple(supports), drawn, float(ignored.mean())))
    return found


def fitted(
    picture: UInt8[np.ndarray, "h w 3"], labels: UInt8[np.ndarray, "h w"], side: int
) -> tuple[UInt8[np.ndarray, "h2 w2 3"], UInt8[np.ndarray, "h2 w2"]]:
    """Both with their longer side at `side` pixels."""
    scale = side / max(labels.shape)
    height, width = (max(1, round(length * scale)) for length in labels.shape)
    return resize_picture(picture, height, width), resize_labels(labels, height, width)


def worst_and_best(scores: Sequence[EpisodeScore], count: int = SHOWN) -> tuple[list[EpisodeScore], list[EpisodeScore]]:
    """The `count` episodes of the lowest IoU and those of the highest, no query picture twice."""
    ranked = sorted(scores, key=lambda score: (score.iou, score.fold, score.line))
    lowest: dict[str, EpisodeScore] = {}
    for score in ranked:
        lowest.setdefault(score.episode.query, score)
    worst = list(lowest.values())[: min(count, (len(lowest) + 1) // 2)]
    taken = {score.episode.query for score in worst}
    highest: dict[str, EpisodeScore] = {}
    for score in reversed(ranked):
        if score.episode.query not in taken:
            highest.setdefault(score.episode.query, score)
    return worst, list(highest.values())[:count]


def write_page(
    results: Results, path: Path | str, worst: Sequence[EpisodePictures] = (), best: Sequence[EpisodePictures] = ()
) -> None:
    """Write one HTML file, pictures inside, that needs nothing else."""
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
    with written(path) as part:
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


def card(shown: EpisodePictures) -> str:
    score = shown.score
    shots = "".join(picture_tag(picture, "support") for picture in shown.supports)
    columns = 1 if len(shown.supports) <= 3 else 2
    query = picture_tag(shown.query, "query")
    ignored = f", {shown.ignored:.0%} ignored" if shown.ignored >= TOLD_FROM else ""
    return (
        f"<figure><div class=pictures><div class=shots style='--columns:{columns}'>{shots}</div>{query}</div>"
        f"<figcaption><strong>{text(', '.join(score.episode.classes))}</strong> "
        f"<em>IoU {percent(score.iou)}</em><br><small>fold {score.fold}, line {score.line}: "
        f"{text(score.episode.query)}{ignored}</small></figcaption></figure>"
    )


def picture_tag(picture: UInt8[np.ndarray, "h w 3"], what: str) -> str:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "JPEG", quality=85, subsampling=0)
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
.pictures { display: grid; grid-template-columns: 2fr 3fr; gap: 6px; height: 190px }
.pictures > img, .shots img { width: 100%; height: 100%; object-fit: contain; background: var(--mat);
  border-radius: 4px; display: block; min-height: 0 }
.shots { display: grid; grid-template-columns: repeat(var(--columns), 1fr); grid-auto-rows: minmax(0, 1fr); gap: 4px;
  min-height: 0; min-width: 0 }
figcaption { margin-top: 7px; line-height: 1.35 }
figcaption em { float: right; font-style: normal; font-variant-numeric: tabular-nums }
.settings { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(320px, 100%), 1fr)) }
footer { margin-top: 56px; padding-top: 14px; border-top: 1px solid var(--line); font-size: 13px }
"""
