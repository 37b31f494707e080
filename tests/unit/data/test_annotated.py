"""Annotation files as scenes and as few-shot sets."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from likewise.data.annotated import annotated_classes, annotated_scenes
from likewise.errors import ArgumentError, DataSetError
from likewise.io.annotations import AnnotatedImage, Annotations, Object, write_annotations
from likewise.io.annotations.shapes import encode


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A COCO file of three images: a cat over a dog with a crowd, nothing, and one that is absent."""
    cat, dog, crowd = (np.zeros((20, 30), bool) for _ in range(3))
    dog[2:12, 2:12], cat[6:16, 6:16], crowd[:, 25:] = True, True, True
    objects = (Object("dog", encode(dog)), Object("cat", encode(cat)), Object("cat", encode(crowd), crowd=True))
    images = []
    for name, own in (("a.png", objects), ("b.png", ()), ("gone.png", objects[:1])):
        images.append(AnnotatedImage(name, own, tmp_path / name, (20, 30)))
        if name != "gone.png":
            Image.new("RGB", (30, 20)).save(tmp_path / name)
    write_annotations(Annotations(images, ("cat", "dog", "bird")), tmp_path, "coco")
    return tmp_path / "coco.json"


@pytest.mark.filterwarnings("ignore:.*images are not there")
def test_scenes_have_a_background_and_later_objects_cover_earlier_ones(path: Path) -> None:
    scenes = pickle.loads(pickle.dumps(annotated_scenes(path)))
    assert scenes.classes == ("background", "cat", "dog", "bird")
    assert [scene.image.name for scene in scenes.scenes] == ["a.png", "b.png"]
    assert scenes.presence.missing == ("gone.png",)
    labels = scenes.read_labels(scenes.scenes[0].labels)
    assert (labels[8, 8], labels[3, 3], labels[0, 0], labels[0, 29]) == (1, 2, 0, 255)
    assert not scenes.read_labels(scenes.scenes[1].labels).any()
    only = annotated_scenes(path, ["background", "dog"])
    assert only.classes == ("background", "dog")
    assert np.unique(only.read_labels(only.scenes[0].labels)).tolist() == [0, 1]
    with pytest.raises(ArgumentError, match="'cow'"):
        annotated_scenes(path, ["cow"])


@pytest.mark.filterwarnings("ignore:.*images are not there")
def test_few_shot_sets_have_an_entry_for_each_image_and_class(path: Path) -> None:
    dataset = pickle.loads(pickle.dumps(annotated_classes(path)))
    assert dataset.classes == ("cat", "dog")
    assert [(entry.image, entry.class_name) for entry in dataset.entries] == [("a.png", "dog"), ("a.png", "cat")]
    assert dataset.image_path("a.png").is_file()
    mask = dataset.read_class("a.png", "cat")
    assert (mask[8, 8], mask[3, 3], mask[0, 29]) == (1, 0, 255)
    assert (dataset.presence.listed, dataset.presence.missing) == (3, ("gone.png",))


@pytest.mark.filterwarnings("ignore:.*images are not there")
def test_annotations_without_images_or_objects_are_refused(path: Path) -> None:
    (path.parent / "a.png").unlink()
    with pytest.raises(DataSetError, match=r"coco\.json: no image that is there shows an object"):
        annotated_classes(path)
    (path.parent / "b.png").unlink()
    with pytest.raises(DataSetError, match="none of its 3 images"):
        annotated_scenes(path)


def test_labels_of_an_image_that_was_resized_have_its_size(tmp_path: Path) -> None:
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    mask = np.zeros((40, 60), bool)
    mask[10:20, 10:30] = True
    image = AnnotatedImage("a.png", (Object("cat", encode(mask)),), tmp_path / "a.png", (40, 60))
    write_annotations(Annotations([image], ("cat",)), tmp_path, "coco")
    scenes = annotated_scenes(tmp_path)
    with pytest.warns(UserWarning, match="scaled to 30x20"):
        labels = scenes.read_labels(scenes.scenes[0].labels)
    np.testing.assert_array_equal(labels, mask[::2, ::2])
