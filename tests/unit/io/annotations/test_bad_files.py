"""Damaged, foreign and hostile files: refused with the format that they look like and what is missing."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from likewise.errors import ArgumentError, DataSetError
from likewise.io.annotations import read_annotations

COCO: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "a.jpg", "height": 8, "width": 9}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 4, 0, 4, 4]]}],
    "categories": [{"id": 1, "name": "cat"}],
}
LABELME = {
    "shapes": [{"label": "cat", "points": [[0, 0], [4, 0], [4, 4]], "shape_type": "polygon"}],
    "imagePath": "a.jpg",
}
GEOJSON = {"type": "FeatureCollection", "features": [{"geometry": {"type": "Polygon", "coordinates": [[[0, 0]]]}}]}
LABEL_STUDIO = [{"data": {"image": "a.jpg"}, "annotations": [{"result": [{"from_name": "x", "original_width": 3}]}]}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.new("RGB", (9, 8)).save(tmp_path / "a.jpg")
    return tmp_path


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("document", "name"), [(COCO, "COCO"), (LABELME, "labelme"), (GEOJSON, "GeoJSON"), (LABEL_STUDIO, "Label Studio")]
)
def test_a_truncated_file_says_which_format_it_looks_like(folder: Path, document: Any, name: str) -> None:
    path = write(folder / "x.json", json.dumps(document)[:-9])
    with pytest.raises(DataSetError, match=rf"x\.json: looks like {name}, .*line 1"):
        read_annotations(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": [], "annotations": []}, "looks like COCO, but lacks categories"),
        ({"imagePath": "a.jpg", "imageData": None}, "looks like labelme, but lacks shapes"),
        ([{"image_id": 1, "category_id": 2, "score": 1}], "COCO results, which lack images"),
        ({"a.jpg123": {"filename": "a.jpg", "regions": []}}, "looks like VIA .*export as COCO"),
        ([1, 2], "no known annotation format"),
        ("no json at all", "looks like no known annotation format"),
        ("", "looks like no known annotation format"),
    ],
)
def test_foreign_json_is_refused_with_what_is_missing(folder: Path, content: Any, message: str) -> None:
    with pytest.raises(DataSetError, match=rf"x\.json: {message}"):
        read_annotations(write(folder / "x.json", content))


def changed(document: Any, *path: Any, value: Any = None) -> Any:
    """Return a copy with the entry at a path replaced, or removed if the value is None."""
    copy = json.loads(json.dumps(document))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return copy


@pytest.mark.parametrize(
    ("document", "name"),
    [
        (changed(COCO, "images", 0, "file_name"), "file_name"),
        (changed(COCO, "annotations", 0, "category_id", value=5), "5"),
        (changed(COCO, "annotations", 0, "image_id", value=5), "5"),
        (changed(COCO, "annotations", 0, "segmentation", value=[["a"] * 6]), "COCO"),
        (changed(COCO, "annotations", value=7), "COCO"),
        (changed(COCO, "images", value=[7]), "COCO"),
        (changed(LABELME, "shapes", 0, "label"), "label"),
        (changed(LABELME, "shapes", 0, "shape_type", value="star"), "'star'"),
        (changed(LABELME, "shapes", 0, "points", value=[[1]]), "labelme"),
        (changed(GEOJSON, "features", 0, "geometry"), "geometry"),
        (changed(GEOJSON, "features", 0, "geometry", "coordinates", value=[[1]]), "GeoJSON"),
        (changed(LABEL_STUDIO, 0, "data", "image"), "no image"),
        (
            [{"data": {"image": "a.jpg"}, "annotations": [{"result": [{"value": {"brushlabels": ["x"]}}]}]}],
            "original_height",
        ),
    ],
)
def test_an_entry_without_a_field_is_named(folder: Path, document: Any, name: str) -> None:
    with pytest.raises(DataSetError, match=rf"x\.json: .*{name}"):
        read_annotations(write(folder / "x.json", document))


@pytest.mark.parametrize(
    "name", ["../a.jpg", "/etc/passwd", "sub/../../a.jpg", "C:\\x\\b.jpg", "/x/../a.jpg", "..\\a.jpg", ""]
)
def test_file_names_that_lead_out_of_the_folder_are_refused(folder: Path, name: str) -> None:
    Image.new("RGB", (9, 8)).save(folder.parent / "a.jpg")
    with pytest.raises(DataSetError, match="leads out of the folder"):
        read_annotations(write(folder / "x.json", changed(COCO, "images", 0, "file_name", value=name)))
    cvat = f'<annotations><image id="0" name="{name}" width="9" height="8"></image></annotations>'
    with pytest.raises(DataSetError, match="leads out of the folder"):
        read_annotations(write(folder / "x.xml", cvat))
    if name:
        task = [{"data": {"image": f"/data/local-files/?d={name}"}, "annotations": []}]
        with pytest.raises(DataSetError, match="leads out of the folder"):
            read_annotations(write(folder / "x.json", task))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<annotations><image", "damaged or cut off XML"),
        ("<html></html>", "<html>"),
        ('<annotations><image id="0" name="a.jpg" width="9"/></annotations>', "CVAT for images, .*'height'"),
        (
            '<annotations><image id="0" name="a.jpg" width="9" height="8"><mask label="x" rle="1,2" left="0" top="0" '
            'width="5" height="5"/></image></annotations>',
            "cover 3 of 25",
        ),
        ("<annotation><object><name>cat</name></object></annotation>", "PASCAL VOC, .*box"),
    ],
)
def test_wrong_xml_is_refused(folder: Path, content: str, message: str) -> None:
    with pytest.raises(DataSetError, match=rf"x\.xml: .*{message}"):
        read_annotations(write(folder / "x.xml", content))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("cat 0.1 0.2 0.3 0.4", "line 1"),
        ("0 0.1 0.2", "line 1"),
        ("0 10 20 30 40", "in pixels"),
        ("0.5 0 0 1 1", "line 1"),
    ],
)
def test_wrong_lines_of_yolo_are_named(folder: Path, line: str, message: str) -> None:
    write(folder / "classes.txt", "cat")
    write(folder / "a.txt", line)
    with pytest.raises(DataSetError, match=rf"a\.txt: .*{message}"):
        read_annotations(folder)


@pytest.mark.parametrize("content", ["train: images", "names: 5", "a: [", "- 1"])
def test_a_data_yaml_without_names_is_refused(folder: Path, content: str) -> None:
    with pytest.raises(DataSetError, match=r"data\.yaml: looks like YOLO, but lacks a list of names"):
        read_annotations(write(folder / "data.yaml", content))


def test_missing_and_unknown_files_are_refused(folder: Path) -> None:
    with pytest.raises(DataSetError, match=r"gone\.json: no such file"):
        read_annotations(folder / "gone.json")
    with pytest.raises(DataSetError, match=r"a\.jpg: no known annotation format"):
        read_annotations(folder / "a.jpg")
    with pytest.raises(ArgumentError, match="'cocoo'"):
        read_annotations(folder, format="cocoo")
    with pytest.raises(DataSetError, match="no image in this folder has a mask"):
        read_annotations(folder)
    with pytest.raises(DataSetError, match=r"alone\.jpg is not beside it"):
        read_annotations(write(folder / "alone.txt", "0 0.1 0.2 0.3 0.4"))
    (folder / "SegmentationClass").mkdir()
    with pytest.raises(DataSetError, match="PASCAL VOC"):
        read_annotations(folder)


def test_several_annotation_files_in_a_folder_are_named(folder: Path) -> None:
    write(folder / "train.json", COCO)
    write(folder / "val.json", COCO)
    with pytest.raises(DataSetError, match=r"train\.json, val\.json"):
        read_annotations(folder)
    write(folder / "instances_val.json", COCO)
    assert len(read_annotations(folder)) == 1, "of COCO's own names, instances have the objects"


def test_the_size_of_an_absent_image_is_needed_where_no_file_states_it(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="1 of 1 images"):
        found = read_annotations(write(tmp_path / "a.geojson", GEOJSON | {"features": []}))
    with pytest.raises(DataSetError, match=r"a\.tif: its size is unknown"):
        found.images[0].mask("cat")
