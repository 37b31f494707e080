"""The table of docs/formats.md: each claim of each cell is a check here, and a claim without a check fails.

A cell is a list of claims, separated by commas. `READ`, `KEPT` and `LOST` say how each is checked.
"""

import base64
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet
from scipy import ndimage

from likewise import Example
from likewise.io.annotations import (
    FORMATS,
    AnnotatedImage,
    Annotations,
    Box,
    Object,
    read_annotations,
    read_image_annotation,
    write_annotations,
)
from likewise.io.annotations.label_studio import encode_brush
from likewise.io.annotations.shapes import encode
from likewise.io.class_lists import voc_palette
from likewise.predict.examples import mark
from likewise.predict.find_examples import find_examples

DOCS = Path(__file__).parents[4] / "docs/formats.md"
HEIGHT, WIDTH = 40, 60
LEFT, TOP, RIGHT, BOTTOM = 10, 5, 30, 25
CORNERS = [[LEFT, TOP], [RIGHT, TOP], [RIGHT, BOTTOM], [LEFT, BOTTOM]]
RING = np.ravel(CORNERS).tolist()
FRACTIONS = [[x / WIDTH, y / HEIGHT] for x, y in CORNERS]
CLASSES = ("cat", "dog")


class Row(NamedTuple):
    """A line of the table: the format, and the claims of its cells."""

    name: str
    read: list[str]
    written: list[str]
    kept: list[str]
    lost: list[str]


def rows() -> list[Row]:
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("| Format | In |"))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        found.append(Row(name, *([claim.strip() for claim in cell.split(",") if claim.strip()] for cell in cells)))
    return found


ROWS = rows()


def mask_of(kind: str = "square") -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[TOP:BOTTOM, LEFT:RIGHT] = True
    if kind == "hole":
        mask[10:18, 15:22] = False
    elif kind == "parts":
        mask[TOP:BOTTOM, 18:22] = False
    elif kind == "blob":
        noise = ndimage.gaussian_filter(np.random.default_rng(0).random((HEIGHT, WIDTH)), 2.0)
        mask = noise > np.median(noise)
    return mask


def save(path: Path, values: np.ndarray, colours: bool | None = None) -> None:
    """Write an image: unchanged, as a palette image, or its palette's colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    if colours is not None:
        image.putpalette([number for colour in voc_palette() for number in colour])
        image = image.convert("RGB") if colours else image
    image.save(path)


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


# In: a file in the folder of a.jpg with the square, which is read back


def coco(path: Path, **annotation: Any) -> Path:
    document = {
        "images": [{"id": 7, "file_name": "a.jpg", "height": HEIGHT, "width": WIDTH}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, **annotation}],
        "categories": [{"id": 3, "name": "cat"}],
    }
    return write(path / "coco.json", document)


def uncompressed() -> dict[str, Any]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask_of().T.ravel(), [0]])))
    counts = np.diff(np.concatenate([[0], edges, [HEIGHT * WIDTH]])).tolist()
    return {"size": [HEIGHT, WIDTH], "counts": counts}


def yolo(path: Path, line: str, names: str | None = None) -> Path:
    if names:
        write(path / names, "cat\n" if names.endswith(".txt") else "names: [cat]\n")
    file = write(path / "a.txt", line)
    return path if names else file


def voc(path: Path, *, colours: bool, objects: bool = False, labelmap: bool = False) -> Path:
    labels = mask_of() * np.uint8(8)  # VOC's cat
    if labelmap:
        labels = mask_of() * np.uint8(1)
        write(path / "labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:128,0,0::\n")
    save(path / "SegmentationClass/a.png", labels, colours)
    if objects:
        labels[:, 20:] *= 2
        save(path / "SegmentationObject/a.png", labels, colours)
    return path


def labelme(path: Path, *shapes: dict[str, Any], **document: Any) -> Path:
    listed = [{"label": "cat", "group_id": None, **shape} for shape in shapes]
    content = {"shapes": listed, "imagePath": "a.jpg", "imageData": None, "imageHeight": HEIGHT, "imageWidth": WIDTH}
    return write(path / "a.json", content | document)


def cvat(path: Path, shape: str) -> Path:
    entry = f'<image id="0" name="a.jpg" width="{WIDTH}" height="{HEIGHT}">{shape}</image>'
    return write(path / "annotations.xml", f"<annotations><version>1.1</version>{entry}</annotations>")


def label_studio(path: Path, kind: str, value: dict[str, Any], *, minimal: bool = False) -> Path:
    region = value | {kind: ["cat"]}
    size = {"original_width": WIDTH, "original_height": HEIGHT}
    result = {"from_name": "x", "to_name": "image", "type": kind, "value": region} | size
    task = {"data": {"image": "/data/upload/1/0123abcd-a.jpg"}, "annotations": [{"result": [result]}]}
    smallest = {"id": 1, "image": "/data/upload/1/0123abcd-a.jpg", "label": [region | size]}
    return write(path / "export.json", [smallest if minimal else task])


def geojson(path: Path, *rings: list[list[list[int]]]) -> Path:
    parts = [[[*ring, ring[0]] for ring in part] for part in rings]
    geometry = {"type": "MultiPolygon", "coordinates": parts} if len(parts) > 1 else None
    geometry = geometry or {"type": "Polygon", "coordinates": parts[0]}
    feature = {"type": "Feature", "geometry": geometry, "properties": {"classification": {"name": "cat"}}}
    return write(path / "a.geojson", {"type": "FeatureCollection", "features": [feature]})


def ids(path: Path, name: str) -> Path:
    save(path / name, mask_of() * np.uint16(1))
    if name == "a.instance.png":
        write(path / "objects.csv", "image,id,class,score\na.jpg,1,cat,\n")
    return path


def png() -> str:
    file = io.BytesIO()
    Image.fromarray(np.ones((BOTTOM - TOP, RIGHT - LEFT), np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def embedded() -> str:
    file = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def seg_npy(path: Path) -> Path:
    np.save(path / "a_seg.npy", np.array({"masks": mask_of() * np.int32(1), "outlines": mask_of()}, object))
    return path


TWO_RINGS = {"shape_type": "rectangle", "group_id": 1}
BOX_LINE = f"0 {(LEFT + RIGHT) / 2 / WIDTH} {(TOP + BOTTOM) / 2 / HEIGHT} {20 / WIDTH} {20 / HEIGHT}"
RING_LINE = "0 " + " ".join(str(number) for corner in FRACTIONS for number in corner)
PERCENT = {"x": LEFT / WIDTH * 100, "y": TOP / HEIGHT * 100, "width": 20 / WIDTH * 100, "height": 20 / HEIGHT * 100}
ROUND = {"cx": 20, "cy": 15, "rx": 10, "ry": 10}

READ: dict[tuple[str, str], Callable[[Path], Path]] = {
    ("COCO JSON", "polygons"): lambda path: coco(path, segmentation=[RING]),
    ("COCO JSON", "run lengths"): lambda path: coco(path, segmentation=uncompressed()),
    ("COCO JSON", "compressed run lengths"): lambda path: coco(
        path, segmentation={"size": [HEIGHT, WIDTH], "counts": encode(mask_of()).counts}
    ),
    ("COCO JSON", "boxes"): lambda path: coco(path, bbox=[LEFT, TOP, 20, 20]),
    ("COCO JSON", "crowds"): lambda path: coco(path, segmentation=uncompressed(), iscrowd=1),
    ("YOLO text", "polygons"): lambda path: yolo(path, RING_LINE, "data.yaml"),
    ("YOLO text", "boxes"): lambda path: yolo(path, BOX_LINE, "data.yaml"),
    ("YOLO text", "scores of predictions"): lambda path: yolo(path, f"{BOX_LINE} 0.5", "data.yaml"),
    ("YOLO text", "`data.yaml`"): lambda path: yolo(path, RING_LINE, "data.yaml"),
    ("YOLO text", "`classes.txt`"): lambda path: yolo(path, RING_LINE, "classes.txt"),
    ("YOLO text", "one `.txt`"): lambda path: yolo(path, RING_LINE),
    ("PASCAL VOC", "XML boxes"): lambda path: write(
        path / "Annotations/a.xml",
        "<annotation><filename>a.jpg</filename><object><name>cat</name><bndbox><xmin>11</xmin><ymin>6</ymin>"
        "<xmax>30</xmax><ymax>25</ymax></bndbox></object></annotation>",
    ).parents[1],
    ("PASCAL VOC", "index PNG"): lambda path: voc(path, colours=False),
    ("PASCAL VOC", "colour PNG"): lambda path: voc(path, colours=True),
    ("PASCAL VOC", "object PNG"): lambda path: voc(path, colours=False, objects=True),
    ("CVAT mask archive", "colour PNG with `labelmap.txt`"): lambda path: voc(path, colours=True, labelmap=True),
    ("labelme JSON", "polygons"): lambda path: labelme(path, {"shape_type": "polygon", "points": CORNERS}),
    ("labelme JSON", "rectangles"): lambda path: labelme(
        path, {"shape_type": "rectangle", "points": [CORNERS[0], CORNERS[2]]}
    ),
    ("labelme JSON", "circles"): lambda path: labelme(path, {"shape_type": "circle", "points": [[20, 15], [20, 25]]}),
    ("labelme JSON", "masks"): lambda path: labelme(
        path, {"shape_type": "mask", "points": [[LEFT, TOP], [RIGHT - 1, BOTTOM - 1]], "mask": png()}
    ),
    ("labelme JSON", "lines"): lambda path: labelme(path, {"shape_type": "line", "points": [[15, 15], [25, 15]]}),
    ("labelme JSON", "points"): lambda path: labelme(path, {"shape_type": "point", "points": [[20, 15]]}),
    ("labelme JSON", "groups"): lambda path: labelme(
        path, TWO_RINGS | {"points": [[10, 5], [20, 25]]}, TWO_RINGS | {"points": [[20, 5], [30, 25]]}
    ),
    ("labelme JSON", "images within the file"): lambda path: labelme(
        path / "alone", {"shape_type": "polygon", "points": CORNERS}, imageData=embedded(), imagePath="alone.jpg"
    ),
    ("CVAT for images XML", "polygons"): lambda path: cvat(
        path, f'<polygon label="cat" points="{";".join(f"{x},{y}" for x, y in CORNERS)}"/>'
    ),
    ("CVAT for images XML", "boxes"): lambda path: cvat(path, '<box label="cat" xtl="10" ytl="5" xbr="30" ybr="25"/>'),
    ("CVAT for images XML", "turned boxes"): lambda path: cvat(
        path, '<box label="cat" xtl="10" ytl="5" xbr="30" ybr="25" rotation="90"/>'
    ),
    ("CVAT for images XML", "masks"): lambda path: cvat(
        path, '<mask label="cat" rle="0, 400" left="10" top="5" width="20" height="20"/>'
    ),
    ("CVAT for images XML", "ellipses"): lambda path: cvat(
        path, f'<ellipse label="cat" {" ".join(f"{key}={json.dumps(str(value))}" for key, value in ROUND.items())}/>'
    ),
    ("Label Studio JSON", "brush masks"): lambda path: label_studio(
        path, "brushlabels", {"format": "rle", "rle": encode_brush(mask_of())}
    ),
    ("Label Studio JSON", "polygons"): lambda path: label_studio(
        path, "polygonlabels", {"points": [[x * 100, y * 100] for x, y in FRACTIONS]}
    ),
    ("Label Studio JSON", "rectangles"): lambda path: label_studio(path, "rectanglelabels", PERCENT),
    ("Label Studio JSON", "ellipses"): lambda path: label_studio(
        path, "ellipselabels", {"x": 100 / 3, "y": 37.5, "radiusX": 10 / WIDTH * 100, "radiusY": 10 / HEIGHT * 100}
    ),
    ("Label Studio JSON", "JSON_MIN"): lambda path: label_studio(path, "rectanglelabels", PERCENT, minimal=True),
    ("masks", "black and white"): lambda path: save(path / "a.mask.png", mask_of()) or path,
    ("masks", "label images with `legend.csv`"): lambda path: (
        save(path / "a.mask.png", mask_of() * np.uint8(7), False)
        or write(path / "legend.csv", "label,class,red,green,blue\n0,background,0,0,0\n7,cat,9,9,9\n").parent
    ),
    ("object ids", "`x.instance.png` with `objects.csv`"): lambda path: ids(path, "a.instance.png"),
    ("object ids", "cellpose's `x_cp_masks.png`"): lambda path: ids(path, "a_cp_masks.png") / "a_cp_masks.png",
    ("cellpose `_seg.npy`", "masks"): seg_npy,
    ("GeoJSON (QuPath)", "polygons"): lambda path: geojson(path, [CORNERS]),
    ("GeoJSON (QuPath)", "parts"): lambda path: geojson(
        path, [[[10, 5], [20, 5], [20, 25], [10, 25]]], [[[20, 5], [30, 5], [30, 25], [20, 25]]]
    ),
}
EXAMPLES: dict[tuple[str, str], Callable[[Path], None]] = {
    ("NumPy arrays", "`.npy`"): lambda path: np.save(path / "a.npy", mask_of()),
    ("NumPy arrays", "`.npz`"): lambda path: np.savez(path / "a.npz", mask=mask_of()),
}
"""Masks of a single image, which are no annotations but examples."""

ROUNDED = {"circles", "ellipses", "lines", "points"}
"""Shapes with other pixels than the square: around its centre, within it."""


@pytest.mark.parametrize(("row", "claim"), [(row.name, claim) for row in ROWS for claim in row.read])
def test_what_the_table_says_is_read(tmp_path: Path, row: str, claim: str) -> None:
    save(tmp_path / "a.jpg", np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    if (row, claim) in EXAMPLES:
        EXAMPLES[row, claim](tmp_path)
        examples, _ = find_examples([tmp_path / "a.jpg"])
        np.testing.assert_array_equal(mark(examples[0])[1], mask_of())
        return
    if (row, claim) == ("GeoJSON (QuPath)", "holes"):
        hole = [[15, 10], [15, 18], [22, 18], [22, 10]]
        (image,) = read_annotations(geojson(tmp_path, [CORNERS, hole])).images
        np.testing.assert_array_equal(image.mask("cat"), mask_of("hole"))
        return
    path = READ[row, claim](tmp_path)
    (image,) = read_annotations(path).images
    assert image.image is not None
    (name,) = {one.class_name for one in image.objects}
    assert name in ("cat", "cell", "0", tmp_path.name)
    crowd = claim == "crowds"
    assert {one.crowd for one in image.objects} == {crowd}
    mask = image.mask(name, crowd=crowd)
    if claim in ROUNDED:
        rows_, columns = np.nonzero(mask)
        assert (rows_.mean() + 0.5, columns.mean() + 0.5) == pytest.approx(
            (15, 20), abs=1.0
        )  # labelme's lines are off by one
        assert not (mask & ~mask_of()).any()
    else:
        np.testing.assert_array_equal(mask, mask_of())
    assert len(image.objects) == (2 if claim == "object PNG" else 1)
    if claim == "scores of predictions":
        assert image.objects[0].score == 0.5
    if claim.endswith("boxes") and claim != "turned boxes":
        assert isinstance(image.objects[0].shape, Box)


# Out, Kept and Lost: objects written and read back


FILES = {
    "coco": ["coco.json"], "yolo": ["data.yaml", "labels/a.txt"],
    "voc": ["SegmentationClass/a.png", "SegmentationObject/a.png", "Annotations/a.xml", "labelmap.txt"],
    "labelme": ["a.json"], "cvat": ["cvat.xml"],
    "label-studio": ["label-studio.json", "label-studio-config.xml"], "geojson": ["a.geojson"],
    "mask": ["a.mask.png", "legend.csv"], "instance": ["a.instance.png", "objects.csv"],
    "table": ["objects.csv", "counts.csv"], "parquet": ["objects.parquet", "counts.parquet"],
}  # fmt: skip
"""Format to what it writes for a.jpg."""

Given = tuple[Object, ...]


def objects_of(*kinds: str) -> Given:
    return tuple(
        Object(CLASSES[index % 2], encode(mask_of(kind)), 0.25 + index / 4) for index, kind in enumerate(kinds)
    )


def round_trip(folder: Path, format: str, given: Given) -> tuple[AnnotatedImage, AnnotatedImage]:
    image = folder / ("images/a.jpg" if format == "yolo" else "a.jpg")
    save(image, np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    expected = AnnotatedImage("a.jpg", given, image, (HEIGHT, WIDTH))
    write_annotations(Annotations([expected], CLASSES), folder, format)
    (found,) = read_annotations(folder).images
    return expected, found


def same(mask: np.ndarray, expected: np.ndarray, *, exact: bool) -> bool:
    if exact:
        return np.array_equal(mask, expected)
    near = np.ones((3, 3), bool)
    inner, outer = ndimage.binary_erosion(expected, near), ndimage.binary_dilation(expected, near)
    return bool((mask >= inner).all() and (mask <= outer).all())


def test_two_pixels_are_not_one() -> None:
    blob = mask_of("blob")
    for shift in ((0, 2), (2, 0), (0, -2), (-2, 0)):
        assert not same(np.roll(blob, shift, (0, 1)), blob, exact=False)
    grown = ndimage.binary_dilation(blob, np.ones((3, 3)), iterations=2)
    assert not same(grown, blob, exact=False)


def keeps_shape(kind: str, *, exact: bool) -> Callable[[Path, str], None]:
    def check(folder: Path, format: str) -> None:
        expected, found = round_trip(folder, format, objects_of(kind))
        assert same(found.mask("cat"), expected.mask("cat"), exact=exact)
        pieces = [ndimage.label(mask ^ (kind == "hole"))[1] for mask in (found.mask("cat"), expected.mask("cat"))]
        assert kind not in ("hole", "parts") or pieces[0] == pieces[1] == 2

    return check


def keeps_boxes(folder: Path, format: str) -> None:
    expected, found = round_trip(folder, format, (Object("cat", Box((3.0, 2.0, 9.5, 12.25))),))
    assert isinstance(found.objects[0].shape, Box)
    assert found.objects[0].shape.edges == pytest.approx(expected.objects[0].shape.edges, abs=1e-3)


def keeps_boxes_of_objects(folder: Path, format: str) -> None:
    round_trip(folder, format, objects_of("square"))
    found = read_image_annotation(folder / "Annotations/a.xml", folder / "a.jpg").images[0]
    assert found.objects[0].shape == Box((LEFT, TOP, RIGHT, BOTTOM))


def keeps_scores(folder: Path, format: str) -> None:
    _, found = round_trip(folder, format, objects_of("square"))
    assert found.objects[0].score == pytest.approx(0.25)


def keeps_objects(folder: Path, format: str) -> None:
    other = np.zeros((HEIGHT, WIDTH), bool)
    other[TOP:BOTTOM, RIGHT:40] = True  # touches the square
    _, found = round_trip(folder, format, (*objects_of("square"), Object("cat", encode(other), 0.5)))
    areas = sorted(int(found.mask_of(one).sum()) for one in found.objects)
    assert areas == sorted((int(mask_of().sum()), int(other.sum())))


def keeps_classes(folder: Path, format: str) -> None:
    other = np.zeros((HEIGHT, WIDTH), bool)
    other[30:35] = True
    _, found = round_trip(folder, format, (*objects_of("square"), Object("dog", encode(other))))
    np.testing.assert_array_equal(found.mask("cat"), mask_of())
    np.testing.assert_array_equal(found.mask("dog"), other)


def keeps_crowds(folder: Path, format: str) -> None:
    _, found = round_trip(folder, format, (Object("cat", encode(mask_of()), crowd=True),))
    assert [one.crowd for one in found.objects] == [True]


def reads_ids(folder: Path, format: str) -> None:
    values = mask_of() * np.int32(1)
    values[:, 20:] *= 2
    save(folder / "a.jpg", np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    np.save(folder / "a_seg.npy", np.array({"masks": values}, object))
    (found,) = read_annotations(folder).images
    for number, one in enumerate(found.objects, start=1):
        np.testing.assert_array_equal(found.mask_of(one), values == number)


def keeps_array(folder: Path, format: str) -> None:
    save(folder / "a.jpg", np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    blob = mask_of("blob")
    np.save(folder / "a.npy", blob)
    np.testing.assert_array_equal(mark(Example(folder / "a.jpg", mask=folder / "a.npy"))[1], blob)


def table_row(folder: Path, format: str, table: str = "objects") -> dict[str, object]:
    """Return the first row of a table of one object."""
    given = AnnotatedImage("a.jpg", objects_of("square"), None, (HEIGHT, WIDTH))
    write_annotations(Annotations([given], CLASSES), folder, format)
    if format == "parquet":
        (row,) = parquet.read_table(folder / f"{table}.parquet").to_pylist()
        return row
    with (folder / f"{table}.csv").open(newline="") as file:
        return next(csv.DictReader(file))


def counts(folder: Path, format: str) -> None:
    assert {name: str(value) for name, value in table_row(folder, format, "counts").items()} == {
        "image": "a.jpg",
        "cat": "1",
        "dog": "0",
    }


def test_a_class_may_have_the_name_of_a_column(tmp_path: Path) -> None:
    given = AnnotatedImage("a.jpg", (Object("image", encode(mask_of())),), None, (HEIGHT, WIDTH))
    write_annotations(Annotations([given], ("image",)), tmp_path, "parquet")
    (row,) = parquet.read_table(tmp_path / "counts.parquet").to_pylist()
    assert row == {"image": "a.jpg", "image (class)": 1}


def columns(**expected: str) -> Callable[[Path, str], None]:
    def check(folder: Path, format: str) -> None:
        row = table_row(folder, format)
        assert {name: str(row[name]) for name in expected} == expected

    return check


KEPT: dict[str, Callable[[Path, str], None]] = {
    "every pixel": keeps_shape("blob", exact=True),
    "outlines to one pixel": keeps_shape("blob", exact=False),
    "holes": keeps_shape("hole", exact=False),
    "parts": keeps_shape("parts", exact=False),
    "boxes": keeps_boxes,
    "boxes of objects": keeps_boxes_of_objects,
    "scores": keeps_scores,
    "objects": keeps_objects,
    "classes": keeps_classes,
    "crowds": keeps_crowds,
    "the class of each object": columns(**{"class": "cat"}),
    "its score": columns(score="0.25"),
    "its area": columns(area="400"),
    "its box": columns(left="10", top="5", width="20", height="20"),
    "its centroid": columns(x="20.0", y="15.0"),
    "counts": counts,
}
WITHOUT_WRITER: dict[tuple[str, str], Callable[[Path, str], None]] = {
    ("cellpose `_seg.npy`", "every pixel"): reads_ids,
    ("cellpose `_seg.npy`", "objects"): reads_ids,
    ("NumPy arrays", "every pixel"): keeps_array,
}


def loses_scores(folder: Path, format: str) -> None:
    _, found = round_trip(folder, format, objects_of("square"))
    assert [one.score for one in found.objects] == [None]


def loses_crowds(folder: Path, format: str) -> None:
    _, found = round_trip(folder, format, (Object("cat", encode(mask_of()), crowd=True),))
    assert found.objects == ()


def makes_objects_of_crowds(folder: Path, format: str) -> None:
    _, found = round_trip(folder, format, (Object("cat", encode(mask_of()), crowd=True),))
    assert [one.crowd for one in found.objects] == [False]


def loses_what_is_covered(folder: Path, format: str) -> None:
    _, found = round_trip(folder, format, objects_of("square", "parts"))
    np.testing.assert_array_equal(found.mask("cat"), mask_of() & ~mask_of("parts"))
    np.testing.assert_array_equal(found.mask("dog"), mask_of("parts"))


def unites_objects(folder: Path, format: str) -> None:
    _, found = round_trip(folder, format, (Object("cat", encode(mask_of())), Object("cat", encode(mask_of("blob")))))
    assert len(found.objects) == 1


def loses_keypoints(folder: Path, format: str) -> None:
    save(folder / "a.jpg", np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    with pytest.warns(UserWarning, match="1 annotations"):
        assert not read_annotations(coco(folder, keypoints=[1, 2, 2])).images[0].objects


def makes_polygons_of_boxes(folder: Path, format: str) -> None:
    _, found = round_trip(folder, format, (Object("cat", Box((3.0, 2.0, 9.0, 12.0))),))
    assert not isinstance(found.objects[0].shape, Box)


def leaves_out(kind: str) -> Callable[[Path, str], None]:
    def check(folder: Path, format: str) -> None:
        coordinates = [1, 2] if kind == "Point" else [[1, 2], [3, 4]]
        feature = {"type": "Feature", "properties": {}, "geometry": {"type": kind, "coordinates": coordinates}}
        save(folder / "a.jpg", np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
        path = write(folder / "a.geojson", {"type": "FeatureCollection", "features": [feature]})
        with pytest.warns(UserWarning, match="1 points or lines"):
            assert not read_annotations(path).images[0].objects

    return check


def ignores_the_rest_of_cellpose(folder: Path, format: str) -> None:
    save(folder / "a.jpg", np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    content = {"masks": mask_of() * np.int32(1), "outlines": ~mask_of(), "flows": [mask_of()] * 3}
    np.save(folder / "a_seg.npy", np.array(content, object))
    np.testing.assert_array_equal(read_annotations(folder).images[0].mask("cell"), mask_of())


def loses_masks(folder: Path, format: str) -> None:
    given = AnnotatedImage("a.jpg", objects_of("blob"), None, (HEIGHT, WIDTH))
    write_annotations(Annotations([given], CLASSES), folder, format)
    assert {path.suffix for path in folder.iterdir()} == {".parquet" if format == "parquet" else ".csv"}


LOST: dict[str, Callable[[Path, str], None]] = {
    "scores": loses_scores,
    "crowds": loses_crowds,
    "crowds become objects": makes_objects_of_crowds,
    "what a later object covers": loses_what_is_covered,
    "objects of a class are united": unites_objects,
    "keypoints": loses_keypoints,
    "boxes become polygons": makes_polygons_of_boxes,
    "points": leaves_out("Point"),
    "lines": leaves_out("LineString"),
    "outlines": ignores_the_rest_of_cellpose,
    "flows": ignores_the_rest_of_cellpose,
    "masks": loses_masks,
}


def format_of(row: Row) -> str:
    (claim,) = row.written or [""]
    return claim.strip("`")


@pytest.mark.parametrize("row", [row for row in ROWS if row.written], ids=lambda row: row.name)
def test_what_the_table_says_is_written(tmp_path: Path, row: Row) -> None:
    given = AnnotatedImage("a.jpg", objects_of("square", "hole"), None, (HEIGHT, WIDTH))
    write_annotations(Annotations([given], CLASSES), tmp_path, format_of(row))
    for name in FILES[format_of(row)]:
        assert (tmp_path / name).is_file()


@pytest.mark.parametrize(("row", "claim"), [(row, claim) for row in ROWS for claim in row.kept], ids=str)
def test_what_the_table_says_is_kept(tmp_path: Path, row: Row, claim: str) -> None:
    (WITHOUT_WRITER.get((row.name, claim)) or KEPT[claim])(tmp_path, format_of(row))


@pytest.mark.parametrize(("row", "claim"), [(row, claim) for row in ROWS for claim in row.lost], ids=str)
def test_what_the_table_says_is_lost(tmp_path: Path, row: Row, claim: str) -> None:
    LOST[claim](tmp_path, format_of(row))


def test_the_table_has_every_format_and_no_check_is_left_over() -> None:
    assert {format_of(row) for row in ROWS} - {""} == set(FORMATS)
    assert {(row.name, claim) for row in ROWS for claim in row.read} >= READ.keys() | EXAMPLES.keys()
    assert {claim for row in ROWS for claim in row.kept} >= KEPT.keys()
    assert {claim for row in ROWS for claim in row.lost} >= LOST.keys()
