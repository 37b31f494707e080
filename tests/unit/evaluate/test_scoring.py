from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from likewise.data.groups import GroupSet, cosaliency_groups
from likewise.data.scenes import SceneSet, folder_scenes
from likewise.errors import ArgumentError, PredictionError
from likewise.evaluate.scoring import (
    GROUP_MODES,
    map_name,
    read_grey_map,
    read_prediction,
    require_files,
    score_groups,
    score_scenes,
)
from likewise.io.images import save_image
from likewise.io.masks import read_labels
from likewise.metrics.saliency import CoSegmentation, Saliency
from support import fakes


@pytest.fixture
def groups(tmp_path: Path) -> GroupSet:
    for group in "owl", "tie":
        for i in range(3):
            fakes.write_image(tmp_path / "set/image" / group / f"{i}.jpg", fakes.noise(i))
            fakes.write_image(tmp_path / "set/gt" / group / f"{i}.png", fakes.block(255, i, border=0))
    return cosaliency_groups(tmp_path / "set")


def predict_groups(groups: GroupSet, folder: Path) -> dict[tuple[str, str], np.ndarray]:
    """Maps that are right to a degree that differs from image to image."""
    made = {}
    for group, images in groups.groups.items():
        for i, image in enumerate(images):
            grey = np.where(groups.read_mask(group, image), 200, 40).astype(np.uint8)
            grey[: 8 * i + 4] = 150
            made[group, image] = grey
            save_image(grey, folder / group / f"{image}.png")
    return made


@pytest.mark.parametrize("mode", GROUP_MODES)
def test_a_folder_of_maps_scores_as_the_metric_does(groups: GroupSet, tmp_path: Path, mode: str) -> None:
    made = predict_groups(groups, tmp_path / "maps")
    results = score_groups(tmp_path / "maps", groups, mode)
    metric = CoSegmentation() if mode == "co-segmentation" else Saliency(mode)
    for (group, image), grey in made.items():
        own = (group,) if isinstance(metric, CoSegmentation) else ()
        metric.update(grey, groups.read_mask(group, image), *own)
    assert results.protocol == mode
    assert results.parts[0].scores == metric.compute()
    assert results.parts[0].presence.listed == 6


@pytest.mark.parametrize("mode", GROUP_MODES)
@pytest.mark.parametrize("brightest", [1.0, 0.2])
def test_a_16_bit_map_scores_as_the_same_8_bit_map(
    groups: GroupSet, tmp_path: Path, mode: str, brightest: float
) -> None:
    for (group, image), grey in predict_groups(groups, tmp_path / "source").items():
        shallow = np.rint(grey * brightest).astype(np.uint8)
        save_image(shallow, tmp_path / "shallow" / group / f"{image}.png")
        save_image(shallow.astype(np.uint16) * 257, tmp_path / "deep" / group / f"{image}.png")
    deep, shallow = (score_groups(tmp_path / folder, groups, mode).parts[0].scores for folder in ("deep", "shallow"))
    assert deep == shallow


def test_a_rotated_16_bit_map_is_scored_upright(groups: GroupSet, tmp_path: Path) -> None:
    for (group, image), grey in predict_groups(groups, tmp_path / "upright").items():
        path = tmp_path / "turned" / group / f"{image}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        tag = Image.Exif()
        tag[ExifTags.Base.Orientation] = 3
        Image.fromarray(grey[::-1, ::-1].astype(np.uint16) * 257).save(path, exif=tag)
    turned, upright = (score_groups(tmp_path / folder, groups).parts[0].scores for folder in ("turned", "upright"))
    assert turned == upright


def test_missing_maps_are_named(groups: GroupSet, tmp_path: Path) -> None:
    predict_groups(groups, tmp_path / "maps")
    (tmp_path / "maps/tie/1.png").unlink()
    with pytest.raises(PredictionError, match=r"1 of 6 .*tie/1\.png"):
        score_groups(tmp_path / "maps", groups)
    with pytest.raises(PredictionError, match=r"6 of 6 .*owl/0\.png, owl/1\.png, .*tie/1\.png and 1 more"):
        score_groups(tmp_path / "elsewhere", groups)


@pytest.mark.parametrize("ending", [".probability.png", ".mask.png"])
def test_maps_are_found_under_the_names_that_the_commands_write(groups: GroupSet, tmp_path: Path, ending: str) -> None:
    predict_groups(groups, tmp_path / "plain")
    predict_groups(groups, tmp_path / "made")
    for path in tmp_path.glob("made/*/*.png"):
        path.rename(path.with_name(f"{path.stem}{ending}"))
    made, plain = (score_groups(tmp_path / folder, groups).parts[0].scores for folder in ("made", "plain"))
    assert made == plain


def test_two_maps_of_one_image_are_both_named(groups: GroupSet, tmp_path: Path) -> None:
    made = predict_groups(groups, tmp_path / "maps")
    save_image(made["tie", "1"], tmp_path / "maps/tie/1.mask.png")
    with pytest.raises(PredictionError, match=r"tie/1\.png and tie/1\.mask\.png"):
        score_groups(tmp_path / "maps", groups)


def test_a_map_of_another_size_is_named(groups: GroupSet, tmp_path: Path) -> None:
    predict_groups(groups, tmp_path / "maps")
    save_image(np.zeros((30, 40), np.uint8), tmp_path / "maps/owl/2.png")
    with pytest.raises(PredictionError, match=r"owl/2\.png.*40x30 .*80x60"):
        score_groups(tmp_path / "maps", groups)


def test_an_unreadable_map_is_named(groups: GroupSet, tmp_path: Path) -> None:
    predict_groups(groups, tmp_path / "maps")
    (tmp_path / "maps/owl/2.png").write_text("nothing")
    with pytest.raises(PredictionError, match=r"owl/2\.png"):
        score_groups(tmp_path / "maps", groups)


def test_an_unknown_mode_raises_with_a_close_match(groups: GroupSet, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"icnet-224\?"):
        score_groups(tmp_path, groups, "icnet224")


@pytest.fixture
def scenes(tmp_path: Path) -> SceneSet:
    for i in range(3):
        fakes.write_image(tmp_path / "photos" / f"{i}.jpg", fakes.noise(i))
        fakes.write_image(tmp_path / "labels" / f"{i}.png", fakes.block(1, i))
    return folder_scenes(tmp_path / "photos", tmp_path / "labels", ["ground", "block", "never"])


def predict_scenes(scenes: SceneSet, folder: Path) -> None:
    for scene in scenes.scenes:
        labels = scenes.read_labels(scene.labels)
        save_image(np.where(labels == 255, 0, labels).astype(np.uint8), folder / f"{scene.image.stem}.png")


def test_a_folder_of_labels_is_scored_and_its_inference_recorded(scenes: SceneSet, tmp_path: Path) -> None:
    predict_scenes(scenes, tmp_path / "found")
    half = np.zeros((60, 80), np.uint8)
    save_image(half, tmp_path / "found/0.png")
    results = score_scenes(tmp_path / "found", scenes, "multi-scale and mirror")
    ignored = 47 * 52 - 45 * 50
    block, ground = 45 * 50, 60 * 80 - 47 * 52
    assert results.protocol == "scenes"
    scores = results.parts[0].scores
    assert scores.per_class["block"] == pytest.approx(2 / 3)
    assert scores.per_class["ground"] == pytest.approx(3 * ground / (3 * ground + block))
    assert np.isnan(scores.per_class["never"])
    assert scores.values["pixel accuracy"] == pytest.approx((3 * ground + 2 * block) / (3 * (60 * 80 - ignored)))
    assert results.settings["inference"] == "multi-scale and mirror"


def test_missing_labels_and_labels_beyond_the_classes_are_named(scenes: SceneSet, tmp_path: Path) -> None:
    predict_scenes(scenes, tmp_path / "found")
    save_image(np.full((60, 80), 3, np.uint8), tmp_path / "found/1.png")
    with pytest.raises(PredictionError, match=r"1\.png.*label 3; .*0 to 2"):
        score_scenes(tmp_path / "found", scenes)
    (tmp_path / "found/1.png").unlink()
    with pytest.raises(PredictionError, match=r"1 of 3 .*photos.*1\.png"):
        score_scenes(tmp_path / "found", scenes)


def test_labels_of_another_size_are_named(scenes: SceneSet, tmp_path: Path) -> None:
    predict_scenes(scenes, tmp_path / "found")
    Image.new("L", (80, 61)).save(tmp_path / "found/2.png")
    with pytest.raises(PredictionError, match=r"2\.png.*80x61"):
        score_scenes(tmp_path / "found", scenes)


def test_the_test_images_of_camvid_score_one_against_themselves(shared_data: Path, tmp_path: Path) -> None:
    from likewise.data.benchmarks import open_scenes

    whole = open_scenes(shared_data, "camvid")
    camvid = type(whole)(whole.name, whole.classes, whole.scenes[:5], whole.presence, whole.read_labels)
    predict_scenes(camvid, tmp_path)
    assert score_scenes(tmp_path, camvid).parts[0].scores.values["mIoU"] == 1


def test_an_image_without_a_map_gets_the_plain_name(tmp_path: Path) -> None:
    assert map_name(tmp_path, "owl/1") == "owl/1.png"


@pytest.mark.parametrize("ending", [".png", ".probability.png", ".mask.png"])
def test_a_map_is_found_by_its_ending(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"1{ending}").touch()
    assert map_name(tmp_path, "1") == f"1{ending}"


def test_the_first_five_missing_files_are_listed(tmp_path: Path) -> None:
    (tmp_path / "0.png").touch()
    with pytest.raises(PredictionError, match=r"7 of 8 .*1\.png, 2\.png, 3\.png, 4\.png, 5\.png and 2 more"):
        require_files(tmp_path, [f"{i}.png" for i in range(8)], "set")


def test_a_prediction_has_the_size_and_the_labels_of_its_target(tmp_path: Path) -> None:
    save_image(np.full((3, 4), 2, np.uint8), tmp_path / "a.png")
    assert (read_prediction(tmp_path / "a.png", (3, 4), read_labels, labels=3) == 2).all()
    with pytest.raises(PredictionError, match=r"4x3 .*3x4"):
        read_prediction(tmp_path / "a.png", (4, 3), read_labels)
    with pytest.raises(PredictionError, match="label 2"):
        read_prediction(tmp_path / "a.png", (3, 4), read_labels, labels=2)


def test_a_dark_16_bit_map_keeps_its_scale(tmp_path: Path) -> None:
    save_image(np.array([[0, 257, 2570]], np.uint16), tmp_path / "a.png")
    assert read_grey_map(tmp_path / "a.png").tolist() == [[0, 1, 10]]
