from likewise.evaluate.report.formatting import describe, format_class, format_value, percent
from likewise.metrics.scores import Scores


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
