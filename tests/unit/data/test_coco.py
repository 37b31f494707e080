import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as run_lengths

from likewise.data.class_names import COCO
from likewise.data.coco import coco20i
from likewise.data.episodes import Entry
from likewise.errors import DataSetError
from support import fakes

NAMES = [f"COCO_val2014_{i:012d}" for i in range(8)]


def make_coco(root: Path, masks: bool) -> Path:
    """Image i shows class 10 i + 1 (from 1) as a block of 2250 pixels; the last one is too small for an entry."""
    ids = [i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
    tables: dict[str, list] = {"images": [], "annotations": [], "categories": [{"id": i} for i in reversed(ids)]}
    for i, name in enumerate(NAMES):
        for part in ("train", "val"):
            fakes.write_image(root / f"{part}2014" / f"{name.replace('val', part)}.jpg", fakes.noise(i))
            if masks:
                labels = fakes.block(10 * i + 1, i, border=0)
                labels[:20] *= i < 7
                fakes.write_image(root / "annotations" / f"{part}2014" / f"{name.replace('val', part)}.png", labels)
        top, left, height = 2 + i % 10, 2 + i % 25, 45 if i < 7 else 20
        tables["images"].append({"id": i, "file_name": f"{name}.jpg", "height": 60, "width": 80})
        box = [left, top, left + 50, top, left + 50, top + height, left, top + height]
        one = {"image_id": i, "category_id": ids[10 * i], "iscrowd": 0, "area": 50 * height, "segmentation": [box]}
        tables["annotations"].append(one)
    if not masks:
        crowd = {"size": [60, 80], "counts": [0, 60, 60 * 79]}
        tables["annotations"].append({"image_id": 0, "category_id": 1, "iscrowd": 1, "area": 60, "segmentation": crowd})
        path = root / "annotations/instances_val2014.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(tables))
    return root


@pytest.fixture(scope="module", params=[True, False], ids=["mask PNGs", "instance JSON"])
def coco(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_coco(tmp_path_factory.mktemp("coco"), request.param)


def test_folds_are_interleaved_or_contiguous(coco: Path) -> None:
    # class indices 0, 10, 20, ... are present, 70 is too small
    interleaved = {fold: {e.class_name for e in coco20i(coco, fold).entries} for fold in (0, 2)}
    assert interleaved == {0: {COCO[0], COCO[20], COCO[40], COCO[60]}, 2: {COCO[10], COCO[30], COCO[50]}}
    contiguous = [{e.class_name for e in coco20i(coco, fold, folds="contiguous").entries} for fold in range(4)]
    assert contiguous == [{COCO[0], COCO[10]}, {COCO[20], COCO[30]}, {COCO[40], COCO[50]}, {COCO[60]}]
    classes = coco20i(coco, 1, folds="contiguous").classes
    assert (len(classes), classes[0], classes[-1]) == (20, "elephant", "bottle")


def test_a_mask_is_the_area_of_its_class(coco: Path) -> None:
    dataset = coco20i(coco, 2)
    assert dataset.entries[0] == Entry(NAMES[1], COCO[10])
    mask = dataset.read_labels(NAMES[1], [COCO[10]])
    np.testing.assert_array_equal(mask, fakes.block(1, 1, border=0))
    assert not dataset.read_labels(NAMES[1], [COCO[30]]).any()


def test_crowd_regions_are_ignored_for_their_class_only(tmp_path: Path) -> None:
    dataset = coco20i(make_coco(tmp_path, masks=False), 0)
    mask = dataset.read_labels(NAMES[0], [COCO[0]])
    assert (mask[:, 0] == 255).all()
    assert (mask == 1).sum() == 2250
    assert not dataset.read_labels(NAMES[0], [COCO[20]]).any()


def test_the_training_split_holds_the_base_classes_in_the_training_images(tmp_path: Path) -> None:
    dataset = coco20i(make_coco(tmp_path, masks=True), 0, "trn")
    assert len(dataset.classes) == 60
    assert {e.class_name for e in dataset.entries} == {COCO[10], COCO[30], COCO[50]}
    assert all("train2014" in e.image for e in dataset.entries)


def test_missing_images_are_counted(tmp_path: Path) -> None:
    make_coco(tmp_path, masks=False)
    (tmp_path / "val2014" / f"{NAMES[2]}.jpg").unlink()
    assert str(coco20i(tmp_path, 0).presence) == "3 of 4 entries of COCO-20i fold 0 val are present"


def test_missing_or_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"val2014 .*annotations"):
        coco20i(tmp_path, 0)
    (tmp_path / "val2014").mkdir()
    (tmp_path / "annotations").mkdir()
    with pytest.raises(DataSetError, match=r"annotations/val2014 .*instances_val2014\.json"):
        coco20i(tmp_path, 0)
    (tmp_path / "annotations/instances_val2014.json").write_text("{")
    with pytest.raises(DataSetError, match=r"instances_val2014\.json"):
        coco20i(tmp_path, 0)
    (tmp_path / "annotations/instances_val2014.json").write_text('{"categories": [{"id": 1}]}')
    with pytest.raises(DataSetError, match=r"1 categories.* 80"):
        coco20i(tmp_path, 0)
    with pytest.raises(DataSetError, match=r"interleaved\?"):
        coco20i(tmp_path, 0, folds="interleave")


def test_compressed_run_lengths_are_read(tmp_path: Path) -> None:
    make_coco(tmp_path, masks=False)
    path = tmp_path / "annotations/instances_val2014.json"
    tables = json.loads(path.read_text())
    encoded = run_lengths.encode(np.asfortranarray(fakes.block(1, 2, border=0)))
    tables["annotations"][2]["segmentation"] = {"size": [60, 80], "counts": encoded["counts"].decode()}
    path.write_text(json.dumps(tables))
    mask = coco20i(tmp_path, 0).read_labels(NAMES[2], [COCO[20]])
    np.testing.assert_array_equal(mask, fakes.block(1, 2, border=0))


def test_leaking_training_images_can_be_dropped(tmp_path: Path) -> None:
    make_coco(tmp_path, masks=True)
    labels = np.zeros((60, 80), np.uint8)
    labels[:, :40], labels[:, 40:] = 1, 11
    image = NAMES[1].replace("val", "train")
    fakes.write_image(tmp_path / "annotations/train2014" / f"{image}.png", labels)
    assert image in coco20i(tmp_path, 0, "trn").classes_of
    assert image not in coco20i(tmp_path, 0, "trn", drop_leaking=True).classes_of
    assert image in coco20i(tmp_path, 1, "trn", drop_leaking=True).classes_of
