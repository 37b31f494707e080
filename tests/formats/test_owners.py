"""Every written format, opened by a tool that owns it or that people read it with.

The tools are heavy, so `make test-formats` installs them into an environment of their own.
"""

import json
import os
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from likewise.io.annotations import AnnotatedImage, Annotations, Object, read_annotations, write_annotations
from likewise.io.annotations.shapes import encode

CLASSES = ("cat", "big dog")


@pytest.fixture
def given(tmp_path: Path) -> Annotations:
    """Three images with 0, 1 and 3 objects: a square, a ring, and an object in two parts."""
    images = []
    for index, kinds in enumerate(((), ("square",), ("ring", "parts", "square"))):
        objects = []
        for number, kind in enumerate(kinds):
            mask = np.zeros((60, 90), bool)
            mask[10 + number : 40, 5 + 28 * number : 27 + 28 * number] = True
            if kind == "ring":
                mask[18:30, 12:20] = False
            elif kind == "parts":
                mask[:, 40:46] = False
            objects.append(Object(CLASSES[number % 2], encode(mask), 0.5 + number / 10))
        path = tmp_path / "images" / f"im{index}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (90, 60), (100, 110, 90)).save(path)
        images.append(AnnotatedImage(path.name, tuple(objects), path, (60, 90)))
    return Annotations(images, CLASSES)


def masks_of(image: AnnotatedImage) -> list[tuple[str, np.ndarray]]:
    return [(one.class_name, image.mask_of(one)) for one in image.objects]


def grown(mask: np.ndarray) -> np.ndarray:
    """Return the mask and its neighbours."""
    padded = np.pad(mask, 1)
    height, width = mask.shape
    return np.any([padded[r : r + height, c : c + width] for r in range(3) for c in range(3)], axis=0)


def check(image: AnnotatedImage, found: list[tuple[str, np.ndarray]], *, exact: bool, line: int = 0) -> None:
    """Compare objects in any order: equal, or to one pixel and a line of `line` pixels between parts."""
    expected = masks_of(image)
    assert sorted(name for name, _ in found) == sorted(name for name, _ in expected)
    for name, mask in expected:
        others = [other for own, other in found if own == name]
        if exact:
            same = [np.array_equal(other, mask) for other in others]
        else:
            same = [((other & ~grown(mask)) | (mask & ~grown(other))).sum() <= line for other in others]
        assert any(same), f"{image.name}: {name}"


def test_pycocotools_reads_coco(tmp_path: Path, given: Annotations) -> None:
    from pycocotools.coco import COCO

    write_annotations(given, tmp_path / "coco.json", "coco")
    coco = COCO(tmp_path / "coco.json")
    for image, entry in zip(given.images, coco.loadImgs(coco.getImgIds()), strict=True):
        own = coco.loadAnns(coco.getAnnIds(imgIds=entry["id"]))
        names = [coco.loadCats(each["category_id"])[0]["name"] for each in own]
        masks = [coco.annToMask(each).astype(bool) for each in own]
        check(image, list(zip(names, masks, strict=True)), exact=True)


@pytest.mark.parametrize("format", ["coco", "yolo"])
def test_supervision_reads_masks(tmp_path: Path, given: Annotations, format: str) -> None:
    sv = pytest.importorskip("supervision")
    write_annotations(given, tmp_path, format)
    if format == "coco":
        found = sv.DetectionDataset.from_coco(str(tmp_path / "images"), str(tmp_path / "coco.json"), force_masks=True)
    else:
        places = tmp_path / "images", tmp_path / "labels", tmp_path / "data.yaml"
        found = sv.DetectionDataset.from_yolo(*map(str, places), force_masks=True)
    by_name = {Path(path).name: detections for path, _, detections in found}
    for image in given.images:
        detections = by_name[image.name]
        names = [found.classes[index] for index in detections.class_id]
        masks = list(detections.mask) if len(detections) else []
        check(image, list(zip(names, masks, strict=True)), exact=format == "coco", line=6)


def test_supervision_reads_the_boxes_of_voc(tmp_path: Path, given: Annotations) -> None:
    sv = pytest.importorskip("supervision")
    write_annotations(given, tmp_path, "voc")
    found = sv.DetectionDataset.from_pascal_voc(str(tmp_path / "images"), str(tmp_path / "Annotations"))
    by_name = {Path(path).name: detections for path, _, detections in found}
    assert by_name["im1.jpg"].xyxy.tolist() == [[5, 10, 27, 40]]
    assert len(by_name["im2.jpg"]) == 3


def test_datumaro_reads_coco_voc_and_cvat(tmp_path: Path, given: Annotations) -> None:
    dm = pytest.importorskip("datumaro")
    (tmp_path / "coco/images").mkdir(parents=True)
    (tmp_path / "images").rename(tmp_path / "coco/images/default")
    write_annotations(given, tmp_path / "coco/annotations/instances_default.json", "coco")
    write_annotations(given, tmp_path / "voc", "voc")
    (tmp_path / "cvat").mkdir()
    (tmp_path / "cvat/images").symlink_to(tmp_path / "coco/images/default")
    write_annotations(given, tmp_path / "cvat/annotations.xml", "cvat")
    for format, place in (("coco", "coco"), ("voc_segmentation", "voc"), ("cvat", "cvat")):
        found = dm.Dataset.import_from(str(tmp_path / place), format)
        labels = found.categories()[dm.AnnotationType.label]
        items = {Path(item.id).stem: item for item in found}
        for image in given.images if format != "cvat" else given.images[:2]:
            masks = []
            for one in items[Path(image.name).stem].annotations:
                if one.type == dm.AnnotationType.mask:
                    masks.append((labels[one.label].name, np.asarray(one.image).astype(bool)))
                elif one.type == dm.AnnotationType.polygon:
                    coded = coco_mask.merge(coco_mask.frPyObjects([list(one.points)], *image.size))
                    masks.append((labels[one.label].name, coco_mask.decode(coded).astype(bool)))
            if masks or format != "cvat":
                check(image, masks, exact=True)


def test_cvats_sdk_accepts_the_shapes_and_decodes_the_masks_of_cvat(tmp_path: Path, given: Annotations) -> None:
    masks = pytest.importorskip("cvat_sdk.masks")
    models = pytest.importorskip("cvat_sdk.models")
    write_annotations(given, tmp_path / "cvat.xml", "cvat")
    kinds = []
    for image, entry in zip(given.images, ElementTree.parse(tmp_path / "cvat.xml").iter("image"), strict=True):
        for shape, (_, mask) in zip(entry, masks_of(image), strict=True):
            kinds.append(shape.tag)
            if shape.tag == "mask":
                left, top, width, height = (int(shape.attrib[key]) for key in ("left", "top", "width", "height"))
                runs = [int(run) for run in shape.attrib["rle"].split(",")]
                points = [*runs, left, top, left + width - 1, top + height - 1]
                decoded = masks.decode_mask(points, image_width=image.size[1], image_height=image.size[0])
                np.testing.assert_array_equal(decoded, mask)
            else:
                points = [float(number) for number in shape.attrib["points"].replace(";", ",").split(",")]
                coded = coco_mask.merge(coco_mask.frPyObjects([points], *image.size))
                np.testing.assert_array_equal(coco_mask.decode(coded).astype(bool), mask)
            kind = models.ShapeType(shape.tag)
            assert models.LabeledShapeRequest(type=kind, frame=0, label_id=1, points=list(map(float, points))).points
    assert kinds == ["polygon", "mask", "mask", "polygon"]


def test_masks_that_cvats_sdk_encodes_are_read(tmp_path: Path, given: Annotations) -> None:
    masks = pytest.importorskip("cvat_sdk.masks")
    mask = given.images[2].mask_of(given.images[2].objects[0])
    *runs, left, top, right, bottom = masks.encode_mask(mask)
    place = f'left="{left}" top="{top}" width="{right - left + 1}" height="{bottom - top + 1}"'
    shape = f'<mask label="cat" rle="{", ".join(map(str, runs))}" {place}/>'
    text = f'<annotations><image id="0" name="im2.jpg" width="90" height="60">{shape}</image></annotations>'
    (tmp_path / "annotations.xml").write_text(text)
    np.testing.assert_array_equal(read_annotations(tmp_path).images[0].mask("cat"), mask)


def test_labelme_opens_its_files(tmp_path: Path, given: Annotations) -> None:
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    label_file = pytest.importorskip("labelme._label_file")
    write_annotations(given, tmp_path / "labelme", "labelme")
    for image in given.images:
        opened = label_file.LabelFile(str(tmp_path / "labelme" / f"{Path(image.name).stem}.json"))
        assert opened.imageData
        assert [shape["label"] for shape in opened.shapes] == [one.class_name for one in image.objects]
        for shape, (_, mask) in zip(opened.shapes, masks_of(image), strict=True):
            if shape["shape_type"] == "mask":
                (left, top), (right, bottom) = np.asarray(shape["points"]).astype(int)
                drawn = np.zeros(image.size, bool)
                drawn[top : bottom + 1, left : right + 1] = shape["mask"]
                np.testing.assert_array_equal(drawn, mask)
            else:
                assert shape["shape_type"] == "polygon"


def test_label_studio_accepts_predictions_and_decodes_its_brush(tmp_path: Path, given: Annotations) -> None:
    interface = pytest.importorskip("label_studio_sdk.label_interface")
    brush = pytest.importorskip("label_studio_sdk.converter.brush")
    write_annotations(given, tmp_path / "label-studio.json", "label-studio")
    config = interface.LabelInterface((tmp_path / "label-studio-config.xml").read_text())
    config.validate()
    tasks = json.loads((tmp_path / "label-studio.json").read_text())
    kinds = []
    for image, task in zip(given.images, tasks, strict=True):
        (prediction,) = task["predictions"]
        assert config.validate_prediction(prediction)
        for result, (_, mask) in zip(prediction["result"], masks_of(image), strict=True):
            kinds.append(result["type"])
            if result["type"] == "brushlabels":
                size = result["original_height"], result["original_width"]
                decoded = np.reshape(brush.decode_rle(result["value"]["rle"]), (*size, 4))[..., 3] > 0
                np.testing.assert_array_equal(decoded, mask)
    assert kinds == ["polygonlabels", "brushlabels", "brushlabels", "polygonlabels"]


def test_a_brush_of_label_studio_is_read(tmp_path: Path, given: Annotations) -> None:
    brush = pytest.importorskip("label_studio_sdk.converter.brush")
    mask = given.images[2].mask_of(given.images[2].objects[0])
    value = {
        "format": "rle",
        "rle": list(map(int, brush.mask2rle(mask.astype(np.uint8) * 255))),
        "brushlabels": ["cat"],
    }
    result = {"original_width": 90, "original_height": 60, "type": "brushlabels", "value": value}
    task = {"data": {"image": "/data/upload/3/0f1e2d3c-im2.jpg"}, "annotations": [{"result": [result]}]}
    (tmp_path / "export.json").write_text(json.dumps([task]))
    image = read_annotations(tmp_path / "export.json").images[0]
    assert image.image == tmp_path / "images/im2.jpg"
    np.testing.assert_array_equal(image.mask("cat"), mask)


@pytest.mark.parametrize("format", ["coco", "yolo", "voc"])
def test_what_supervision_writes_is_read(tmp_path: Path, given: Annotations, format: str) -> None:
    sv = pytest.importorskip("supervision")
    write_annotations(given, tmp_path / "given.json", "coco")
    data = sv.DetectionDataset.from_coco(str(tmp_path / "images"), str(tmp_path / "given.json"), force_masks=True)
    out = tmp_path / "out"
    if format == "coco":
        data.as_coco(str(out / "images"), str(out / "annotations.json"))
    elif format == "yolo":
        data.as_yolo(str(out / "images"), str(out / "labels"), str(out / "data.yaml"))
    else:
        data.as_pascal_voc(str(out / "JPEGImages"), str(out / "Annotations"))
    found = {image.name: image for image in read_annotations(out).images}
    expected, own = given.images[1], found["im1.jpg"]
    assert own.image is not None
    ((name, mask),) = masks_of(own)
    assert name == "cat"
    assert not (mask & ~grown(expected.mask("cat"))).any()
    assert not (expected.mask("cat") & ~grown(mask)).any()


@pytest.mark.parametrize("format", ["coco", "voc", "cvat"])
def test_what_datumaro_writes_is_read(tmp_path: Path, given: Annotations, format: str) -> None:
    dm = pytest.importorskip("datumaro")
    (tmp_path / "in/annotations").mkdir(parents=True)
    (tmp_path / "in/images").mkdir()
    (tmp_path / "images").rename(tmp_path / "in/images/default")
    write_annotations(given, tmp_path / "in/annotations/instances_default.json", "coco")
    data = dm.Dataset.import_from(str(tmp_path / "in"), "coco_instances")
    data.export(str(tmp_path / "out"), format, save_media=True)
    found = [image for image in read_annotations(tmp_path / "out").images if Path(image.name).stem == "im1"]
    assert found[0].image is not None
    mask, expected = found[0].mask("cat"), given.images[1].mask("cat")
    if format == "coco":  # its polygons follow the centres of pixels
        mask = mask | (grown(mask) & expected)
    np.testing.assert_array_equal(mask, expected)
