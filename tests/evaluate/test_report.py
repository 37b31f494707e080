import io
import json
import re
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import fakes
from likewise.data.episodes import Episode, EpisodeSet, load_episode
from likewise.data.layout import Presence
from likewise.draw import palette
from likewise.evaluate.loops import predict, score
from likewise.evaluate.report import (
    TRUTH_COLOUR,
    episode_pictures,
    tables,
    worst_and_best,
    write_page,
    write_report,
    write_results,
)
from likewise.evaluate.run import Run, start_run
from likewise.evaluate.scoring import EpisodeScore, Part, Results
from likewise.metrics import Scores


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two ways and two shots; the further down the list, the less is found."""
    root = fakes.make_voc(tmp_path_factory.mktemp("voc"), per_class=8)
    out = tmp_path_factory.mktemp("run")
    settings = {"fold": "all", "count": 10, "shots": 2, "ways": 2, "model": {"model": "truth", "backbone": "<none>"}}
    run = start_run(out, protocol_name="likewise-1", data=root, **settings)
    asked = iter(range(100))

    def segment(dataset: EpisodeSet, episode: Episode) -> np.ndarray:
        target = load_episode(dataset, episode).target
        labels = np.where(target == 255, 0, target).astype(np.uint8)
        labels[55 - next(asked) :] = 0
        return labels

    predict(run, segment)
    return run


@pytest.fixture(scope="module")
def results(run: Run) -> Results:
    return score(run)


def printed(results: Results) -> str:
    console = Console(file=io.StringIO(), width=300)
    for table in tables(results):
        console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_table_names_protocol_presence_numbers_and_whose_intervals(results: Results) -> None:
    shown = printed(results)
    assert "likewise-1: 2-way 2-shot, truth, <none>" in shown
    scores = results.parts[1].scores
    low, high = (100 * edge for edge in scores.intervals["mIoU"])
    row = next(line for line in shown.splitlines() if "PASCAL-5i fold 1 val" in line)
    assert "20 of 20" in row
    assert f"{100 * scores.values['mIoU']:.1f} [{low:.1f}, {high:.1f}]" in row
    assert results.mean is not None
    mean = next(line for line in shown.splitlines() if "mean over folds" in line)
    assert f"{100 * results.mean.values['mIoU']:.1f} [" in mean
    assert results.interval_note in " ".join(shown.split())
    assert "part of the protocol" in results.interval_note
    assert "IoU under likewise-1" in shown
    boat = next(line for line in shown.splitlines() if "boat" in line).split()
    assert boat[1] == str(results.parts[0].queries["boat"])
    assert boat[2] == f"{100 * results.parts[0].scores.per_class['boat']:.1f}"


def test_a_table_says_what_was_left_out_and_what_has_no_number() -> None:
    scores = Scores("scenes", {"mIoU": 0.5}, {"sky": 0.5, "car": float("nan")}, counts={"pictures": 3})
    part = Part("CamVid test", Presence("CamVid test", 5, ("a", "b")), scores, {2: "damaged"})
    shown = printed(Results("scenes", (part,), {"inference": "single-scale"}))
    assert "scenes: inference single-scale" in shown
    assert re.search(r"present +3 of 5, 1 episodes left out *\n +pictures +3 ", shown)
    assert re.search(r"car +- ", shown)


def test_groups_have_their_jaccard_index_by_group() -> None:
    scores = Scores("co-segmentation", {"Jaccard": 0.5}, {"owl": 0.25}, counts={"pictures": 3})
    part = Part("VOC", Presence("VOC", 3), scores)
    shown = printed(Results("co-segmentation", (part,), {"data": "VOC"}))
    assert re.search(r"set +group +Jaccard under co-segmentation", shown)
    assert re.search(r"owl +25\.0", shown)


def test_results_json_has_protocol_settings_presence_and_numbers(results: Results, tmp_path: Path) -> None:
    write_results(results, tmp_path / "results.json")
    record = json.loads((tmp_path / "results.json").read_text())
    assert record["protocol"] == "likewise-1"
    assert record["settings"] == results.settings
    assert "part of the protocol" in record["intervals"]
    first, scores = record["parts"][0], results.parts[0].scores
    assert (first["name"], first["listed"], first["present"]) == ("PASCAL-5i fold 0 val", 20, 20)
    assert first["values"] == scores.values
    assert first["per class"] == scores.per_class
    assert first["intervals"]["mIoU"] == list(scores.intervals["mIoU"])
    assert first["query pictures"] == results.parts[0].queries
    assert record["mean"]["values"]["mIoU"] == results.mean.values["mIoU"]  # type: ignore[union-attr]


def test_results_json_is_json_where_a_number_is_missing(results: Results, tmp_path: Path) -> None:
    part = results.parts[0]
    scores = replace(part.scores, values={"mIoU": float("nan")}, per_class={"boat": float("inf")})
    write_results(replace(results, parts=(replace(part, scores=scores),)), tmp_path / "results.json")
    first = json.loads((tmp_path / "results.json").read_text())["parts"][0]
    assert (first["values"], first["per class"]) == ({"mIoU": None}, {"boat": None})


def scored(*ious: float, queries: str = "abcdefghijklmnop") -> list[EpisodeScore]:
    return [
        EpisodeScore(0, line, Episode(("cat",), (("s",),), queries[line]), Path("m.png"), iou)
        for line, iou in enumerate(ious)
    ]


def test_the_worst_and_the_best_come_first_and_none_is_both() -> None:
    worst, best = worst_and_best(scored(0.5, 0.1, 0.9, 0.3, 0.7), count=2)
    assert [one.iou for one in worst] == [0.1, 0.3]
    assert [one.iou for one in best] == [0.9, 0.7]
    worst, best = worst_and_best(scored(0.5, 0.1, 0.9))
    assert [one.iou for one in worst] == [0.1, 0.5]
    assert [one.iou for one in best] == [0.9]
    assert worst_and_best([]) == ([], [])


def test_a_query_picture_is_shown_once() -> None:
    worst, best = worst_and_best(scored(0.1, 0.2, 0.3, 0.8, 0.9, queries="aabcc"), count=5)
    assert [one.iou for one in worst] == [0.1, 0.3]
    assert [one.iou for one in best] == [0.9]


def test_pictures_of_an_episode_have_supports_outlined_and_found_and_true_on_the_query(
    run: Run, results: Results
) -> None:
    worst, _ = worst_and_best(results.episodes, count=2)
    for shown in episode_pictures(run, worst):
        assert len(shown.supports) == 4
        for picture, colour in zip(shown.supports, palette(2)[[0, 0, 1, 1]], strict=True):
            assert (picture == colour).all(axis=2).any()
        assert shown.query.shape[0] / shown.query.shape[1] == 60 / 80
        assert (shown.query == TRUTH_COLOUR).all(axis=2).any()


class Page(HTMLParser):
    """The text, the pictures and every address of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.pictures, self.addresses = [], [], []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        for name, value in attributes:
            if name in ("src", "href"):
                self.addresses.append(value)
                if tag == "img":
                    content = b64decode(value.removeprefix("data:image/jpeg;base64,"))
                    self.pictures.append(Image.open(io.BytesIO(content)).size)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_is_one_file_with_numbers_classes_and_pictures(run: Run, results: Results, tmp_path: Path) -> None:
    worst, best = worst_and_best(results.episodes, count=3)
    write_page(results, tmp_path / "index.html", episode_pictures(run, worst), episode_pictures(run, best))
    page = Page((tmp_path / "index.html").read_text())
    assert all(address.startswith("data:") for address in page.addresses)
    assert len(page.pictures) == 6 * 5
    assert page.pictures.count((400, 300)) == 6
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


def test_a_card_tells_of_a_query_that_is_mostly_ignored(run: Run, results: Results, tmp_path: Path) -> None:
    shown = episode_pictures(run, results.episodes[:1])[0]
    # the line of 255 around the 45x50 blocks
    assert shown.ignored == pytest.approx((47 * 52 - 45 * 50) / 4800, abs=0.01)
    write_page(results, tmp_path / "index.html", [shown, replace(shown, ignored=0.67)])
    assert [words for words in Page((tmp_path / "index.html").read_text()).text if "ignored" in words] == [
        f"fold 0, line 0: {shown.score.episode.query}, 67% ignored"
    ]


def test_a_page_without_episodes_has_no_gallery(tmp_path: Path) -> None:
    scores = Scores("scenes", {"mIoU": 0.5}, {"sky": 0.5, "car": float("nan")}, counts={"pictures": 3})
    part = Part("CamVid test", Presence("CamVid test", 3), scores)
    write_page(Results("scenes", (part,), {"inference": "single-scale"}), tmp_path / "index.html")
    page = Page((tmp_path / "index.html").read_text())
    assert not page.pictures
    assert "Worst episodes" not in page.text
    assert "50.0" in page.text


def test_a_report_is_a_page_and_its_numbers_with_episodes_if_the_run_is_there(
    run: Run, results: Results, tmp_path: Path
) -> None:
    page = write_report(results, tmp_path, run)
    assert json.loads((tmp_path / "results.json").read_text())["protocol"] == "likewise-1"
    assert len(Page(page.read_text()).pictures) == 5 * 18
    assert not Page(write_report(results, tmp_path).read_text()).pictures
