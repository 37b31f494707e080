"""Scenes to train on: what is drawn, what is kept apart, what is refused."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from likewise.errors import DataSetError, ImageError, RecipeError, TrainingError
from likewise.metrics.scenes import SceneIoU
from likewise.train.samples.scenes import (
    Batch,
    TrainingScenes,
    brought,
    class_weights,
    read_scene,
)
from likewise.weights.load import TRAINED
from support import fakes
from support.scene_folders import make_folder, small
from support.scene_runs import SECTIONS


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_folder(tmp_path_factory.mktemp("scenes"))


def first_items(material: TrainingScenes) -> list[Batch]:
    return [material.item(step, place) for step in range(3) for place in range(2)]


def test_an_item_is_a_crop_that_its_place_alone_decides(folder):
    first, second = TrainingScenes(small(folder)), TrainingScenes(small(folder))
    second.item(5, 0)
    one, same, other = first.item(1, 1), second.item(1, 1), first.item(1, 0)
    assert one.images.shape == (1, 48, 48, 3)
    assert one.labels.shape == (1, 48, 48)
    np.testing.assert_array_equal(one.images, same.images)
    np.testing.assert_array_equal(one.labels, same.labels)
    assert not np.array_equal(one.images, other.images)
    another_seed = TrainingScenes(small(folder, "seed=1")).item(1, 1)
    assert not np.array_equal(one.images, another_seed.images)


def test_image_and_labels_stay_together_through_scale_crop_and_mirror(folder):
    material = TrainingScenes(small(folder, "data.jitter=0", "data.scale=[0.8, 1.6]"))
    for step in range(6):
        item = material.item(step, 0)
        counted = item.labels[0] != 255
        alike = item.images[0][counted].int().argmax(dim=1) == item.labels[0][counted]
        assert alike.float().mean() > 0.95, "at an edge two colours mix, elsewhere the colour is the class"


def test_every_image_comes_once_before_any_comes_again_each_time_in_another_order(folder):
    material = TrainingScenes(small(folder))
    count = len(material.training.scenes)
    turns = [[material.scene(turn * count + place).image.stem for place in range(count)] for turn in range(3)]
    assert all(sorted(turn) == sorted(turns[0]) and len(set(turn)) == count for turn in turns)
    assert turns[0] != turns[1]


def test_images_kept_for_validation_are_never_trained_on(folder):
    material = TrainingScenes(small(folder))
    held = [scene.image.stem for scene in material.held.scenes]
    assert held == ["3", "7"]
    assert {scene.image.stem for scene in material.training.scenes} == set("012456")
    assert "2 images that were not trained on" in material.described()


def test_without_held_out_nothing_is_selected(folder):
    material = TrainingScenes(small(folder, "data.keep_every=null"))
    assert material.selection is None
    assert len(material.training.scenes) == 8


def test_camvid_is_validated_on_its_val_split_and_its_test_split_is_not_opened(tmp_path):
    for split, count in (("train", 3), ("val", 2)):
        for index in range(count):
            fakes.write_image(tmp_path / split / f"{split}{index}.png", fakes.noise(index, 40, 50))
            fakes.write_image(
                tmp_path / f"{split}annot" / f"{split}{index}.png", np.full((40, 50), 11, np.uint8) - (index + 1)
            )
    with pytest.warns(UserWarning, match="8 of 11 classes occur in no training image"):
        material = TrainingScenes(
            small(tmp_path, "data.set=camvid", "data.classes=null", "data.keep_every=null", f"data.root={tmp_path}")
        )
    assert len(material.training.scenes) == 3
    assert [scene.image.stem for scene in material.held.scenes] == ["val0", "val1"]
    assert "CamVid val" in material.described()


def test_a_mirrored_crop_exchanges_left_and_right_classes(tmp_path):
    make_folder(tmp_path, classes=3)
    words = ("data.classes=[left arm, body, right arm]", "data.jitter=0", "data.scale=[1, 1]", "data.crop=32")
    plain = TrainingScenes(small(tmp_path, *words, "data.mirror=0"))
    mirrored = TrainingScenes(small(tmp_path, *words, "data.mirror=1"))
    assert mirrored.training.mirrored == ((0, 2),)
    one, other = plain.item(0, 0), mirrored.item(0, 0)
    np.testing.assert_array_equal(one.images.flip(2), other.images)
    exchanged = np.array([2, 1, 0, *range(3, 256)], np.uint8)
    np.testing.assert_array_equal(exchanged[one.labels.flip(2).numpy()], other.labels)


def test_the_score_is_the_miou_of_the_held_images_at_their_own_size(folder):
    material = TrainingScenes(small(folder, "data.side=40"))
    model = TRAINED["mcibi"](SECTIONS["mcibi"], material.classes).eval()
    shapes = []

    def move(batch):
        shapes.append((tuple(batch.images.shape), tuple(batch.labels.shape)))
        return batch

    score = material.score(model, move)
    assert shapes == [((1, 40, 56, 3), (1, 50, 70))] * 2
    metric = SceneIoU(material.classes)
    with torch.no_grad():
        for scene in material.held.scenes:
            image = np.asarray(Image.open(scene.image))
            images = model.backbone.normalise(torch.from_numpy(brought(image, 40).copy())[None])
            logits = torch.nn.functional.interpolate(model(images), (50, 70), mode="bilinear", align_corners=False)
            metric.update(logits[0].argmax(0).byte().numpy(), material.held.read_labels(scene.labels))
    assert score == pytest.approx(metric.compute().values["mIoU"], abs=1e-9)


def test_labels_follow_the_image_to_the_side_of_training(folder):
    material = TrainingScenes(small(folder))
    image, labels = read_scene(material.training, material.training.scenes[0], 25)
    assert image.shape == (25, 35, 3)
    assert labels.shape == (25, 35)
    full = material.training.read_labels(material.training.scenes[0].labels)
    np.testing.assert_array_equal(labels, full[1::2, 1::2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TrainingScenes(small(folder, "data.side=40")).item(0, 0)


def test_labels_beyond_the_classes_name_file_value_and_count(tmp_path):
    make_folder(tmp_path)
    labels = np.array(Image.open(tmp_path / "labels/2.png"))
    labels[10:14, 5:10] = 7
    Image.fromarray(labels).save(tmp_path / "labels/2.png")
    told = (
        r"labels/2\.png: holds labels that are no class: 7 \(20 pixels\); there are 3 classes, labels 0 to 2, and 255"
    )
    with pytest.raises(ImageError, match=told):
        TrainingScenes(small(tmp_path))


def test_classes_that_never_occur_are_told_and_stand_in_the_record(tmp_path):
    make_folder(tmp_path)
    with pytest.warns(UserWarning, match="1 of 4 classes occur in no training image of images .*: unicorn"):
        material = TrainingScenes(small(tmp_path, "data.classes=[red, green, blue, unicorn]"))
    record = material.record()["training"]
    assert record["classes that never occur"] == ["unicorn"]
    assert record["pixels"]["unicorn"] == 0
    assert record["pixels"]["red"] > 0


def test_data_of_one_class_are_refused(tmp_path):
    make_folder(tmp_path, classes=1)
    with pytest.raises(DataSetError, match="show only red: at least two classes are needed"):
        TrainingScenes(small(tmp_path))
    for path in (tmp_path / "labels").glob("*.png"):
        Image.fromarray(np.full((50, 70), 255, np.uint8)).save(path)
    with pytest.raises(DataSetError, match="show no class: at least two classes are needed"):
        TrainingScenes(small(tmp_path))


def test_labels_of_another_size_than_their_image_are_named(tmp_path):
    make_folder(tmp_path)
    labels = np.asarray(Image.open(tmp_path / "labels/0.png"))
    Image.fromarray(labels[:, :60]).save(tmp_path / "labels/0.png")
    material = TrainingScenes(small(tmp_path, "data.on_corrupt=stop"))
    with pytest.raises(ImageError, match=r"0\.png: is 60x50 .* its image is 70x50"):
        first_items(material)


def test_a_corrupt_image_stops_or_is_replaced_and_named_as_the_recipe_says(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "images/1.png").write_bytes(b"damaged")
    material = TrainingScenes(small(tmp_path, "data.on_corrupt=stop"))
    with pytest.raises(ImageError, match=r"1\.png"):
        first_items(material)
    skipping = TrainingScenes(small(tmp_path, "data.on_corrupt=skip"))
    with pytest.warns(UserWarning, match=r"what step \d learns from is drawn anew: .*1\.png"):
        items = first_items(skipping)
    assert all(item.images.shape == (1, 48, 48, 3) for item in items)
    for path in (tmp_path / "images").glob("*.png"):
        path.write_bytes(b"damaged")
    warnings.simplefilter("ignore")
    with pytest.raises(TrainingError, match="10 draws in a row hold images that cannot be read"):
        skipping.item(0, 0)


def test_too_few_images_to_hold_any_out_are_refused(tmp_path):
    make_folder(tmp_path, count=3)
    with pytest.raises(DataSetError, match="has 3 labelled images: too few to keep every 4th"):
        TrainingScenes(small(tmp_path))


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (("data.set=voc",), "the classes of voc are known"),
        (("data.set=camvid", "data.classes=null"), "camvid has a split to validate on"),
        (("data.scale=[2, 1]",), r"scale is \[2.0, 1.0\]"),
        (("data.kind=episodes",), "data.kind|has no key"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(folder, overrides, told):
    with pytest.raises(RecipeError, match=told):
        small(folder, *overrides)


def test_rare_classes_gain_by_the_median_share_to_the_power_of_the_balance(folder):
    pixels = np.array([400, 100, 25, 0])
    np.testing.assert_allclose(class_weights(pixels, 1.0), [0.25, 1, 4, 1])
    np.testing.assert_allclose(class_weights(pixels, 0.5), [0.5, 1, 2, 1])
    np.testing.assert_allclose(class_weights(pixels, 0.0), 1)
    material = TrainingScenes(small(folder, "data.balance=0.5"))
    item = material.item(0, 0)
    assert item.weights.shape == (1, 3)
    np.testing.assert_allclose(item.weights[0], class_weights(material.pixels, 0.5))
    assert item.weights.unique().numel() > 1
