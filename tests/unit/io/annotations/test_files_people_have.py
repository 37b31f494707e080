"""Files as people have them: other machines' names, resized and turned images, odd ids, numbers and encodings."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from likewise.errors import DataSetError, ExampleError
from likewise.io.annotations import AnnotatedImage, Annotations, Box, Object, read_annotations, write_annotations
from likewise.io.annotations.coco import image_id
from likewise.io.annotations.shapes import Polygons, encode, ring_of, scaled, turned
from likewise.predict.examples import mark
from likewise.predict.find_examples import find_examples

WIDTH, HEIGHT = 60, 40
RING = [10, 5, 30, 5, 30, 25, 10, 25]
SQUARE = (10, 5, 30, 25)


def save(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT), orientation: int = 1, grey: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x112] = orientation
    Image.new("RGB", size, (grey, 120, 90)).save(path, exif=exif)
    return path


def write(path: Path, content: Any, encoding: str = "utf-8", newline: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content, indent=1, ensure_ascii=False)
    path.write_bytes(text.replace("\n", newline).encode(encoding))
    return path


def coco(name: str = "a.jpg", *annotations: dict[str, Any], size: tuple[int, int] = (WIDTH, HEIGHT)) -> dict[str, Any]:
    entries = annotations or ({"segmentation": [RING]},)
    return {
        "images": [{"id": 7, "file_name": name, "height": size[1], "width": size[0]}],
        "annotations": [{"id": i, "image_id": 7, "category_id": 3, **one} for i, one in enumerate(entries)],
        "categories": [{"id": 3, "name": "cat"}],
    }


def box(x: float, y: float, width: float, height: float) -> dict[str, Any]:
    return {"bbox": [x, y, width, height]}


def labelme(*shapes: tuple[str, list[list[float]]], **document: Any) -> dict[str, Any]:
    listed = [{"label": "cat", "shape_type": kind, "points": points} for kind, points in shapes]
    size = {"imageHeight": HEIGHT, "imageWidth": WIDTH}
    return {"shapes": listed, "imagePath": "a.jpg", "imageData": None} | size | document


CORNERS = np.reshape(RING, (-1, 2)).tolist()
VOC = """<annotation><filename>a</filename><path>C:\\x\\a.jpg</path><size><width>0</width><height>0</height></size>
<object><name>cat</name><bndbox><xmin>30</xmin><ymin>6</ymin><xmax>11</xmax><ymax>25</ymax></bndbox></object></annotation>"""


def extent(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(mask)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def only(path: Path) -> AnnotatedImage:
    (image,) = read_annotations(path).images
    assert image.image is not None
    return image


def example_of(path: Path) -> Any:
    (example,), _ = find_examples([path])
    return example


@pytest.mark.parametrize("shape", [{"segmentation": [RING]}, box(10, 5, 20, 20)])
def test_annotations_of_an_image_that_was_resized_are_scaled_with_a_warning(tmp_path: Path, shape: Any) -> None:
    save(tmp_path / "a.jpg", (30, 20))
    path = write(tmp_path / "x.json", coco("a.jpg", shape))
    message = r"a\.jpg: annotated at 60x40 .* scaled to 30x20"
    if "bbox" in shape:
        with pytest.warns(UserWarning, match=message):
            assert example_of(path).box == [(5.0, 2.5, 15.0, 12.5)]
        return
    example = example_of(path)
    with pytest.warns(UserWarning, match=message):
        assert extent(mark(example)[1]) == (5, 2, 15, 12)


@pytest.mark.parametrize("shape", [{"segmentation": [RING]}, box(10, 5, 20, 20)])
def test_annotations_of_other_proportions_than_the_image_are_refused(tmp_path: Path, shape: Any) -> None:
    save(tmp_path / "a.jpg", (40, 40))
    with pytest.raises(DataSetError, match=r"a\.jpg: is 40x40 .* annotated at 60x40"):
        mark(example_of(write(tmp_path / "x.json", coco("a.jpg", shape))))


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("kind", ["polygon", "box", "mask"])
def test_annotations_of_a_photograph_as_stored_are_turned_with_it(tmp_path: Path, orientation: int, kind: str) -> None:
    save(tmp_path / "a.jpg", orientation=orientation)
    stored = np.zeros((HEIGHT, WIDTH), bool)
    stored[5:25, 10:31] = True
    turn = {5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE}
    upright = np.asarray(Image.fromarray(stored).transpose(turn.get(orientation, Image.Transpose.ROTATE_90)))
    ring = [10, 5, 31, 5, 31, 25, 10, 25]
    shape = {"polygon": {"segmentation": [ring]}, "box": box(10, 5, 21, 20)}.get(kind) or {
        "segmentation": {"size": [HEIGHT, WIDTH], "counts": encode(stored).counts}
    }
    example = example_of(write(tmp_path / "x.json", coco("a.jpg", shape)))
    if kind == "box":
        assert example.box == [tuple(map(float, extent(upright)))]
    else:
        np.testing.assert_array_equal(mark(example)[1], upright)


def test_annotations_of_the_upright_photograph_stay(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg", orientation=6)
    path = write(tmp_path / "x.json", coco(size=(HEIGHT, WIDTH)))
    assert extent(mark(example_of(path))[1]) == SQUARE


def test_masks_and_polygons_are_moved_by_the_same_rule() -> None:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[5:25, 10:30] = True
    polygon = Polygons(((ring_of(RING),),))
    for orientation in (5, 6, 7, 8):
        shapes = [turned(one, orientation, (HEIGHT, WIDTH)).mask((WIDTH, HEIGHT)) for one in (encode(mask), polygon)]
        np.testing.assert_array_equal(*shapes)
    shapes = [scaled(one, (HEIGHT, WIDTH), (80, 120)).mask((80, 120)) for one in (encode(mask), polygon)]
    np.testing.assert_array_equal(*shapes)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("shape", [{"segmentation": [RING]}, box(10, 5, 20, 20)])
def test_coordinates_that_are_no_numbers_are_left_out(tmp_path: Path, number: str, shape: Any) -> None:
    save(tmp_path / "a.jpg")
    text = json.dumps(coco("a.jpg", shape, {"segmentation": [RING]})).replace("[10,", f"[{number},", 1)
    with pytest.warns(UserWarning, match="1 annotations .* left out"):
        image = only(write(tmp_path / "x.json", text))
    assert len(image.objects) == 1
    assert extent(image.mask("cat")) == SQUARE


def test_boxes_that_overlap_the_edge_are_cut_and_those_outside_left_out(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg")
    path = write(tmp_path / "x.json", coco("a.jpg", box(-5, -5, 20, 20), box(100, 100, 9, 9), box(3, 3, 0, 4)))
    with pytest.warns(UserWarning, match="2 of 3 boxes have no pixel"):
        assert example_of(path).box == [(-5.0, -5.0, 15.0, 15.0)]


def test_boxes_with_their_corners_exchanged_are_read(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg")
    assert only(write(tmp_path / "x.json", coco("a.jpg", box(30, 25, -20, -20)))).objects[0].shape == Box(SQUARE)


def test_ids_may_be_texts_and_have_gaps(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg")
    document = coco()
    document["images"][0]["id"], document["annotations"][0]["category_id"] = "7", "90"
    document["categories"] = [{"id": 3, "name": "dog"}, {"id": 90, "name": "cat"}]
    found = read_annotations(write(tmp_path / "x.json", document))
    assert found.classes == ("dog", "cat")
    assert extent(found.images[0].mask("cat")) == SQUARE


def test_two_images_with_one_id_are_refused(tmp_path: Path) -> None:
    document = coco()
    document["images"] *= 2
    document["images"][1] = document["images"][0] | {"file_name": "b.jpg"}
    with pytest.raises(DataSetError, match=r"a\.jpg and b\.jpg both have the image id 7"):
        read_annotations(write(tmp_path / "x.json", document))


def test_an_image_listed_twice_is_one_image(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg")
    document = coco("a.jpg", {"segmentation": [RING]}, {"segmentation": [[40, 5, 50, 5, 50, 25]]})
    document["images"].append(document["images"][0] | {"id": 8})
    document["annotations"][1]["image_id"] = 8
    assert len(only(write(tmp_path / "x.json", document)).objects) == 2


@pytest.mark.parametrize(
    "document", [coco() | {"annotations": []}, {"images": [], "annotations": [], "categories": []}]
)
def test_a_file_without_annotations_is_read_and_gives_no_example(tmp_path: Path, document: Any) -> None:
    save(tmp_path / "a.jpg")
    path = write(tmp_path / "x.json", document)
    assert all(not image.objects for image in read_annotations(path).images)
    with pytest.raises(ExampleError, match=r"x\.json: no example"):
        find_examples([path])


def test_one_name_in_two_folders_is_refused_unless_the_files_are_equal(tmp_path: Path) -> None:
    save(tmp_path / "train/a.jpg")
    save(tmp_path / "val/a.jpg")
    path = write(tmp_path / "x.json", coco())
    assert only(path).image == tmp_path / "train/a.jpg"
    save(tmp_path / "val/a.jpg", grey=91)
    with pytest.raises(DataSetError, match=r"a\.jpg: there are .*train.* and .*val"):
        read_annotations(path)
    assert only(write(tmp_path / "x.json", coco("val/a.jpg"))).image == tmp_path / "val/a.jpg"


@pytest.mark.parametrize(
    "name", ["sub\\a b.jpg", "C:\\Users\\me\\sub\\a b.jpg", "/home/me/sub/a b.jpg", "https://x.org/d/a%20b.jpg?x=1"]
)
def test_names_of_other_machines_and_addresses_stand_for_the_image_that_is_here(tmp_path: Path, name: str) -> None:
    save(tmp_path / "data/sub/a b.jpg")
    image = only(write(tmp_path / "x.json", coco(name)))
    assert image.image == tmp_path / "data/sub/a b.jpg"
    assert not Path(image.name).is_absolute()


@pytest.mark.parametrize(
    ("encoding", "newline"), [("utf-8-sig", "\r\n"), ("utf-16", "\n"), ("utf-16-le", "\n"), ("utf-8", "\r")]
)
def test_json_with_a_byte_order_mark_other_lines_or_utf_16_is_read(tmp_path: Path, encoding: str, newline: str) -> None:
    save(tmp_path / "ä.jpg")
    assert only(write(tmp_path / "x.json", coco("ä.jpg"), encoding, newline)).name == "ä.jpg"


def test_json_in_another_encoding_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"x\.json: not UTF-8 .* save it as UTF-8"):
        read_annotations(write(tmp_path / "x.json", coco("ä.jpg"), "latin-1"))


def test_yolo_with_capital_names_marks_and_windows_lines(tmp_path: Path) -> None:
    save(tmp_path / "images/A.JPG")
    write(tmp_path / "labels/A.TXT", "0 0.5 0.5 0.2 0.2\n\n", "utf-8-sig", "\r\n")
    write(tmp_path / "Data.YAML", "nc: 1\nnames:\n- cat\n", "utf-8-sig", "\r\n")
    assert [one.class_name for one in only(tmp_path).objects] == ["cat"]


def test_a_yaml_of_any_name_has_the_names_of_yolo(tmp_path: Path) -> None:
    save(tmp_path / "images/a.jpg")
    write(tmp_path / "labels/a.txt", "0 0.5 0.5 0.2 0.2")
    write(tmp_path / "my data.yaml", "names: {0: cat}\n")
    write(tmp_path / "settings.yaml", "epochs: 3\n")
    assert read_annotations(tmp_path).classes == ("cat",)


def test_labelme_with_capital_suffixes(tmp_path: Path) -> None:
    save(tmp_path / "A.JPG")
    path = write(tmp_path / "A.JSON", labelme(("polygon", CORNERS)))
    for place in (path, tmp_path):
        assert extent(only(place).mask("cat")) == SQUARE


def test_shapes_of_labelme_without_an_area_are_left_out(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg")
    shapes = ("polygon", [[1, 2]]), ("polygon", []), ("rectangle", []), ("rectangle", CORNERS), ("rotation", CORNERS)
    with pytest.warns(UserWarning, match="3 shapes"):
        image = only(write(tmp_path / "a.json", labelme(*shapes)))
    assert [extent(image.mask_of(one)) for one in image.objects] == [SQUARE, SQUARE]


def test_a_labelme_file_without_shapes_is_no_example(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg")
    write(tmp_path / "a.json", labelme())
    with pytest.raises(ExampleError, match=r"a\.json: marks no object in a\.jpg"):
        find_examples([tmp_path / "a.jpg"])


def test_one_damaged_file_of_several_is_left_out_and_an_error_if_strict(tmp_path: Path) -> None:
    for name in "abc":
        save(tmp_path / f"{name}.jpg")
        write(tmp_path / f"{name}.json", labelme(("polygon", CORNERS), imagePath=f"{name}.jpg"))
    path = tmp_path / "b.json"
    path.write_text(path.read_text()[:-9])
    with pytest.warns(UserWarning, match=r"left out: .*b\.json: looks like labelme"):
        assert len(find_examples([tmp_path])[0]) == 2
    with pytest.raises(ExampleError, match=r"b\.json"):
        find_examples([tmp_path], strict=True)
    for name in "ac":
        (tmp_path / f"{name}.json").unlink()
    with pytest.raises(DataSetError, match=r"b\.json"):
        read_annotations(path)


def test_one_damaged_label_file_of_yolo_is_left_out(tmp_path: Path) -> None:
    for name in "ab":
        save(tmp_path / f"images/{name}.jpg")
        write(tmp_path / f"labels/{name}.txt", "0 0.5 0.5 0.2 0.2" if name == "a" else "0 nan 0.5 0.2 0.2")
    with pytest.warns(UserWarning, match=r"left out: .*b\.txt: line 1"):
        assert len(read_annotations(tmp_path)) == 1


def test_xml_beside_images_is_read(tmp_path: Path) -> None:
    save(tmp_path / "train/a.jpg")
    write(tmp_path / "train/a.xml", VOC)  # labelImg: no suffix, no size, and corners exchanged
    image = only(tmp_path / "train")
    assert extent(image.mask("cat")) == SQUARE


def test_a_box_of_voc_without_a_number_is_named(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg")
    with pytest.raises(DataSetError, match=r"a\.xml: looks like PASCAL VOC, but a box"):
        read_annotations(write(tmp_path / "a.xml", VOC.replace("30</xmin>", "nan</xmin>")))


def test_shapes_of_cvat_without_numbers_are_left_out(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg")
    shapes = (
        '<polygon label="cat" points="10,5;30,5;30,25;10,25;"/><polygon label="cat" points=""/>'
        '<box label="cat" xtl="nan" ytl="5" xbr="3" ybr="4"/>'
    )
    text = f'<annotations><image id="0" name="a.jpg" width="60" height="40">{shapes}</image></annotations>'
    with pytest.warns(UserWarning, match="2 points, lines or tags, or shapes without numbers"):
        image = only(write(tmp_path / "x.xml", text))
    assert extent(image.mask("cat")) == SQUARE


def label_studio(data: dict[str, Any], labels: list[str]) -> list[dict[str, Any]]:
    points = [[x / WIDTH * 100, y / HEIGHT * 100] for x, y in CORNERS]
    value = {"points": points, "polygonlabels": labels}
    result = {"original_width": WIDTH, "original_height": HEIGHT, "type": "polygonlabels", "value": value}
    return [{"data": data, "annotations": [{"result": [result, {"type": "relation", "from_id": "a", "to_id": "b"}]}]}]


@pytest.mark.parametrize("data", [{"id": "9", "img_url": "https://x/a.jpg?t=1"}, {"image": "s3://bucket/dir/a.jpg"}])
def test_label_studio_may_call_the_image_anything(tmp_path: Path, data: dict[str, Any]) -> None:
    save(tmp_path / "a.jpg")
    with pytest.warns(UserWarning, match="1 results"):
        assert extent(only(write(tmp_path / "x.json", label_studio(data, ["cat"]))).mask("cat")) == SQUARE


def test_a_region_of_label_studio_without_a_label_is_left_out(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg")
    with pytest.warns(UserWarning, match="2 results"):
        assert only(write(tmp_path / "x.json", label_studio({"image": "a.jpg"}, []))).objects == ()


def test_geojson_without_geometry_is_left_out_and_that_of_a_map_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg")
    square = {"type": "Polygon", "coordinates": [[*CORNERS, CORNERS[0]]]}
    features = [{"type": "Feature", "geometry": one, "properties": {"class": "cat"}} for one in (square, None)]
    document = {"type": "FeatureCollection", "features": features}
    with pytest.warns(UserWarning, match="1 points or lines"):
        assert extent(only(write(tmp_path / "a.geojson", document)).mask("cat")) == SQUARE
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    with pytest.raises(DataSetError, match="units of a map"):
        read_annotations(write(tmp_path / "a.geojson", document | {"crs": crs}))


def test_run_lengths_that_do_not_cover_the_image_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg")
    short = {"segmentation": {"size": [HEIGHT, WIDTH], "counts": [5, 5]}}
    with pytest.raises(DataSetError, match="10 pixels of 40 x 60"):
        read_annotations(write(tmp_path / "x.json", coco("a.jpg", short)))
    for counts in ("zzzz", "", "3"):
        damaged = {"segmentation": {"size": [HEIGHT, WIDTH], "counts": counts}}
        image = only(write(tmp_path / "x.json", coco("a.jpg", damaged)))
        with pytest.raises(DataSetError, match="damaged run lengths"):
            image.mask("cat")


def test_run_lengths_of_the_other_orientation_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg")
    coded = coco_mask.encode(np.asfortranarray(np.ones((WIDTH, HEIGHT), np.uint8)))
    swapped = {"segmentation": {"size": [WIDTH, HEIGHT], "counts": coded["counts"].decode()}}
    with pytest.raises(DataSetError, match=r"its mask is \(60, 40\), its image \(40, 60\)"):
        only(write(tmp_path / "x.json", coco("a.jpg", swapped))).mask("cat")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("via.json", {"a.jpg9": {"filename": "a.jpg", "regions": []}}, "VIA"),
        ("via_project.json", {"_via_settings": {}, "_via_img_metadata": {}}, "VIA"),
        ("ds/ann/a.jpg.json", {"size": {}, "objects": [], "tags": []}, "Supervisely"),
        ("createml.json", [{"image": "a.jpg", "annotations": []}], "CreateML"),
    ],
)
def test_formats_that_are_not_read_are_named_in_files_and_folders(
    tmp_path: Path, name: str, content: Any, message: str
) -> None:
    save(tmp_path / "a.jpg")
    path = write(tmp_path / name, content)
    for place in (path, tmp_path):
        with pytest.raises(DataSetError, match=f"looks like {message}.* export as COCO"):
            read_annotations(place)


@pytest.mark.parametrize(("name", "advice"), [("x.zip", "unpack it"), ("x.csv", "export as COCO")])
def test_archives_and_tables_are_refused_with_what_to_do(tmp_path: Path, name: str, advice: str) -> None:
    with pytest.raises(DataSetError, match=advice):
        read_annotations(write(tmp_path / name, "filename,class\n"))


def test_splits_of_roboflow_are_named_and_each_is_read(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        save(tmp_path / split / "a_jpg.rf.0123.jpg")
        write(tmp_path / split / "_annotations.coco.json", coco("a_jpg.rf.0123.jpg"))
    with pytest.raises(DataSetError, match=r"train/_annotations\.coco\.json, valid/_annotations\.coco\.json"):
        read_annotations(tmp_path)
    assert extent(only(tmp_path / "train").mask("cat")) == SQUARE
    (tmp_path / "valid/_annotations.coco.json").unlink()
    assert extent(only(tmp_path).mask("cat")) == SQUARE


def test_the_id_of_an_image_stays_when_images_are_added(tmp_path: Path) -> None:
    def ids(*names: str) -> dict[str, int]:
        images = [AnnotatedImage(name, (Object("cat", Box(SQUARE)),), None, (HEIGHT, WIDTH)) for name in names]
        write_annotations(Annotations(images, ("cat",)), tmp_path / "coco.json", "coco")
        document = json.loads((tmp_path / "coco.json").read_text())
        assert [one["image_id"] for one in document["annotations"]] == [one["id"] for one in document["images"]]
        return {one["file_name"]: one["id"] for one in document["images"]}

    few, many = ids("b.jpg", "d.jpg"), ids("a.jpg", "b.jpg", "c.jpg", "d.jpg", "é/☃.jpg")
    assert few.items() <= many.items()
    assert len(set(many.values())) == 5
    assert all(0 < number < 2**31 for number in many.values())


def test_names_with_one_hash_have_different_ids() -> None:
    first = image_id("a.jpg")
    assert image_id("a.jpg", {first}) == first % (2**31 - 1) + 1
    assert image_id("a.jpg", {first, first + 1}) == first + 2
