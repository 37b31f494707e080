"""Annotations as examples."""

from pathlib import Path

import numpy as np
import pytest

from likewise import FewShot, read_annotations, write_annotations
from likewise.errors import ArgumentError, DataSetError, ExampleError
from likewise.io.annotations import AnnotatedImage, Annotations, Box, Object
from likewise.io.annotations.shapes import encode
from likewise.predict.examples import mark
from likewise.predict.find_examples import find_examples
from support.annotated import annotated
from support.fakes import noise, write_image


def scenes(folder: Path, *, turned: bool = False) -> Annotations:
    """Three images with a red and a blue disc."""
    rows, columns = np.mgrid[:96, :128]
    images = []
    for index in range(3):
        pixels = noise(index, 96, 128) // 4 + 90
        objects = []
        for name, colour, centre in (("red", (220, 40, 40), 30), ("blue", (40, 60, 220), 95)):
            mask = (rows - 40 - 5 * index) ** 2 + (columns - centre) ** 2 < 20**2
            pixels[mask] = colour
            objects.append(Object(name, encode(mask)))
        path = folder / f"{index}.png"
        write_image(path, pixels)
        images.append(AnnotatedImage(path.name, tuple(objects), path, (96, 128)))
    return Annotations(images, ("red", "blue"), "generated")


def test_a_data_set_gives_examples_by_class_that_a_model_learns(tmp_path: Path) -> None:
    write_annotations(scenes(tmp_path), tmp_path, "coco")
    dataset = read_annotations(tmp_path / "coco.json")
    assert dataset.classes == ("red", "blue")
    assert len(dataset.images) == 3
    assert [example.class_name for example in dataset] == ["red", "blue"] * 3
    few_shot = FewShot("panet-lite0")
    result = few_shot.segment(tmp_path / "2.png", few_shot.learn(dataset["red"][:2]))
    red = dataset.images[2].mask("red")
    assert result.mask[red].mean() > 0.8
    with pytest.raises(ArgumentError, match=r"'green'.*red"):
        dataset["green"]


def test_objects_boxes_and_crowds_become_marks(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", noise(0, 20, 30))
    one, crowd = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
    one[2:8, 3:9], crowd[10:15] = True, True
    objects = (
        Object("cat", encode(one)),
        Object("cat", encode(crowd), crowd=True),
        Object("dog", Box((1.0, 2.0, 5.0, 6.0))),
        Object("dog", Box((10.0, 2.0, 15.0, 6.0))),
    )
    image = AnnotatedImage("a.png", objects, tmp_path / "a.png", (20, 30))
    write_annotations(Annotations([image], ("cat", "dog", "none")), tmp_path, "coco")
    cat, dog = read_annotations(tmp_path)
    _, foreground, background = mark(cat)
    np.testing.assert_array_equal(foreground, one)
    np.testing.assert_array_equal(background, ~one & ~crowd)
    assert len(dog.box) == 2
    foreground = mark(dog)[1]
    assert foreground[2:6, 1:5].any(), "each box has an object"
    assert foreground[2:6, 10:15].any(), "each box has an object"
    assert foreground.sum() == foreground[2:6, [*range(1, 5), *range(10, 15)]].sum()


@pytest.mark.parametrize("format", ["coco", "yolo", "voc", "labelme", "cvat", "label-studio"])
def test_boxes_of_every_format_become_masks_of_the_objects_inside(tmp_path: Path, format: str) -> None:
    given = scenes(tmp_path / "images")
    boxed = []
    for image in given.images:
        found = [(one, np.nonzero(image.mask_of(one))) for one in image.objects]
        edges = [(float(c.min()), float(r.min()), float(c.max()) + 1, float(r.max()) + 1) for _, (r, c) in found]
        objects = (Object(one.class_name, Box(edge)) for (one, _), edge in zip(found, edges, strict=True))
        boxed.append(AnnotatedImage(image.name, tuple(objects), image.image, image.size))
    write_annotations(Annotations(boxed, given.classes), tmp_path, format)
    if format == "voc":  # boxes come without masks
        for name in ("SegmentationClass", "SegmentationObject"):
            (tmp_path / name).rename(tmp_path.parent / f"{tmp_path.name}-{name}")
        (tmp_path / "labelmap.txt").unlink()
    examples, _ = find_examples([tmp_path])
    assert len(examples) == 6
    for example in examples:
        assert len(example.boxes) == 1
        expected = given.images[int(Path(example.name).stem)].mask(example.class_name)
        foreground = mark(example)[1]
        assert (foreground & expected).sum() / (foreground | expected).sum() > 0.9


@pytest.mark.parametrize("format", ["coco", "voc", "labelme", "cvat", "label-studio", "geojson", "mask", "instance"])
def test_a_folder_or_file_of_annotations_is_an_argument(photos: Path, format: str) -> None:
    given = scenes(photos)
    write_annotations(given, photos, format)
    examples, _ = find_examples([photos])
    assert [(Path(example.name).name, example.class_name) for example in examples] == [
        (f"{index}.png", name) for index in range(3) for name in ("red", "blue")
    ]
    for example in examples:
        image = given.images[int(Path(example.name).stem)]
        assert (mark(example)[1] != image.mask(example.class_name)).mean() < 0.01
    chosen, _ = find_examples([photos], classes=["blue"])
    assert {example.class_name for example in chosen} == {"blue"}
    with pytest.raises(ExampleError, match=r"'green'.*blue"):
        find_examples([photos], classes=["green"])


def test_an_image_takes_its_annotation_as_mask_or_from_beside_it(photos: Path) -> None:
    given = scenes(photos)
    write_annotations(given, photos / "json", "labelme")
    pair = f"{photos}/0.png={photos}/json/0.json"
    expected = [("red", photos / "0.png"), ("blue", photos / "0.png")]
    assert [(example.class_name, example.image) for example in find_examples([pair])[0]] == expected
    (photos / "json/0.json").rename(photos / "0.json")
    assert [(example.class_name, example.image) for example in find_examples([photos / "0.png"])[0]] == expected


def test_captions_and_foreign_files_beside_images_are_no_annotations(photos: Path) -> None:
    pets = photos / "pets"
    for index in range(2):
        write_image(pets / f"cat/{index}.jpg", noise(index))
    write_image(pets / "cat/0.png", np.eye(60, 80, dtype=bool))
    (pets / "cat/1.txt").write_text("a photo of a cat")
    with pytest.warns(UserWarning, match=r"1 of 2 .*1\.jpg"):
        (example,), _ = find_examples([pets])
    assert example.class_name == "cat"
    with pytest.raises(DataSetError, match=r"1\.txt"):
        find_examples([pets], strict=True)


def test_annotations_without_an_image_are_no_examples(tmp_path: Path) -> None:
    write_annotations(annotated(tmp_path / "in", 0), tmp_path / "out", "coco")
    with (
        pytest.warns(UserWarning, match="4 of 4 images"),
        pytest.raises(ExampleError, match=r"of 4 images 4 are absent"),
    ):
        find_examples([tmp_path / "out/coco.json"])


def test_labels_do_not_apply_to_annotations(photos: Path) -> None:
    write_annotations(scenes(photos), photos, "coco")
    examples, _ = find_examples([photos / "coco.json"], label="7", invert=True)
    assert {(example.label, example.invert) for example in examples} == {(None, False)}
