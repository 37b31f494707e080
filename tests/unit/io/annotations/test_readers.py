"""Files in the layouts that the tools themselves write."""

import base64
import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from likewise.errors import DataSetError
from likewise.io.annotations import (
    AnnotatedImage,
    Box,
    annotation_of,
    find_format,
    read_annotations,
    read_image_annotation,
)
from likewise.io.annotations.cellpose import read_ids
from likewise.io.annotations.label_studio import decode_brush, encode_brush
from likewise.io.paths import Listings

HEIGHT, WIDTH = 40, 60
SQUARE = [10, 5, 30, 5, 30, 25, 10, 25]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the image a.jpg."""
    save_image(tmp_path / "a.jpg")
    return tmp_path


def save_image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT), (90, 120, 90)).save(path)
    return path


def square() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[5:25, 10:30] = True
    return mask


def write(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


def only(path: Path, **options: Any) -> AnnotatedImage:
    (image,) = read_annotations(path, **options).images
    assert image.image is not None
    return image


def coco(**annotation: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 7, "file_name": "a.jpg", "height": HEIGHT, "width": WIDTH}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, **annotation}],
        "categories": [{"id": 3, "name": "cat"}, {"id": 9, "name": "dog"}],
    }


def uncompressed() -> dict[str, Any]:
    counts, runs = [10 * HEIGHT + 5], 20
    counts += [20, HEIGHT - 20] * (runs - 1) + [20, HEIGHT * WIDTH - 29 * HEIGHT - 25]
    return {"size": [HEIGHT, WIDTH], "counts": counts}


@pytest.mark.parametrize(
    "annotation",
    [
        {"segmentation": [SQUARE], "iscrowd": 0},
        {"segmentation": [[10, 5, 20, 5, 20, 25, 10, 25], [20, 5, 30, 5, 30, 25, 20, 25]]},
        {"segmentation": uncompressed(), "iscrowd": 1},
        {"segmentation": [], "bbox": [10, 5, 20, 20]},
        {"bbox": [10, 5, 20, 20], "keypoints": [1, 2, 2]},
    ],
)
def test_coco_is_read_with_polygons_run_lengths_and_boxes(folder: Path, annotation: dict[str, Any]) -> None:
    path = write(folder / "annotations.json", coco(**annotation))
    found = read_annotations(path)
    assert (found.format, found.classes) == ("coco", ("cat", "dog"))
    image = found.images[0]
    crowd = bool(annotation.get("iscrowd"))
    np.testing.assert_array_equal(image.mask("cat", crowd=crowd), square())
    assert not image.mask("cat", crowd=not crowd).any()
    assert image.image == folder / "a.jpg"


def test_a_hole_within_one_ring_of_coco_stays_a_hole(folder: Path) -> None:
    keyhole = [*SQUARE, 10, 5, 15, 10, 15, 15, 20, 15, 20, 10, 15, 10, 10, 5]
    image = only(write(folder / "x.json", coco(segmentation=[keyhole])))
    expected = square()
    expected[10:15, 15:20] = False
    np.testing.assert_array_equal(image.mask("cat"), expected)


@pytest.mark.parametrize(
    ("annotations", "image"),
    [
        ("annotations/instances_train.json", "images/train/a.jpg"),
        ("annotations/instances.json", "train2017/a.jpg"),
        ("train/_annotations.coco.json", "train/a.jpg"),
        ("result.json", "images/A.JPG"),
    ],
)
def test_images_are_found_in_the_layouts_of_coco_tools(tmp_path: Path, annotations: str, image: str) -> None:
    save_image(tmp_path / image)
    write(tmp_path / annotations, coco(segmentation=[SQUARE]))
    place = tmp_path if "train2017" not in image else tmp_path / annotations
    options = {"images": tmp_path / "train2017"} if "train2017" in image else {}
    place = tmp_path / "train" if annotations.startswith("train/") else place
    assert only(place, **options).image == tmp_path / image


def test_annotations_without_an_area_are_left_out_with_a_warning(folder: Path) -> None:
    path = write(folder / "x.json", coco(keypoints=[1, 2, 2]))
    with pytest.warns(UserWarning, match=r"x\.json: 1 annotations"):
        assert read_annotations(path).images[0].objects == ()


def test_absent_images_are_counted_and_listed(folder: Path) -> None:
    document = coco(segmentation=[SQUARE])
    document["images"] += [{"id": n, "file_name": f"gone{n}.jpg", "height": 4, "width": 4} for n in range(10, 22)]
    with pytest.warns(UserWarning, match=r"12 of 13 images are not there: gone10\.jpg, .*gone17\.jpg, \.\.\."):
        found = read_annotations(write(folder / "x.json", document))
    assert len(found.absent) == 12


def yolo_line(*numbers: float) -> str:
    return " ".join(f"{number / (WIDTH if index % 2 == 0 else HEIGHT):.6f}" for index, number in enumerate(numbers))


@pytest.mark.parametrize("names", ["[cat, dog]", "{0: cat, 1: dog}", "\n  0: cat\n  1: dog"])
@pytest.mark.parametrize(
    "layout", ["images/train|labels/train|images/train", "train/images|train/labels|../train/images"]
)
def test_yolo_is_read_by_its_data_yaml(tmp_path: Path, names: str, layout: str) -> None:
    images, labels, train = layout.split("|")
    save_image(tmp_path / images / "a.jpg")
    save_image(tmp_path / images / "empty.jpg")
    write(tmp_path / "data.yaml", f"path: /elsewhere\ntrain: {train}\nnc: 2\nnames: {names}\n")
    write(tmp_path / labels / "a.txt", f"1 {yolo_line(*SQUARE)}\n0 {yolo_line(20, 15, 20, 20)}\n")
    for path in (tmp_path, tmp_path / "data.yaml"):
        found = read_annotations(path)
        assert found.classes == ("cat", "dog")
        by_name = {image.name: image for image in found.images}
        for name in ("cat", "dog"):
            np.testing.assert_array_equal(by_name["a.jpg"].mask(name), square())
        assert isinstance(by_name["a.jpg"].objects[1].shape, Box)
        assert by_name["empty.jpg"].objects == ()


def test_yolo_without_a_yaml_takes_classes_txt_and_scores_of_predictions(folder: Path) -> None:
    write(folder / "a.txt", f"0 {yolo_line(20, 15, 20, 20)} 0.75\n1 {yolo_line(*SQUARE)} 0.5\n")
    write(folder / "classes.txt", "\ufeffcat\n")
    image = only(folder)
    assert [(one.class_name, one.score) for one in image.objects] == [("cat", 0.75), ("1", 0.5)]
    np.testing.assert_array_equal(image.mask("1"), square())


VOC = """<annotation><folder>x</folder><filename>a.jpg</filename>
<size><width>60</width><height>40</height><depth>3</depth></size>
<object><name>cat</name><bndbox><xmin>11</xmin><ymin>6</ymin><xmax>30</xmax><ymax>25</ymax></bndbox></object></annotation>"""


def test_boxes_of_voc_count_from_one(tmp_path: Path) -> None:
    save_image(tmp_path / "JPEGImages/a.jpg")
    write(tmp_path / "Annotations/a.xml", VOC)
    for path in (tmp_path, tmp_path / "Annotations/a.xml"):
        image = only(path)
        np.testing.assert_array_equal(image.mask("cat"), square())
        assert image.image == tmp_path / "JPEGImages/a.jpg"


@pytest.mark.parametrize("coloured", [False, True])
def test_masks_of_voc_and_of_cvats_archive_are_read(tmp_path: Path, coloured: bool) -> None:
    save_image(tmp_path / "JPEGImages/a.jpg")
    labels = square() * np.uint8(1)
    labels[30:35, 40:50], labels[0] = 2, 255
    objects = labels.copy()
    objects[5:25, 20:30] = 3
    (tmp_path / "SegmentationClass").mkdir()
    (tmp_path / "SegmentationObject").mkdir()
    for name, values in (("SegmentationClass", labels), ("SegmentationObject", objects)):
        image = Image.fromarray(values)
        colours = np.zeros((256, 3), np.uint8)
        colours[1:4], colours[255] = [(128, 0, 0), (0, 128, 0), (128, 128, 0)], (224, 224, 192)
        image.putpalette(colours.tobytes())
        (image.convert("RGB") if coloured else image).save(tmp_path / name / "a.png")
    image = only(tmp_path)
    assert sorted(one.class_name for one in image.objects) == ["aeroplane", "aeroplane", "bicycle"]
    np.testing.assert_array_equal(image.mask("aeroplane"), square())
    write(
        tmp_path / "labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:128,0,0::\ndog:0,128,0::\n"
    )
    assert read_annotations(tmp_path).classes == ("cat", "dog")
    np.testing.assert_array_equal(only(tmp_path).mask("cat"), square())


def labelme(*shapes: dict[str, Any], **document: Any) -> dict[str, Any]:
    shapes = tuple({"label": "cat", "group_id": None, "flags": {}} | shape for shape in shapes)
    size = {"imageHeight": HEIGHT, "imageWidth": WIDTH}
    return (
        {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": "..\\x\\a.jpg", "imageData": None}
        | size
        | document
    )


def png(array: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize(
    "shapes",
    [
        [{"shape_type": "polygon", "points": np.reshape(SQUARE, (-1, 2)).tolist()}],
        [{"shape_type": "rectangle", "points": [[30, 25], [10, 5]]}],
        [{"shape_type": "mask", "points": [[10, 5], [29, 24]], "mask": png(np.ones((20, 20), np.uint8))}],
        [
            {"shape_type": "rectangle", "points": [[10, 5], [20, 25]], "group_id": 4},
            {"shape_type": "rectangle", "points": [[20, 5], [30, 25]], "group_id": 4},
        ],
    ],
)
def test_areas_of_labelme_are_read(folder: Path, shapes: list[dict[str, Any]]) -> None:
    path = write(folder / "a.json", labelme(*shapes))
    for place in (path, folder):
        image = only(place)
        assert len(image.objects) == 1
        np.testing.assert_array_equal(image.mask("cat"), square())


def test_circles_points_and_lines_of_labelme_are_drawn(folder: Path) -> None:
    shapes = [
        {"label": "circle", "shape_type": "circle", "points": [[20, 15], [20, 25]]},
        {"label": "point", "shape_type": "point", "points": [[30, 20]]},
        {"label": "points", "shape_type": "points", "points": [[10, 10], [40, 30]]},
        {"label": "line", "shape_type": "linestrip", "points": [[10, 20], [40, 20], [40, 30]]},
    ]
    image = only(write(folder / "a.json", labelme(*shapes)))
    assert image.mask("circle").sum() == pytest.approx(np.pi * 100, rel=0.03)
    assert image.mask("point").sum() == pytest.approx(np.pi * 25, rel=0.1)
    assert image.mask("points").sum() == pytest.approx(np.pi * 50, rel=0.1)
    assert image.mask("line")[20, 25]
    assert not image.mask("line")[35, 25]


def test_the_image_within_a_labelme_file_is_used_if_there_is_no_other(tmp_path: Path) -> None:
    document = labelme({"shape_type": "rectangle", "points": [[10, 5], [30, 25]]})
    document["imageData"] = png(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    del document["imageHeight"]
    image = only(write(tmp_path / "a.json", document))
    assert isinstance(image.image, bytes)
    np.testing.assert_array_equal(image.mask("cat"), square())


CVAT = """<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>
<meta><task><labels><label><name>cat</name></label><label><name>dog</name></label></labels></task></meta>
<image id="0" name="sub/a.jpg" width="60" height="40">{}</image></annotations>"""
RUNS = "400"


@pytest.mark.parametrize(
    "shape",
    [
        '<polygon label="cat" points="10.0,5.0;30,5;30,25;10,25" z_order="0"></polygon>',
        '<box label="cat" xtl="10" ytl="5" xbr="30" ybr="25"/>',
        '<box label="cat" xtl="10" ytl="5" xbr="30" ybr="25" rotation="90"/>',
        '<mask label="cat" rle="0, 400" left="10" top="5" width="20" height="20"/>',
    ],
)
def test_areas_of_cvat_are_read(tmp_path: Path, shape: str) -> None:
    save_image(tmp_path / "sub/a.jpg")
    path = write(tmp_path / "annotations.xml", CVAT.format(shape))
    for place in (path, tmp_path):
        found = read_annotations(place)
        assert found.classes == ("cat", "dog")
        np.testing.assert_array_equal(found.images[0].mask("cat"), square())


def test_points_of_cvat_are_left_out_and_videos_refused(tmp_path: Path) -> None:
    save_image(tmp_path / "sub/a.jpg")
    ellipse = '<ellipse label="dog" cx="20" cy="20" rx="10" ry="5"/><points label="cat" points="1,2"/>'
    path = write(tmp_path / "annotations.xml", CVAT.format(ellipse))
    with pytest.warns(UserWarning, match="1 points, lines or tags"):
        image = read_annotations(path).images[0]
    assert image.mask("dog").sum() == pytest.approx(np.pi * 50, rel=0.05)
    with pytest.raises(DataSetError, match="video"):
        read_annotations(write(path, "<annotations><track/></annotations>"))


def label_studio(kind: str, value: dict[str, Any], **task: Any) -> list[dict[str, Any]]:
    result = {
        "original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0, "from_name": "label",
        "to_name": "image", "type": kind, "value": value | {kind: ["cat"]},
    }  # fmt: skip
    address = {"image": "/data/upload/1/0123abcd-a.jpg"}
    return [{"id": 1, "data": address, "annotations": [{"result": [result]}], "predictions": []} | task]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("polygonlabels", {"points": (np.reshape(SQUARE, (-1, 2)) / (0.6, 0.4)).tolist()}),
        ("rectanglelabels", {"x": 10 / 0.6, "y": 5 / 0.4, "width": 20 / 0.6, "height": 20 / 0.4, "rotation": 0}),
        ("rectanglelabels", {"x": 30 / 0.6, "y": 5 / 0.4, "width": 20 / 0.6, "height": 20 / 0.4, "rotation": 90}),
        ("brushlabels", {"format": "rle", "rle": encode_brush(square())}),
    ],
)
def test_areas_of_label_studio_are_read(folder: Path, kind: str, value: dict[str, Any]) -> None:
    document = label_studio(kind, value)
    np.testing.assert_array_equal(only(write(folder / "export.json", document)).mask("cat"), square())
    result = document[0]["annotations"][0]["result"][0]
    region = {**result["value"], "original_width": WIDTH, "original_height": HEIGHT}
    minimal = [{"id": 1, "image": "/data/local-files/?d=a.jpg", "label": [region]}]
    np.testing.assert_array_equal(only(write(folder / "export.json", minimal)).mask("cat"), square())


def test_predictions_of_label_studio_count_where_there_is_no_annotation(folder: Path) -> None:
    value = {"x": 10 / 0.6, "y": 5 / 0.4, "width": 20 / 0.6, "height": 20 / 0.4}
    document = label_studio("rectanglelabels", value)
    result = document[0]["annotations"][0]["result"][0] | {"score": 0.5}
    document[0] |= {"annotations": [{"was_cancelled": True, "result": []}], "predictions": [{"result": [result]}]}
    (one,) = only(write(folder / "export.json", document)).objects
    assert one.score == 0.5


def test_bits_of_a_brush_may_be_runs_or_values() -> None:
    mask = np.array([[True, False], [True, True]])
    np.testing.assert_array_equal(decode_brush(encode_brush(mask), (2, 2)), mask)
    values = np.repeat(mask.ravel(), 4) * 255
    bits = f"{16:032b}{7:05b}" + "0011" * 4 + "0" + "00" + f"{15:04b}" + "".join(f"{value:08b}" for value in values)
    bits += "0" * (-len(bits) % 8)
    coded = [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]
    np.testing.assert_array_equal(decode_brush(coded, (2, 2)), mask)
    for wrong in (coded[:9], encode_brush(np.ones((3, 3), bool))):
        with pytest.raises(ValueError, match="rle"):
            decode_brush(wrong, (2, 2))


def test_a_brush_has_the_bytes_of_label_studios_converter() -> None:
    small = np.array([[True, False, False, False, False], [True, True, False, False, False]])
    assert encode_brush(small) == [0, 0, 0, 40, 57, 27, 252, 127, 247, 192, 39, 255, 182, 0]
    long = np.ones((1, 16385), bool)  # the rest of a run that is too long is written as the run is
    assert encode_brush(long) == [0, 1, 0, 4, 57, 27, 255, 255, 255, 255, 224, 0, 127, 224]


@pytest.mark.parametrize("pickled", [True, False])
def test_seg_files_of_cellpose_are_read_without_running_code(folder: Path, pickled: bool) -> None:
    ids = square().astype(np.uint16)
    ids[30:35, 40:50] = 2
    content = {"masks": ids, "outlines": ids * 0, "filename": "a.jpg", "diameter": np.float64(20.5), "flows": [ids]}
    np.save(folder / "a_seg.npy", np.array(content) if pickled else ids, allow_pickle=True)
    for path in (folder, folder / "a_seg.npy"):
        image = only(path)
        assert len(image.objects) == 2
        np.testing.assert_array_equal(image.mask("cell"), ids > 0)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("evil",)


def test_a_seg_file_with_foreign_code_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(folder / "a_seg.npy", np.array({"masks": Evil()}), allow_pickle=True)
    with pytest.raises(DataSetError, match=r"a_seg\.npy: .*print.*x_cp_masks\.png"):
        read_annotations(folder)
    (folder / "a_seg.npy").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(DataSetError, match=r"a_seg\.npy"):
        read_annotations(folder)
    assert capsys.readouterr().out == ""
    np.save(folder / "a_seg.npy", np.zeros((3, 4, 5), np.uint16))
    with pytest.raises(DataSetError, match=r"\(3, 4, 5\)"):
        read_ids(folder / "a_seg.npy")


def test_maps_of_ids_are_read(folder: Path) -> None:
    Image.fromarray(square().astype(np.uint16) * 7).save(folder / "a_cp_masks.png")
    found = read_annotations(folder / "a_cp_masks.png")
    np.testing.assert_array_equal(found.images[0].mask("cell"), square())
    assert found.images[0].image == folder / "a.jpg"


def feature(geometry: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "id": "x", "geometry": geometry, "properties": {"objectType": "annotation"} | properties}


@pytest.mark.parametrize("wrapped", [True, False])
def test_geojson_of_qupath_is_read_with_holes(folder: Path, wrapped: bool) -> None:
    outer = [[10, 5], [30, 5], [30, 25], [10, 25], [10, 5]]
    hole = [[15, 10], [15, 15], [20, 15], [20, 10], [15, 10]]
    features = [
        feature(
            {"type": "Polygon", "coordinates": [outer, hole]}, classification={"name": "Tumor", "color": [1, 2, 3]}
        ),
        feature({"type": "MultiPolygon", "coordinates": [[hole], [outer]]}, name="cat"),
        feature({"type": "Point", "coordinates": [1, 2]}),
    ]
    path = write(folder / "a.geojson", {"type": "FeatureCollection", "features": features} if wrapped else features)
    expected = square()
    expected[10:15, 15:20] = False
    with pytest.warns(UserWarning, match="1 points or lines"):
        image = only(path)
    np.testing.assert_array_equal(image.mask("Tumor"), expected)
    np.testing.assert_array_equal(image.mask("cat"), square())


def test_images_with_masks_are_a_data_set_of_one_class(tmp_path: Path) -> None:
    save_image(tmp_path / "pets/images/a.jpg")
    (tmp_path / "pets/masks").mkdir()
    Image.fromarray(square()).save(tmp_path / "pets/masks/a.png")
    found = read_annotations(tmp_path / "pets")
    assert (found.classes, found.format) == (("pets",), "mask")
    np.testing.assert_array_equal(found.images[0].mask("pets"), square())


def test_label_images_with_a_legend_have_its_classes(folder: Path) -> None:
    labels = square() * np.uint8(7)
    labels[0] = 255
    Image.fromarray(labels).save(folder / "a.labels.png")
    write(folder / "legend.csv", "label,class,red,green,blue\n0,background,0,0,0\n7,cat,1,2,3\n38,dog,4,5,6\n")
    (folder / "a.labels.png").rename(folder / "a_labels.png")
    found = read_annotations(folder)
    assert found.classes == ("cat", "dog")
    np.testing.assert_array_equal(found.images[0].mask("cat"), square())


def test_what_a_file_says_about_one_image_is_read(folder: Path) -> None:
    other = save_image(folder / "elsewhere" / "a.jpg")
    listings = Listings()
    assert annotation_of(folder / "a.jpg", listings) is None
    path = write(folder / "x.json", coco(segmentation=[SQUARE]))
    assert read_image_annotation(path, other).images[0].image == other
    document = coco(segmentation=[SQUARE])
    document["images"].append({"id": 8, "file_name": "c.jpg", "height": 1, "width": 1})
    path, stranger = write(folder / "x.json", document), save_image(folder / "elsewhere/b.jpg")
    with pytest.raises(DataSetError, match=r"names no image b\.jpg"):
        read_image_annotation(path, stranger)
    write(folder / "a.txt", f"0 {yolo_line(*SQUARE)}\n")
    assert annotation_of(folder / "a.jpg", Listings()) == folder / "a.txt"
    np.testing.assert_array_equal(
        read_image_annotation(folder / "a.txt", folder / "a.jpg").images[0].mask("0"), square()
    )
    with pytest.raises(DataSetError, match="no known annotation format"):
        read_image_annotation(write(folder / "a.doc", ""), folder / "a.jpg")


def test_a_folder_of_photographs_has_no_format(folder: Path) -> None:
    write(folder / "package.json", {"name": "x"})
    write(folder / "notes.txt", "hello")
    assert find_format(folder) is None
