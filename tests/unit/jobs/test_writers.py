import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from likewise.errors import ArgumentError, MissingExtraError
from likewise.io.annotations import read_annotations
from likewise.io.annotations.shapes import encode as encode_mask
from likewise.io.images import ScaledImage, read_image, save_image
from likewise.io.masks import read_labels, read_mask
from likewise.jobs.writers import (
    FORMATS,
    SUMMARIES,
    WRITERS,
    Region,
    Regions,
    check_formats,
    encode,
    regions_of,
    write_areas,
    write_labels,
    write_legend,
    write_scores,
)
from likewise.predict.result import Result, SceneResult
from likewise.viz.draw import palette


def result_of(labels: np.ndarray, classes: tuple[str, ...], scores: tuple[float, ...], plane: np.ndarray) -> Result:
    return Result(labels, plane, classes, None, scores)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (30, 41, 3), dtype=np.uint8)


@pytest.fixture
def one() -> Result:
    labels = np.zeros((30, 41), dtype=np.uint8)
    labels[4:20, 7:31] = 1
    return result_of(labels, ("cat",), (0.9,), np.linspace(0, 1, 30 * 41, dtype=np.float32).reshape(30, 41))


@pytest.fixture
def two(one: Result) -> Result:
    labels = one.labels.copy()
    labels[22:29, 2:40] = 2
    return result_of(labels, ("cat", "dog", "horse"), (0.9, 0.25, 0.1), one.probability)


def write(name: str, image: np.ndarray, result: Result, folder: Path) -> Path:
    suffix, writer = WRITERS[name]
    writer(ScaledImage(image, result.labels.shape), result, folder / f"x{suffix}")
    return folder / f"x{suffix}"


def test_a_mask_of_one_class_is_0_and_255(tmp_path: Path, image: np.ndarray, one: Result) -> None:
    with Image.open(write("mask", image, one, tmp_path)) as stored:
        assert stored.mode == "L"
        np.testing.assert_array_equal(np.asarray(stored), one.mask * 255)


def test_a_mask_of_several_classes_is_a_palette_of_labels(tmp_path: Path, image: np.ndarray, two: Result) -> None:
    path = write("mask", image, two, tmp_path)
    np.testing.assert_array_equal(read_labels(path), two.labels)
    np.testing.assert_array_equal(read_mask(path, label=2), two.labels == 2)
    with Image.open(path) as stored:
        assert stored.mode == "P"
        np.testing.assert_array_equal(np.asarray(stored.convert("RGB"))[25, 10], palette(2)[1])


def test_probabilities_are_stored_with_16_bits(tmp_path: Path, image: np.ndarray, one: Result) -> None:
    with Image.open(write("probability", image, one, tmp_path)) as stored:
        stored = np.asarray(stored)
    assert stored.max() == 65535
    assert stored.min() == 0
    np.testing.assert_allclose(stored / 65535, one.probability, atol=0.5001 / 65535)


def test_a_cutout_is_the_object_on_a_transparent_background(tmp_path: Path, image: np.ndarray, one: Result) -> None:
    path = write("cutout", image, one, tmp_path)
    with Image.open(path) as stored:
        stored = np.asarray(stored)
    np.testing.assert_array_equal(stored[..., 3], one.mask * 255)
    np.testing.assert_array_equal(stored[one.mask, :3], image[one.mask])
    assert not stored[~one.mask].any(), "the rest of the image must not be in the file"


def test_an_overlay_has_the_size_of_the_image(tmp_path: Path, image: np.ndarray, two: Result) -> None:
    assert read_image(write("overlay", image, two, tmp_path)).shape == image.shape


def test_pycocotools_reads_the_coco_file(tmp_path: Path, one: Result, two: Result) -> None:
    nothing = result_of(np.zeros((7, 9), np.uint8), two.classes, (0.1, 0.1, 0.1), np.zeros((7, 9), np.float32))
    results = {"sub/a.jpg": two, "b.jpg": nothing, "c.jpg": one}
    regions = (regions_of(name, result) for name, result in results.items())
    SUMMARIES["coco"][1](regions, two.classes, tmp_path / "coco.json", {})

    coco = COCO(tmp_path / "coco.json")
    assert [category["name"] for category in coco.loadCats([1, 2, 3])] == ["cat", "dog", "horse"]
    for image in coco.loadImgs(coco.getImgIds()):
        result = results[image["file_name"]]
        assert (image["height"], image["width"]) == result.labels.shape
        labels = np.zeros_like(result.labels)
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=image["id"])):
            mask = coco.annToMask(annotation).astype(bool)
            labels[mask] = annotation["category_id"]
            rows, columns = np.nonzero(mask)
            x, y, width, height = annotation["bbox"]
            assert annotation["area"] == mask.sum()
            assert (x, y, x + width, y + height) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert annotation["iscrowd"] == 0
            assert annotation["score"] == pytest.approx(result.scores[annotation["category_id"] - 1])
        np.testing.assert_array_equal(labels, result.labels)
    assert not coco.getAnnIds(imgIds=2), "an image without an object has no annotation"
    assert len(coco.loadRes(json.loads((tmp_path / "coco.json").read_text())["annotations"]).anns) == 3


def test_connected_pieces_are_objects_with_scores_of_their_own(tmp_path: Path) -> None:
    labels, probability = np.zeros((20, 40), np.uint8), np.zeros((20, 40), np.float32)
    for index in range(5):
        piece = (slice(2, 12), slice(8 * index, 8 * index + 6))
        labels[piece], probability[piece] = 1, 0.5 + index / 10
    result = result_of(labels, ("ball",), (0.7,), probability)
    regions = regions_of("five.jpg", result)
    assert [region.score for region in regions.regions] == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9])
    SUMMARIES["coco"][1]([regions], result.classes, tmp_path / "coco.json", {})
    assert [each["area"] for each in COCO(tmp_path / "coco.json").anns.values()] == [60] * 5
    SUMMARIES["table"][1]([regions], result.classes, tmp_path / "objects.csv", {})
    rows = (tmp_path / "objects.csv").read_text().splitlines()
    assert rows[0] == "image,id,class,score,area,left,top,width,height,x,y"
    assert rows[2] == "five.jpg,2,ball,0.6,60,8,2,6,10,11.0,7.0"
    assert len(rows) == 6
    assert (tmp_path / "counts.csv").read_text().splitlines() == ["image,ball", "five.jpg,5"]
    write("instance", np.zeros((20, 40, 3), np.uint8), result, tmp_path)
    ids = np.asarray(Image.open(tmp_path / "x.instance.png"))
    assert ids.dtype == np.uint16
    assert [int(ids[5, 8 * index]) for index in range(5)] == [1, 2, 3, 4, 5]


def test_instances_are_objects_of_their_own_with_the_same_ids_in_every_format(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:100, :160]
    labels = np.zeros((100, 160), np.uint8)
    for centre in (40, 78, 116):
        labels[(rows - 50) ** 2 + (columns - centre) ** 2 < 400] = 1
    result = Result(labels, labels * np.float32(0.9), ("ball",), None, (0.9,))
    assert len(regions_of("balls.jpg", result).regions) == 1, "without instances a connected region is one object"
    result = replace(result, separate=True)
    regions = regions_of("balls.jpg", result)
    SUMMARIES["coco"][1]([regions], result.classes, tmp_path / "coco.json", {})
    write("instance", np.zeros((100, 160, 3), np.uint8), result, tmp_path)
    ids = np.asarray(Image.open(tmp_path / "x.instance.png"))
    coco = COCO(tmp_path / "coco.json")
    assert len(coco.anns) == ids.max() == 3
    for number, annotation in coco.anns.items():
        np.testing.assert_array_equal(coco.annToMask(annotation) > 0, ids == number)
        assert annotation["iscrowd"] == 0
        assert annotation["score"] == pytest.approx(result.instances.scores[number - 1])


def test_a_scene_has_one_region_for_each_class() -> None:
    labels = np.zeros((6, 9), np.uint8)
    labels[1, 1] = labels[4, 4] = 1
    regions = regions_of("x.jpg", SceneResult(labels, np.ones((6, 9), np.float32), ("sky", "ball")))
    assert [(region.category, region.score) for region in regions.regions] == [(1, 1.0), (2, 1.0)]


@pytest.mark.parametrize("name", sorted(SUMMARIES.keys() - {"areas", "parquet", "scores", "table"}))
def test_every_annotation_format_is_read_back(tmp_path: Path, image: np.ndarray, two: Result, name: str) -> None:
    folder = tmp_path / ("yolo/images" if name == "yolo" else "")
    folder.mkdir(parents=True, exist_ok=True)
    save_image(image, folder / "a.png")
    target = tmp_path / SUMMARIES[name][0]
    SUMMARIES[name][1]([regions_of("a.png", two)], two.classes, target, {"a.png": folder / "a.png"})
    (found,) = read_annotations(target, images=folder).images
    for index, class_name in enumerate(two.classes, start=1):
        np.testing.assert_array_equal(found.mask(class_name), two.labels == index)


def test_formats_are_checked_by_name() -> None:
    assert check_formats(["coco", "mask", "coco"]) == ("coco", "mask")
    with pytest.raises(ArgumentError, match=r"'gif'.*mask, labels, probability, overlay, cutout, instance, geojson"):
        check_formats(["mask", "gif", "bmp"])
    with pytest.raises(ArgumentError):
        check_formats([])
    with pytest.raises(ArgumentError, match="cutout"):
        check_formats(["labels", "cutout"], ["labels", "areas"])
    assert set(FORMATS) == {*WRITERS, *SUMMARIES}


def test_label_files_and_results_have_the_same_labels(image: np.ndarray, two: Result, tmp_path: Path) -> None:
    for first_label, result in ((1, two), (0, SceneResult(two.labels, two.plane, two.classes))):
        found = Image.open(write("labels", image, result, tmp_path))
        np.testing.assert_array_equal(np.asarray(found), result.labels)
        colours = np.array(found.getpalette()).reshape(-1, 3)
        np.testing.assert_array_equal(colours[first_label : first_label + 3], palette(3))
        categories = {region.category for region in regions_of("x.jpg", result).regions}
        assert categories == ({1, 2} if first_label else {1, 2, 3})


def test_the_table_of_areas_has_a_row_for_each_image_and_a_column_for_each_class(
    tmp_path: Path, one: Result, two: Result
) -> None:
    write_areas([regions_of("a.jpg", two), regions_of("b,c.jpg", one)], two.classes, tmp_path / "areas.csv", {})
    assert (tmp_path / "areas.csv").read_text().splitlines() == [
        "image,width,height,cat,dog,horse",
        f"a.jpg,41,30,{16 * 24},{7 * 38},0",
        f'"b,c.jpg",41,30,{16 * 24},0,0',
    ]


def test_names_that_are_no_text_are_escaped_in_the_legend(tmp_path: Path) -> None:
    write_legend(("cat\udce9", "dog"), None, tmp_path / "legend.csv")
    assert [line.split(",")[:2] for line in (tmp_path / "legend.csv").read_text(encoding="utf-8").splitlines()] == [
        ["label", "class"],
        ["0", "background"],
        ["1", "cat\\udce9"],
        ["2", "dog"],
    ]


@pytest.mark.parametrize("name", WRITERS)
def test_the_content_of_a_file_is_that_of_the_written_file(
    tmp_path: Path, image: np.ndarray, two: Result, name: str
) -> None:
    written = write(name, image, two, tmp_path).read_bytes()
    assert encode(name, ScaledImage(image, two.labels.shape), two) == written


def test_label_images_of_scenes_keep_the_labels_of_the_training_data(tmp_path: Path, image: np.ndarray) -> None:
    labels = np.zeros(image.shape[:2], np.uint8)
    labels[:2] = 1
    result = SceneResult(labels, np.ones(labels.shape, np.float32), ("7", "38"), stored=(7, 38))
    write_labels(ScaledImage(image, labels.shape), result, tmp_path / "x.png")
    result.save(tmp_path / "y.png")
    for name in ("x.png", "y.png"):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / name)), np.array([7, 38])[labels])


def test_scores_have_a_line_for_each_image_and_class(tmp_path: Path) -> None:
    full = Region(2, encode_mask(np.ones((4, 5), bool)).counts, 0.75)
    write_scores(
        [Regions("a.jpg", 4, 5, (full,), (0.1, 0.9)), Regions("\udcff.jpg", 4, 5, ())],
        ("x", "y"),
        tmp_path / "s.csv",
        {},
    )
    assert (tmp_path / "s.csv").read_text(encoding="utf-8").splitlines() == [
        "image,class,pixels,score,presence",
        "a.jpg,x,0,0.0000,0.1000",
        "a.jpg,y,20,0.7500,0.9000",
        "\\udcff.jpg,x,0,0.0000,",
        "\\udcff.jpg,y,0,0.0000,",
    ]


def test_scores_of_pieces_are_sampled_where_the_probability_is_smaller_than_the_image() -> None:
    plane = np.full((10, 20), 0.5, np.float32)
    plane[:, 10:] = 0.9
    labels = np.zeros((100, 200), np.uint8)
    labels[10:40, 10:50] = labels[20:70, 130:160] = labels[90:92, 192:193] = 1
    result = Result(labels, plane, ("cell",), None, (0.8,))
    whole = replace(result, plane=np.repeat(np.repeat(plane, 10, axis=0), 10, axis=1))
    scores = [[region.score for region in regions_of("x.jpg", each).regions] for each in (result, whole)]
    assert scores[0] == pytest.approx(scores[1])
    assert len(scores[0]) == 3


def test_parquet_is_refused_before_the_first_image_without_pyarrow(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match="jobs"):
        check_formats(["mask", "parquet"])
