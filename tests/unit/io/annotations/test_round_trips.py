"""Each written format read back: the same objects to one pixel."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from likewise.errors import ArgumentError, DataSetError
from likewise.io.annotations import (
    FORMATS,
    AnnotatedImage,
    Annotations,
    Box,
    Object,
    Polygons,
    read_annotations,
    write_annotations,
)
from likewise.io.annotations.shapes import encode, ring_of
from support.annotated import CLASSES, annotated

EXACT = {"coco", "voc", "mask", "instance"}
"""Formats that keep every pixel; the others have simplified polygons."""

UNITED = {"mask"}
"""Formats that unite the objects of a class."""

SCORED = {"coco", "labelme", "label-studio", "instance", "geojson"}
TABLES = ("parquet", "table")
TWO_WAY = sorted(FORMATS.keys() - {*TABLES})


def is_same(mask: np.ndarray, expected: np.ndarray, *, exact: bool) -> bool:
    """Return whether masks are equal, or differ by at most one pixel along their outlines."""
    if exact:
        return np.array_equal(mask, expected)
    around = np.ones((3, 3), bool)
    inner = ndimage.binary_erosion(expected, around)
    return bool((inner <= mask).all() and (mask <= ndimage.binary_dilation(expected, around)).all())


def write_and_read(folder: Path, format: str, seed: int) -> tuple[Annotations, Annotations]:
    given = annotated(folder / "out", seed, images="images" if format == "yolo" else "")
    write_annotations(given, folder / "out", format)
    return given, read_annotations(folder / "out")


@pytest.mark.parametrize("format", TWO_WAY)
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_objects_come_back_to_one_pixel(format: str, seed: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        check(format, *write_and_read(Path(place), format, seed))


def check(format: str, given: Annotations, found: Annotations) -> None:
    by_name = {image.name: image for image in found.images}
    for image in given.images:
        own = by_name.get(image.name)
        assert own is not None or not image.objects
        if own is None:
            continue
        assert own.size == image.size
        assert own.image == image.image
        for name in CLASSES:
            assert is_same(own.mask(name), image.mask(name), exact=format in EXACT)
        if format not in UNITED:
            assert sorted(one.class_name for one in own.objects) == sorted(one.class_name for one in image.objects)
            if format in SCORED:
                scores = sorted(one.score for one in image.objects)
                assert sorted(one.score for one in own.objects) == pytest.approx(scores, abs=1e-4)
    assert set(found.classes) >= {one.class_name for image in given.images for one in image.objects}


@pytest.mark.parametrize("format", TWO_WAY)
def test_every_format_is_converted_into_every_other(tmp_path: Path, format: str) -> None:
    given, found = write_and_read(tmp_path, format, 5)
    for other in TWO_WAY:
        for image in given.images:
            copy = tmp_path / other / ("images" if other == "yolo" else "") / image.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(image.image.read_bytes())
        write_annotations(found, tmp_path / other, other)
        again = {image.name: image for image in read_annotations(tmp_path / other).images}
        for image in found.images:
            for name in CLASSES if image.objects else ():
                # simplified outlines of neighbours overlap by a pixel, and the later one covers the other
                assert is_same(again[image.name].mask(name), image.mask(name), exact=False)


@pytest.mark.parametrize("shift", [(0, 2), (-2, 0), (2, 2)])
@pytest.mark.parametrize("format", TWO_WAY)
def test_an_error_of_two_pixels_is_found(tmp_path: Path, format: str, shift: tuple[int, int]) -> None:
    given, found = write_and_read(tmp_path, format, 1)
    check(format, given, found)
    moved = []
    for image in given.images:
        shifted = [np.roll(image.mask_of(one), shift, (0, 1)) for one in image.objects]
        objects = [replace(one, shape=encode(mask)) for one, mask in zip(image.objects, shifted, strict=True)]
        moved.append(replace(image, objects=tuple(objects)))
    with pytest.raises(AssertionError):
        check(format, replace(given, images=moved), found)


@settings(deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_hole_or_a_part_of_two_pixels_is_an_error_too(seed: int) -> None:
    generator = np.random.default_rng(seed)
    expected = ndimage.gaussian_filter(generator.random((40, 50)), 3.0) > 0.5
    row, column = generator.integers(3, 37), generator.integers(3, 47)
    changed = expected.copy()
    changed[row - 2 : row + 3, column - 2 : column + 3] ^= True
    assert not is_same(changed, expected, exact=False)


@pytest.mark.parametrize("format", [*TWO_WAY, *TABLES])
def test_nothing_is_written_outside_the_folder(tmp_path: Path, format: str) -> None:
    given = annotated(tmp_path / "in", 0)
    write_annotations(given, tmp_path / "deep" / "out", format)
    assert {path.name for path in tmp_path.iterdir()} == {"in", "deep"}
    assert {path.name for path in (tmp_path / "deep").iterdir()} == {"out"}
    for name in ("../evil.png", "/evil.png", "a/../../evil.png", "C:\\evil.png", "..\\evil.png"):
        evil = Annotations([AnnotatedImage(name, (), None, (4, 4))], ("cat",))
        with pytest.raises(DataSetError, match="evil"):
            write_annotations(evil, tmp_path / "deep" / "out", format)


@pytest.mark.parametrize("format", ["coco", "yolo", "labelme", "cvat", "label-studio", "voc"])
def test_boxes_stay_boxes(tmp_path: Path, format: str) -> None:
    given = annotated(tmp_path, 0, count=2, images="images" if format == "yolo" else "")
    boxes = [Box((3.0, 2.0, 9.0, 12.0)), Box((0.0, 0.0, 4.0, 5.0))]
    image = given.images[1]
    objects = tuple(Object(name, box) for name, box in zip(CLASSES, boxes, strict=False))
    boxed = Annotations([AnnotatedImage(image.name, objects, image.image, image.size)], CLASSES)
    write_annotations(boxed, tmp_path, format)
    for path in (
        *tmp_path.rglob("SegmentationClass"),
        *tmp_path.rglob("SegmentationObject"),
        *tmp_path.rglob("labelmap.txt"),
    ):
        path.rename(tmp_path.parent / path.name)  # boxes of VOC come without masks
    (found,) = (one for one in read_annotations(tmp_path).images if one.objects)
    assert [one.class_name for one in found.objects] == list(CLASSES[:2])
    for one, box in zip(found.objects, boxes, strict=True):
        assert isinstance(one.shape, Box)
        assert one.shape.edges == pytest.approx(box.edges, abs=1e-4)


@pytest.mark.parametrize("format", ["coco", "yolo", "labelme", "cvat", "label-studio"])
def test_polygons_keep_their_corners(tmp_path: Path, format: str) -> None:
    given = annotated(tmp_path, 0, count=2, images="images" if format == "yolo" else "")
    ring = ring_of([3.25, 2, 15.5, 4, 9, 17.75])
    image = given.images[1]
    one = Object("cat", Polygons(((ring,),)))
    write_annotations(
        Annotations([AnnotatedImage(image.name, (one,), image.image, image.size)], ("cat",)), tmp_path, format
    )
    (found,) = (each for each in read_annotations(tmp_path).images if each.objects)
    np.testing.assert_allclose(found.objects[0].shape.parts[0][0], ring, atol=1e-4)


def test_crowds_are_kept_by_coco_and_ignored_by_masks(tmp_path: Path) -> None:
    image = annotated(tmp_path, 0, count=1).images[0]
    crowd = np.zeros(image.size, bool)
    crowd[2:9, 3:8] = True
    objects = (Object("cat", encode(~crowd)), Object("cat", encode(crowd), crowd=True))
    given = Annotations([AnnotatedImage(image.name, objects, image.image, image.size)], ("cat", "dog"))
    write_annotations(given, tmp_path / "coco", "coco")
    found = read_annotations(tmp_path / "coco" / "coco.json", images=tmp_path).images[0]
    assert [one.crowd for one in found.objects] == [False, True]
    np.testing.assert_array_equal(found.mask("cat", crowd=True), crowd)
    np.testing.assert_array_equal(found.mask("cat"), ~crowd)
    write_annotations(given, tmp_path, "mask")
    np.testing.assert_array_equal(read_annotations(tmp_path).images[0].mask("cat"), ~crowd)


def test_more_than_254_objects_of_an_image_have_colours_of_their_own(tmp_path: Path) -> None:
    image = annotated(tmp_path, 0, count=1).images[0]
    pixels = [(row, column) for row in range(0, 20, 1) for column in range(0, 20, 1)][:300]
    objects = []
    for row, column in pixels:
        mask = np.zeros(image.size, bool)
        mask[row, column] = True
        objects.append(Object("cat", encode(mask)))
    given = Annotations([AnnotatedImage(image.name, tuple(objects), image.image, image.size)], ("cat",))
    for format in ("voc", "instance"):
        write_annotations(given, tmp_path / format, format)
        (tmp_path / format / Path(image.name)).write_bytes(image.image.read_bytes())
        assert len(read_annotations(tmp_path / format).images[0].objects) == 300


def test_unknown_formats_and_too_many_classes_are_refused(tmp_path: Path) -> None:
    given = annotated(tmp_path, 0, count=1)
    with pytest.raises(ArgumentError, match=r"'cocoo'.*coco"):
        write_annotations(given, tmp_path, "cocoo")
    many = Annotations(given.images, tuple(map(str, range(255))))
    for format in ("voc", "mask"):
        with pytest.raises(DataSetError, match="255 classes"):
            write_annotations(many, tmp_path, format)


def test_a_format_of_one_file_goes_to_the_file_or_the_folder(tmp_path: Path) -> None:
    given = annotated(tmp_path / "in", 0)
    write_annotations(given, tmp_path / "folder", "coco")
    write_annotations(given, tmp_path / "mine.json", "coco")
    assert (tmp_path / "folder/coco.json").read_bytes() == (tmp_path / "mine.json").read_bytes()


def test_classes_are_chosen_by_name(tmp_path: Path) -> None:
    given = annotated(tmp_path, 3)
    only = given.only(["cat"])
    assert only.classes == ("cat",)
    assert {one.class_name for image in only.images for one in image.objects} == {"cat"}
    assert len(only) == len(given)
    with pytest.raises(ArgumentError, match=r"'cats'.*cat"):
        given.only(["cats"])
