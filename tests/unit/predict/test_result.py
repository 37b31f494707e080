"""Results: equality, short text, drawings and files."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from likewise.io.images import ScaledImage
from likewise.predict.result import Result, SceneResult


@pytest.fixture
def result() -> Result:
    labels = np.zeros((4, 6), np.uint8)
    labels[1:3, 2:4], labels[3, 5] = 1, 2
    probability = (labels > 0).astype(np.float32)
    image = np.full((4, 6, 3), 90, np.uint8)
    return Result(labels, probability, ("cat", "dog"), (1.0, 0.5), (0.75, 0.5), ScaledImage(image, (4, 6)))


@pytest.fixture
def scene(result: Result) -> SceneResult:
    return SceneResult(result.labels, result.probability, ("sky", "road", "car"), result.image)


def test_results_are_compared_by_value(result: Result, scene: SceneResult) -> None:
    assert result == replace(result, labels=result.labels.copy(), scaled=None)
    assert result != replace(result, labels=result.labels * 0)
    assert result != replace(result, expected_ious=(0.75, 0.25))
    assert result != scene
    assert scene == replace(scene, labels=scene.labels.copy())


def test_the_text_of_a_result_is_one_short_line(result: Result, scene: SceneResult) -> None:
    assert repr(result) == "Result(6x4, 21% of the image; cat 0.75, dog 0.25)"
    assert repr(scene) == "SceneResult(6x4; sky 79%, road 17%, car 4%)"
    assert result.score == 0.75


def test_an_overlay_has_the_size_of_the_image_and_is_shown_as_png(result: Result, scene: SceneResult) -> None:
    for each in (result, scene, replace(result, scaled=None)):
        assert each.overlay().shape == (4, 6, 3)
        assert Image.open(io.BytesIO(each._repr_png_())).size == (6, 4)
    assert (result.overlay() != result.image).any()


def test_saved_labels_are_the_labels_in_memory(result: Result, scene: SceneResult, tmp_path: Path) -> None:
    for each in (result, scene):
        each.save(tmp_path / "labels.png")
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "labels.png")), each.labels)
    colours = [Image.open(tmp_path / "labels.png").convert("RGB").getpixel((column, 0)) for column in (0, 5)]
    assert colours[0] == colours[1] != (0, 0, 0), "the first class of a scene has a colour"


def test_the_mask_of_one_class_is_saved_black_and_white(result: Result, tmp_path: Path) -> None:
    replace(result, classes=("cat",), expected_ious=(0.75,)).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "mask.png")), result.mask * np.uint8(255))


def test_areas_and_scores_of_a_scene_are_by_class(scene: SceneResult) -> None:
    assert scene.areas == {"sky": 19, "road": 4, "car": 1}
    assert scene.scores == (0.0, 1.0, 1.0)
    assert scene.mask.all()
