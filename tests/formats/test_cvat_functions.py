"""The functions in examples/cvat keep to the interfaces of cvat_sdk; no server of CVAT runs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from likewise import Example, FewShot

cvat = pytest.importorskip("cvat_sdk.auto_annotation")
masks = pytest.importorskip("cvat_sdk.masks")

EXAMPLES = Path(__file__).parents[2] / "examples/cvat"


def load(name: str) -> ModuleType:
    """Import a file as cvat-cli does."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def photo(*squares: tuple[int, int]) -> tuple[Image.Image, np.ndarray]:
    """A grey image of 120 x 160 pixels with red squares, and their mask."""
    pixels = np.random.default_rng(0).integers(90, 110, (120, 160, 3), dtype=np.uint8)
    mask = np.zeros((120, 160), bool)
    for top, left in squares:
        mask[top : top + 40, left : left + 40] = True
    pixels[mask] = 220, 30, 30
    return Image.fromarray(pixels), mask


class Context(cvat.DetectionFunctionContext):
    frame_name = "photo.jpg"
    conf_threshold = None
    conv_mask_to_poly = False


class Prompts(cvat.InteractionPrompts):
    pos_points = ((40.0, 40.0),)
    neg_points = ((5.0, 100.0),)
    bounding_box = None


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> object:
    image, mask = photo((20, 20))
    path = tmp_path_factory.mktemp("concept") / "red.concept"
    FewShot().learn(Example(image, mask=mask, class_name="red")).save(path)
    return load("detect").create(str(path))


def test_the_labels_are_the_classes(detector) -> None:
    assert [(label.name, label.id) for label in detector.spec.labels] == [("red", 0)]


def test_objects_are_masks(detector) -> None:
    image, mask = photo((10, 10), (70, 100))
    detector.segmenter.presence = 0.0
    shapes = detector.detect(Context(), image)
    assert shapes
    assert {(str(shape.type), shape.label_id, shape.frame) for shape in shapes} == {("mask", 0, 0)}
    found = [masks.decode_mask(shape.points, image_width=160, image_height=120) for shape in shapes]
    united = np.any(found, axis=0)
    assert (united & mask).sum() / (united | mask).sum() > 0.7


def test_objects_are_polygons_where_cvat_asks_for_them_and_unsure_ones_are_left_out(detector) -> None:
    image, _ = photo((10, 10), (70, 100))
    detector.segmenter.presence = 0.0
    context = Context()
    context.conv_mask_to_poly = True
    shapes = detector.detect(context, image)
    assert {str(shape.type) for shape in shapes} == {"polygon"}
    assert all(len(shape.points) >= 6 for shape in shapes)
    context.conf_threshold = 1.1
    assert detector.detect(context, image) == []


def test_clicks_and_boxes_are_a_mask() -> None:
    image, mask = photo((20, 20))
    interactor = load("interact").create()
    prepared = interactor.preprocess_image(None, image)
    prompts = Prompts()
    clicked = interactor.detect(None, prepared, prompts)
    prompts.bounding_box = ((14.0, 14.0), (66.0, 66.0))
    boxed = interactor.detect(None, prepared, prompts)
    for (shape,) in (clicked, boxed):
        found = masks.decode_mask(shape.points, image_width=160, image_height=120)
        assert shape.type == "mask"
        assert (found & mask).sum() / (found | mask).sum() > 0.7
