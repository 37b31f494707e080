import math
from typing import Any

import numpy as np
import pytest

from likewise.errors import ArgumentError
from likewise.io.annotations.label_studio import encode_brush, read_results, results_of
from likewise.predict.result import Result
from likewise.predict.selector import Selector
from likewise.serve.label_studio.errors import PayloadError
from likewise.serve.label_studio.interface import Control, Interface
from likewise.serve.label_studio.regions import marks_of, prediction_of, suggest

SIZE = 60, 80
INTERFACE = Interface(
    "image", (Control("brush", "b", "image", ("cat",)), Control("rectangle", "r", "image", ("cat", "dog")))
)


def smart(type: str, class_name: str = "cat", **value: Any) -> dict[str, Any]:
    return {"id": "abc", "type": type, "value": {type: [class_name], **value}}


class Fake(Selector):
    """A selector that returns the box, or the part of the image below the first point."""

    def __init__(self):
        self.size = SIZE

    def mask(self, points=(), labels=None, box=None, strokes=None, previous=None):
        found = np.zeros(SIZE, bool)
        if box is not None:
            x0, y0, x1, y1 = box[0]
            found[y0:y1, x0:x1] = True
        elif points:
            found[int(points[0][1]) :] = True
        return found


def test_a_rectangle_is_a_box_in_pixels_within_the_image():
    found = marks_of([smart("rectanglelabels", x=25, y=50, width=50, height=80)], SIZE)
    assert found.boxes == [(20, 30, 60, 60)]
    assert found.class_name == "cat"


def test_a_turned_rectangle_is_the_upright_box_around_it():
    found = marks_of([smart("rectanglelabels", x=50, y=0, width=10, height=20, rotation=90)], SIZE)
    assert found.boxes == [(28, 0, 40, 8)]


def test_key_points_are_on_the_object_or_not_and_inside_the_image():
    points = [smart("keypointlabels", x=100, y=-1), smart("keypointlabels", x=50, y=50) | {"is_positive": False}]
    found = marks_of(points, SIZE)
    assert found.points == [(79.5, 0.0), (40.0, 30.0)]
    assert found.labels == [1, 0]


def test_brushes_are_strokes_united():
    planes = np.zeros((2, *SIZE), bool)
    planes[0, 3], planes[1, 5] = True, True
    found = marks_of([smart("brushlabels", format="rle", rle=encode_brush(plane)) for plane in planes], SIZE)
    assert found.strokes is not None
    np.testing.assert_array_equal(found.strokes, planes.any(axis=0))


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"type": "rectanglelabels"},
        smart("rectanglelabels", x=1, y=1),
        smart("rectanglelabels", x=1, y="a", width=1, height=1),
        smart("keypointlabels", x=math.nan, y=1),
        smart("brushlabels", rle=[0, 0, 0]),
        smart("brushlabels", rle=encode_brush(np.ones((5, 5), bool))),
        smart("brushlabels", rle="x"),
        3,
    ],
)
def test_a_region_that_is_not_of_the_protocol_is_refused(wrong):
    with pytest.raises(PayloadError):
        marks_of([wrong], SIZE)


def test_other_types_and_several_classes_are_refused():
    with pytest.raises(ArgumentError, match="ellipselabels"):
        marks_of([smart("ellipselabels", x=1, y=1)], SIZE)
    with pytest.raises(ArgumentError, match="one class"):
        marks_of([smart("keypointlabels", x=1, y=1), smart("keypointlabels", "dog", x=1, y=1)], SIZE)
    with pytest.raises(ArgumentError, match="turned"):
        marks_of([smart("keypointlabels", x=1, y=1) | {"image_rotation": 90}], SIZE)


def test_a_suggestion_is_a_region_of_the_interface_that_a_further_mark_replaces():
    regions = [smart("rectanglelabels", x=25, y=50, width=50, height=25)]
    (found,) = suggest(Fake(), regions, INTERFACE)
    assert (found["from_name"], found["to_name"], found["type"]) == ("b", "image", "brushlabels")
    ((one,), size) = read_results([found], "it")
    assert size == SIZE
    assert one.class_name == "cat"
    assert one.shape.mask(SIZE).sum() == 40 * 15
    (again,) = suggest(Fake(), [*regions, smart("rectanglelabels", x=1, y=1, width=1, height=1)], INTERFACE)
    assert again["id"] == found["id"]


def test_without_smart_regions_nothing_is_suggested():
    assert suggest(Fake(), [], INTERFACE) == []


def test_a_class_without_a_brush_is_shown_by_a_rectangle():
    (found,) = suggest(Fake(), [smart("keypointlabels", "dog", x=1, y=50)], INTERFACE)
    assert found["type"] == "rectanglelabels"
    assert found["value"] | {"x": 0, "y": 50, "width": 100, "height": 50} == found["value"]
    with pytest.raises(ArgumentError, match="bird"):
        suggest(Fake(), [smart("keypointlabels", "bird", x=1, y=50)], INTERFACE)


def test_a_prediction_has_a_region_for_each_class_and_presence_as_score():
    labels = np.zeros(SIZE, np.uint8)
    labels[5:15, 5:15], labels[30:40, 5:15], labels[30:40, 50:60] = 1, 2, 2
    result = Result(labels, (labels > 0).astype(np.float32), ("cat", "dog", "bird"), (0.9, 0.6, 1.0), (0.5, 0.5, 0.5))
    found = prediction_of(result, INTERFACE)
    assert found["score"] == 0.9
    assert [(one["type"], one["score"]) for one in found["result"]] == [
        ("brushlabels", 0.9), ("rectanglelabels", 0.6), ("rectanglelabels", 0.6),
    ]  # fmt: skip
    objects, _ = read_results(found["result"], "it")
    np.testing.assert_array_equal(objects[0].shape.mask(SIZE), labels == 1)
    np.testing.assert_array_equal(objects[1].shape.mask(SIZE) | objects[2].shape.mask(SIZE), labels == 2)
    assert len({one["id"] for one in found["result"]}) == 3


def test_an_image_without_the_classes_has_an_empty_prediction():
    result = Result(np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.float32), ("cat",), (0.1,), (0.0,))
    assert prediction_of(result, INTERFACE) == {"result": [], "score": 0.1}


def test_a_polygon_is_written_for_each_part():
    mask = np.zeros(SIZE, bool)
    mask[5:15, 5:15], mask[30:40, 5:15] = True, True
    found = results_of(mask, "cat", "polygon", ("p", "image"), tolerance=0)
    objects, _ = read_results(found, "it")
    assert len(objects) == 2
    np.testing.assert_array_equal(objects[0].shape.mask(SIZE) | objects[1].shape.mask(SIZE), mask)
