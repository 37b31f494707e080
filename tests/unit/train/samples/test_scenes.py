"""Training data of MCIBI: crops, validation images, and the checks before the first step."""

import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from likewise.errors import DataSetError, ImageError, RecipeError, TrainingError
from likewise.io.annotations import AnnotatedImage, Annotations, Object, write_annotations
from likewise.io.annotations.shapes import encode
from likewise.metrics.scenes import SceneIoU
from likewise.train.samples.scenes import (
    Batch,
    TrainingScenes,
    class_weights,
    read_scene,
    resize_short_side,
)
from likewise.weights.build import build_model
from support import fakes
from support.scene_folders import make_folder, small
from support.scene_runs import SECTIONS


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_folder(tmp_path_factory.mktemp("scenes"))


def first_items(data: TrainingScenes) -> list[Batch]:
    return [data.item(step, place) for step in range(3) for place in range(2)]


def test_an_item_is_a_crop_that_depends_on_seed_step_and_place_only(folder):
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


def test_image_and_labels_get_the_same_scale_crop_and_mirror(folder):
    data = TrainingScenes(small(folder, "data.jitter=0", "data.scale=[0.8, 1.6]"))
    for step in range(6):
        item = data.item(step, 0)
        counted = item.labels[0] != 255
        equal = item.images[0][counted].int().argmax(dim=1) == item.labels[0][counted]
        assert equal.float().mean() > 0.95, "except at edges, the colour determines the class"


def test_each_epoch_visits_every_image_once_in_another_order(folder):
    data = TrainingScenes(small(folder))
    count = len(data.training.scenes)
    epochs = [[data.scene(epoch * count + place).image.stem for place in range(count)] for epoch in range(3)]
    assert all(sorted(epoch) == sorted(epochs[0]) and len(set(epoch)) == count for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_validation_images_are_excluded_from_training(folder):
    data = TrainingScenes(small(folder))
    held = [scene.image.stem for scene in data.held.scenes]
    assert held == ["3", "7"]
    assert {scene.image.stem for scene in data.training.scenes} == set("012456")
    assert "2 images excluded from training" in data.validation_protocol()


def test_keep_every_null_keeps_no_validation_images(folder):
    data = TrainingScenes(small(folder, "data.keep_every=null"))
    assert data.selection is None
    assert len(data.training.scenes) == 8


def test_camvid_is_validated_on_its_val_split_and_needs_no_test_split(tmp_path):
    for split, count in (("train", 3), ("val", 2)):
        for index in range(count):
            fakes.write_image(tmp_path / split / f"{split}{index}.png", fakes.noise(index, 40, 50))
            fakes.write_image(
                tmp_path / f"{split}annot" / f"{split}{index}.png", np.full((40, 50), 11, np.uint8) - (index + 1)
            )
    with pytest.warns(UserWarning, match="8 of 11 classes"):
        data = TrainingScenes(
            small(tmp_path, "data.set=camvid", "data.classes=null", "data.keep_every=null", f"data.root={tmp_path}")
        )
    assert len(data.training.scenes) == 3
    assert [scene.image.stem for scene in data.held.scenes] == ["val0", "val1"]
    assert "CamVid val" in data.validation_protocol()


def test_a_mirrored_crop_exchanges_left_and_right_classes(tmp_path):
    make_folder(tmp_path, classes=3)
    settings = ("data.classes=[left arm, body, right arm]", "data.jitter=0", "data.scale=[1, 1]", "data.crop=32")
    plain = TrainingScenes(small(tmp_path, *settings, "data.mirror=0"))
    mirrored = TrainingScenes(small(tmp_path, *settings, "data.mirror=1"))
    assert mirrored.training.mirrored == ((0, 2),)
    one, other = plain.item(0, 0), mirrored.item(0, 0)
    np.testing.assert_array_equal(one.images.flip(2), other.images)
    exchanged = np.array([2, 1, 0, *range(3, 256)], np.uint8)
    np.testing.assert_array_equal(exchanged[one.labels.flip(2).numpy()], other.labels)


def test_the_score_is_the_miou_of_the_held_images_at_their_own_size(folder):
    data = TrainingScenes(small(folder, "data.side=40"))
    model = build_model(SECTIONS["mcibi"], data.classes).eval()
    shapes = []

    def move(batch):
        shapes.append((tuple(batch.images.shape), tuple(batch.labels.shape)))
        return batch

    score = data.score(model, move)
    assert shapes == [((1, 40, 56, 3), (1, 50, 70))] * 2
    metric = SceneIoU(data.classes)
    with torch.no_grad():
        for scene in data.held.scenes:
            image = np.asarray(Image.open(scene.image))
            images = model.backbone.normalise(torch.from_numpy(resize_short_side(image, 40).copy())[None])
            logits = torch.nn.functional.interpolate(model(images), (50, 70), mode="bilinear", align_corners=False)
            metric.update(logits[0].argmax(0).byte().numpy(), data.held.read_labels(scene.labels))
    assert score == pytest.approx(metric.compute().values["mIoU"], abs=1e-9)


def test_labels_follow_the_image_to_the_side_of_training(folder):
    data = TrainingScenes(small(folder))
    image, labels = read_scene(data.training, data.training.scenes[0], 25)
    assert image.shape == (25, 35, 3)
    assert labels.shape == (25, 35)
    full = data.training.read_labels(data.training.scenes[0].labels)
    np.testing.assert_array_equal(labels, full[1::2, 1::2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TrainingScenes(small(folder, "data.side=40")).item(0, 0)


def test_labels_that_are_not_classes_are_refused_with_file_and_value(tmp_path):
    make_folder(tmp_path)
    labels = np.array(Image.open(tmp_path / "labels/2.png"))
    labels[10:14, 5:10] = 7
    Image.fromarray(labels).save(tmp_path / "labels/2.png")
    with pytest.raises(DataSetError, match=r"labels/2\.png.* 7 \(20 pixels\)"):
        TrainingScenes(small(tmp_path))


def test_classes_that_never_occur_are_warned_about_and_recorded(tmp_path):
    make_folder(tmp_path)
    with pytest.warns(UserWarning, match=r"1 of 4 classes.*unicorn"):
        data = TrainingScenes(small(tmp_path, "data.classes=[red, green, blue, unicorn]"))
    record = data.record()["training"]
    assert record["classes that never occur"] == ["unicorn"]
    assert record["pixels"]["unicorn"] == 0
    assert record["pixels"]["red"] > 0


def test_data_with_fewer_than_two_classes_are_refused(tmp_path):
    make_folder(tmp_path, classes=1)
    with pytest.raises(DataSetError, match="red"):
        TrainingScenes(small(tmp_path))
    for path in (tmp_path / "labels").glob("*.png"):
        Image.fromarray(np.full((50, 70), 255, np.uint8)).save(path)
    with pytest.raises(DataSetError):
        TrainingScenes(small(tmp_path))


def test_all_labels_that_do_not_fit_their_images_are_listed_before_the_first_step(tmp_path):
    make_folder(tmp_path)
    for name in ("0", "3"):  # 3 is a validation image
        labels = np.asarray(Image.open(tmp_path / f"labels/{name}.png"))
        Image.fromarray(labels[:, :60]).save(tmp_path / f"labels/{name}.png")
    (tmp_path / "labels/5.png").write_bytes(b"damaged")
    with pytest.raises(DataSetError) as error:
        TrainingScenes(small(tmp_path))
    assert re.search(r"labels/0\.png.*60x50.*70x50(.|\n)*labels/3\.png(.|\n)*labels/5\.png", str(error.value))


def test_labels_have_to_fit_the_upright_image(tmp_path):
    make_folder(tmp_path)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    with Image.open(tmp_path / "images/1.png") as image:
        image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "images/1.png", exif=exif)
    TrainingScenes(small(tmp_path))
    with Image.open(tmp_path / "labels/1.png") as labels:
        labels.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "labels/1.png")
    with pytest.raises(DataSetError, match=r"labels/1\.png.*orientation 6"):
        TrainingScenes(small(tmp_path))


def test_an_unreadable_image_stops_before_the_first_step_or_is_skipped(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "images/1.png").write_bytes(b"damaged")
    with pytest.raises(DataSetError, match=r"1\.png"):
        TrainingScenes(small(tmp_path, "data.on_corrupt=stop"))
    TrainingScenes(small(tmp_path, "data.on_corrupt=skip"))


def test_a_truncated_image_stops_the_run_or_is_replaced(tmp_path):
    make_folder(tmp_path)
    damaged = tmp_path / "images/1.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    data = TrainingScenes(small(tmp_path, "data.on_corrupt=stop"))
    with pytest.raises(ImageError, match=r"1\.png"):
        first_items(data)
    skipping = TrainingScenes(small(tmp_path, "data.on_corrupt=skip"))
    with pytest.warns(UserWarning, match=r"step \d .*1\.png"):
        items = first_items(skipping)
    assert all(item.images.shape == (1, 48, 48, 3) for item in items)
    for path in (tmp_path / "images").glob("*.png"):
        path.write_bytes(b"damaged")
    warnings.simplefilter("ignore")
    with pytest.raises(TrainingError, match="10 draws"):
        skipping.item(0, 0)


def test_too_few_images_to_keep_any_for_validation_are_refused(tmp_path):
    make_folder(tmp_path, count=3)
    with pytest.raises(DataSetError, match=r"3 labelled images.*4th"):
        TrainingScenes(small(tmp_path))


@pytest.mark.parametrize(
    ("overrides", "setting"),
    [
        (("data.set=voc",), "data.classes=null"),
        (("data.set=camvid", "data.classes=null"), "data.keep_every=null"),
        (("data.scale=[2, 1]",), r"scale is \[2.0, 1.0\]"),
        (("data.kind=episodes",), "data.kind|has no key"),
    ],
)
def test_contradicting_settings_are_refused(folder, overrides, setting):
    with pytest.raises(RecipeError, match=setting):
        small(folder, *overrides)


def test_class_weights_are_the_inverse_relative_frequency_to_the_power_of_the_balance(folder):
    pixels = np.array([400, 100, 25, 0])
    np.testing.assert_allclose(class_weights(pixels, 1.0), [0.25, 1, 4, 1])
    np.testing.assert_allclose(class_weights(pixels, 0.5), [0.5, 1, 2, 1])
    np.testing.assert_allclose(class_weights(pixels, 0.0), 1)
    data = TrainingScenes(small(folder, "data.balance=0.5"))
    item = data.item(0, 0)
    assert item.weights.shape == (1, 3)
    np.testing.assert_allclose(item.weights[0], class_weights(data.pixels, 0.5))
    assert item.weights.unique().numel() > 1


def relabel(folder: Path, names: Sequence[str], change: Callable[[np.ndarray], np.ndarray]) -> None:
    for path in folder.glob("labels/*.png"):
        if not names or path.stem in names:
            Image.fromarray(change(np.asarray(Image.open(path))).astype(np.uint8)).save(path)


def test_validation_images_without_a_labelled_pixel_are_reported_with_all_other_problems(tmp_path):
    folder = make_folder(tmp_path)
    relabel(folder, ("3", "7"), lambda labels: labels * 0 + 255)
    relabel(folder, ("4",), lambda labels: labels[:-1])
    with pytest.raises(DataSetError, match="2 problems") as raised:
        TrainingScenes(small(folder))
    for part in ("2 for validation: 3, 7", "4.png", "data.keep_every"):
        assert part in str(raised.value)


def test_black_and_white_labels_are_explained(tmp_path):
    folder = make_folder(tmp_path)
    relabel(folder, (), lambda labels: (labels == 1) * 255)
    with pytest.raises(DataSetError, match=r"only red.*255, which is ignored.*as 1"):
        TrainingScenes(small(folder))


def test_labels_with_gaps_are_remembered(tmp_path):
    folder = make_folder(tmp_path)
    relabel(folder, (), lambda labels: np.array([7, 38, 40])[labels % 3])
    data = TrainingScenes(small(folder, "data.classes=null"))
    assert (data.classes, data.stored) == (("7", "38", "40"), (7, 38, 40))


def test_annotations_of_another_tool_are_scenes(tmp_path):
    folder = make_folder(tmp_path)
    images = []
    for path in sorted(folder.glob("images/*")):
        labels = np.asarray(Image.open(folder / "labels" / f"{path.stem}.png"))
        objects = tuple(Object(name, encode(labels == index)) for index, name in ((1, "green"), (2, "blue")))
        images.append(AnnotatedImage(path.name, objects, path, labels.shape))
    write_annotations(Annotations(images, ("green", "blue")), folder / "images", "coco")
    words = ("data.set=annotations", f"data.root={folder}/images/coco.json", "data.classes=null")
    data = TrainingScenes(small(folder, *words))
    assert data.classes == ("background", "green", "blue")
    assert data.pixels.min() > 0
    assert data.item(0, 0).labels.max() == 2
    assert TrainingScenes(small(folder, *words[:2], "data.classes=[green]")).classes == ("background", "green")


def test_folders_of_other_usual_names_are_found(tmp_path):
    folder = make_folder(tmp_path)
    (folder / "images").rename(folder / "Photos")
    (folder / "labels").rename(folder / "masks")
    assert len(TrainingScenes(small(folder)).training.scenes) > 2
    (folder / "frames").mkdir()
    with pytest.raises(DataSetError, match="images does not exist"):
        TrainingScenes(small(folder))
