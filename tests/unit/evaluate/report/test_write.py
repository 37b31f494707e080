import json
from dataclasses import replace
from pathlib import Path

import pytest

from likewise.data.layout import Presence
from likewise.evaluate.report.episode_images import episode_images, worst_and_best
from likewise.evaluate.report.write import write_page, write_report, write_results
from likewise.evaluate.results import Part, Results
from likewise.evaluate.run import Run
from likewise.metrics.scores import Scores
from support.html_page import Page


def test_results_json_holds_protocol_settings_presence_and_numbers(results: Results, tmp_path: Path) -> None:
    write_results(results, tmp_path / "results.json")
    record = json.loads((tmp_path / "results.json").read_text())
    assert record["protocol"] == "likewise-1"
    assert record["settings"] == results.settings
    assert record["intervals"] == results.interval_note
    first, scores = record["parts"][0], results.parts[0].scores
    assert (first["name"], first["listed"], first["present"]) == ("PASCAL-5i fold 0 val", 20, 20)
    assert first["values"] == scores.values
    assert first["per class"] == scores.per_class
    assert first["intervals"]["mIoU"] == list(scores.intervals["mIoU"])
    assert first["query images"] == results.parts[0].queries
    assert record["mean"]["values"]["mIoU"] == results.mean.values["mIoU"]  # type: ignore[union-attr]


def test_missing_numbers_become_null(results: Results, tmp_path: Path) -> None:
    part = results.parts[0]
    scores = replace(part.scores, values={"mIoU": float("nan")}, per_class={"boat": float("inf")})
    write_results(replace(results, parts=(replace(part, scores=scores),)), tmp_path / "results.json")
    first = json.loads((tmp_path / "results.json").read_text())["parts"][0]
    assert (first["values"], first["per class"]) == ({"mIoU": None}, {"boat": None})


def test_a_report_shows_episodes_if_its_run_is_given(run: Run, results: Results, tmp_path: Path) -> None:
    page = write_report(results, tmp_path, run)
    assert json.loads((tmp_path / "results.json").read_text())["protocol"] == "likewise-1"
    assert len(Page(page.read_text()).images) == 5 * 18
    assert not Page(write_report(results, tmp_path).read_text()).images


def test_the_page_is_one_file_with_numbers_classes_and_images(run: Run, results: Results, tmp_path: Path) -> None:
    worst, best = worst_and_best(results.episodes, count=3)
    write_page(results, tmp_path / "index.html", episode_images(run, worst), episode_images(run, best))
    page = Page((tmp_path / "index.html").read_text())
    assert all(address.startswith("data:") for address in page.addresses)
    assert len(page.images) == 6 * 5
    assert page.images.count((400, 300)) == 6
    text = " ".join(page.text)
    for words in (
        "likewise-1",
        "2-way 2-shot, truth, <none>",
        "20 of 20",
        "Worst episodes",
        "Best episodes",
        "tvmonitor",
    ):
        assert words in text
    assert f"{100 * results.mean.values['mIoU']:.1f}" in page.text  # type: ignore[union-attr]
    for one in worst:
        assert f"IoU {100 * one.iou:.1f}" in page.text


def test_a_card_states_that_most_of_the_query_is_ignored(run: Run, results: Results, tmp_path: Path) -> None:
    shown = episode_images(run, results.episodes[:1])[0]
    # the line of 255 around the 45x50 blocks
    assert shown.ignored == pytest.approx((47 * 52 - 45 * 50) / 4800, abs=0.01)
    write_page(results, tmp_path / "index.html", [shown, replace(shown, ignored=0.67)])
    assert [words for words in Page((tmp_path / "index.html").read_text()).text if "ignored" in words] == [
        f"fold 0, line 0: {shown.score.episode.query}, 67% ignored"
    ]


def test_a_page_without_episodes_has_no_gallery(tmp_path: Path) -> None:
    scores = Scores("scenes", {"mIoU": 0.5}, {"sky": 0.5, "car": float("nan")}, counts={"images": 3})
    part = Part("CamVid test", Presence("CamVid test", 3), scores)
    write_page(Results("scenes", (part,), {"inference": "single-scale"}), tmp_path / "index.html")
    page = Page((tmp_path / "index.html").read_text())
    assert not page.images
    assert "Worst episodes" not in page.text
    assert "50.0" in page.text


def test_names_are_escaped(tmp_path: Path) -> None:
    scores = Scores("scenes", {"mIoU": 0.5}, {"<b>sky</b>": 0.5}, {"<b>sky</b>": (0.4, 0.6)}, {"images": 3})
    part = Part("CamVid & more", Presence("CamVid", 3), scores)
    write_page(Results("scenes", (part,), {"inference": "<i>"}), tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text()
    assert "<b>sky" not in text
    assert "<i>" in " ".join(Page(text).text)
    assert "left:40.0%;width:20.0%" in text
