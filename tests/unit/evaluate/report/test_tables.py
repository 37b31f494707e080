import io
import re

from rich.console import Console

from likewise.data.layout import Presence
from likewise.evaluate.report.tables import describe, format_class, format_value, percent, tables
from likewise.evaluate.results import Part, Results
from likewise.metrics.scores import Scores


def printed(results: Results) -> str:
    console = Console(file=io.StringIO(), width=300)
    for table in tables(results):
        console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_table_states_protocol_presence_numbers_and_intervals(results: Results) -> None:
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
    assert "IoU under likewise-1" in shown
    boat = next(line for line in shown.splitlines() if "boat" in line).split()
    assert boat[1] == str(results.parts[0].queries["boat"])
    assert boat[2] == f"{100 * results.parts[0].scores.per_class['boat']:.1f}"


def test_a_table_states_left_out_episodes_and_missing_numbers() -> None:
    scores = Scores("scenes", {"mIoU": 0.5}, {"sky": 0.5, "car": float("nan")}, counts={"images": 3})
    part = Part("CamVid test", Presence("CamVid test", 5, ("a", "b")), scores, {2: "damaged"})
    shown = printed(Results("scenes", (part,), {"inference": "single-scale"}))
    assert "scenes: inference single-scale" in shown
    assert re.search(r"present +3 of 5, 1 episode left out *\n +images +3 ", shown)
    assert re.search(r"car +- ", shown)


def test_co_segmentation_lists_the_jaccard_index_of_each_group() -> None:
    scores = Scores("co-segmentation", {"Jaccard": 0.5}, {"owl": 0.25}, counts={"images": 3})
    part = Part("VOC", Presence("VOC", 3), scores)
    shown = printed(Results("co-segmentation", (part,), {"data": "VOC"}))
    assert re.search(r"set +group +Jaccard under co-segmentation", shown)
    assert re.search(r"owl +25\.0", shown)


def test_numbers_are_percent_with_one_decimal() -> None:
    assert percent(0.12345) == "12.3"
    assert percent(float("nan")) == "-"


def test_values_and_classes_carry_their_interval() -> None:
    scores = Scores("p", {"mIoU": 0.5, "FB-IoU": 0.7}, {"cat": 0.25}, {"mIoU": (0.4, 0.6), "cat": (0.2, 0.3)})
    assert format_value(scores, "mIoU") == "50.0 [40.0, 60.0]"
    assert format_value(scores, "FB-IoU") == "70.0"
    assert format_value(scores, "MAE") == ""
    assert format_class(scores, "cat") == "25.0 [20.0, 30.0]"


def test_settings_are_described_in_one_line() -> None:
    model = {"model": "panet", "backbone": "lite0", "side": 320}
    assert describe({"shots": 5, "ways": 1, "model": model}) == "1-way 5-shot, panet, lite0"
    assert describe({"shots": 1, "ways": 2, "model": model, "masks": "theirs"}) == "2-way 1-shot, theirs"
    assert describe({"data": "VOC", "inference": "guessed"}) == "data VOC, inference guessed"
