import json
from dataclasses import replace
from pathlib import Path

from likewise.evaluate.report.write import write_report, write_results
from likewise.evaluate.results import Results
from likewise.evaluate.run import Run
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
