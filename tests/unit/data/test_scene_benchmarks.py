import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from likewise.data.scene_benchmarks import (
    ade20k_scenes,
    camvid_scenes,
    cityscapes_scenes,
    cocostuff10k_scenes,
    lip_scenes,
    voc_scenes,
)
from likewise.errors import DataSetError, ImageError
from support import fakes
from support.scene_files import first_row, write_pair


def test_voc_reads_the_split_of_its_lists_and_counts_missing_images(tmp_path: Path) -> None:
    fakes.make_voc(tmp_path)
    (tmp_path / "VOC2012/JPEGImages/2007_001002.jpg").unlink()
    scenes = voc_scenes(tmp_path)
    assert str(scenes.presence) == "39 of 40 entries of VOC 2012 val are present"
    assert scenes.presence.missing == ("2007_001002",)
    assert (len(scenes.classes), *scenes.classes[:2], scenes.classes[20]) == (
        21,
        "background",
        "aeroplane",
        "tvmonitor",
    )
    labels = scenes.read_labels(scenes.scenes[0].labels)
    np.testing.assert_array_equal(labels, fakes.block(1, 3))
    assert voc_scenes(tmp_path, "all").presence.listed == 80
    with pytest.raises(DataSetError, match=r"val\?"):
        voc_scenes(tmp_path, "vla")


def test_voc_without_sbd_reads_its_own_masks(tmp_path: Path) -> None:
    write_pair(tmp_path / "JPEGImages/a.jpg", tmp_path / "SegmentationClass/a.png", 0, 20, 255)
    assert first_row(voc_scenes(tmp_path, "all"), 0, 3) == [0, 20, 255]
    (tmp_path / "SegmentationClass/a.png").unlink()
    (tmp_path / "SegmentationClass").rmdir()
    with pytest.raises(DataSetError, match="SegmentationClass"):
        voc_scenes(tmp_path, "all")


def test_ade20k_shifts_labels_down_and_ignores_zero(tmp_path: Path) -> None:
    home = tmp_path / "ADEChallengeData2016"
    for part, name in ("training", "ADE_train_00000001"), ("validation", "ADE_val_00000001"):
        write_pair(home / "images" / part / f"{name}.jpg", home / "annotations" / part / f"{name}.png", 0, 1, 3, 2)
    (home / "objectInfo150.txt").write_text(
        "Idx\tRatio\tTrain\tVal\tName\n1\t0.1576\t11664\t1172\twall\n2\t0.1072\t6046\t612\tbuilding, edifice\n"
        "3\t0.0198\t4688\t460\twindowpane, window \n"
    )
    for split in "train", "val":
        scenes = ade20k_scenes(tmp_path, split)
        assert scenes.classes == ("wall", "building", "windowpane")
        assert first_row(scenes, 0, 4) == [255, 0, 2, 1]


def test_cityscapes_turns_label_ids_into_train_ids(tmp_path: Path) -> None:
    name = "aachen/aachen_000000_000019"
    write_pair(
        tmp_path / "leftImg8bit/val" / f"{name}_leftImg8bit.png",
        tmp_path / "gtFine/val" / f"{name}_gtFine_labelIds.png",
        *(7, 8, 33, 0, 3, 29, 24),
    )
    (tmp_path / "gtFine/val/aachen/aachen_000000_000020_gtFine_labelIds.png").touch()
    scenes = cityscapes_scenes(tmp_path)
    assert first_row(scenes, 0, 7) == [0, 1, 18, 255, 255, 255, 11]
    assert scenes.classes[11] == "person"
    assert str(scenes.presence) == "1 of 2 entries of Cityscapes val are present"


@pytest.mark.parametrize("all_names", [True, False])
def test_cocostuff_reads_matrices_and_drops_the_unused_labels(tmp_path: Path, all_names: bool) -> None:
    unused = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
    names = ["unlabeled", *(f"n{i}" for i in range(1, 183) if all_names or i not in unused)]
    plane = np.array([[0, 1, 11, 12, 13, 182]], np.uint8)
    (tmp_path / "annotations").mkdir()
    savemat(tmp_path / "annotations/a.mat", {"S": plane, "names": np.array(names, object)[:, None]})
    fakes.write_image(tmp_path / "images/a.jpg", fakes.noise(0, 1, 6))
    (tmp_path / "imageLists").mkdir()
    (tmp_path / "imageLists/test.txt").write_text("a\nb\n")
    scenes = cocostuff10k_scenes(tmp_path)
    assert scenes.read_labels(scenes.scenes[0].labels).tolist() == [[255, 0, 10, 255, 11, 170]]
    assert (len(scenes.classes), scenes.classes[10], scenes.classes[11], scenes.classes[170]) == (
        171,
        "n11",
        "n13",
        "n182",
    )
    assert scenes.presence.missing == ("b",)


def test_a_broken_matrix_of_cocostuff_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "imageLists").mkdir()
    (tmp_path / "imageLists/test.txt").write_text("a\n")
    fakes.write_image(tmp_path / "images/a.jpg", fakes.noise(0, 1, 6))
    (tmp_path / "annotations/a.mat").write_bytes(b"nothing of the kind")
    with pytest.raises(ImageError, match=r"a\.mat"):
        cocostuff10k_scenes(tmp_path)
    savemat(tmp_path / "annotations/a.mat", {"names": np.array(["unlabeled", "x"], object)})
    with pytest.raises(DataSetError, match=r"1 classes.* 182"):
        cocostuff10k_scenes(tmp_path)


@pytest.mark.parametrize("archives", [True, False])
def test_lip_is_read_from_the_root_or_from_its_archives(tmp_path: Path, archives: bool) -> None:
    images = tmp_path / "TrainVal_images" if archives else tmp_path
    labels = tmp_path / "TrainVal_parsing_annotations" if archives else tmp_path
    write_pair(images / "val_images/77_1.jpg", labels / "val_segmentations/77_1.png", 0, 19, 14)
    scenes = lip_scenes(tmp_path)
    assert first_row(scenes, 0, 3) == [0, 19, 14]
    assert [tuple(scenes.classes[i] for i in pair) for pair in scenes.mirrored] == [
        ("left-arm", "right-arm"),
        ("left-leg", "right-leg"),
        ("left-shoe", "right-shoe"),
    ]
    assert scenes.mirrored == ((14, 15), (16, 17), (18, 19))


def test_camvid_ignores_void(tmp_path: Path) -> None:
    write_pair(tmp_path / "CamVid/test/a.png", tmp_path / "CamVid/testannot/a.png", 0, 10, 11)
    assert first_row(camvid_scenes(tmp_path), 0, 3) == [0, 10, 255]


def test_the_real_camvid_is_complete(shared_data: Path) -> None:
    for split, count in ("train", 367), ("val", 101), ("test", 233):
        scenes = camvid_scenes(shared_data, split)
        assert (len(scenes.scenes), scenes.presence.missing) == (count, ())
        labels = scenes.read_labels(scenes.scenes[0].labels)
        assert set(np.unique(labels)) <= {*range(11), 255}


@pytest.mark.parametrize(
    "loader", [voc_scenes, ade20k_scenes, cityscapes_scenes, cocostuff10k_scenes, lip_scenes, camvid_scenes]
)
def test_an_empty_root_is_named(tmp_path: Path, loader) -> None:
    with pytest.raises(DataSetError, match=str(tmp_path)):
        loader(tmp_path)


@pytest.mark.parametrize("loader", [ade20k_scenes, cityscapes_scenes, cocostuff10k_scenes, lip_scenes, camvid_scenes])
def test_an_unknown_split_raises_with_a_close_match(tmp_path: Path, loader) -> None:
    with pytest.raises(DataSetError, match=r"train\?"):
        loader(tmp_path, "trian")


def test_a_set_without_any_image_raises(tmp_path: Path) -> None:
    write_pair(tmp_path / "test/a.jpg", tmp_path / "testannot/a.png", 0)
    (tmp_path / "test/a.jpg").unlink()
    with pytest.raises(DataSetError, match="1 images of CamVid test"):
        camvid_scenes(tmp_path)


def test_a_scene_set_can_be_pickled(tmp_path: Path) -> None:
    write_pair(tmp_path / "test/a.jpg", tmp_path / "testannot/a.png", 0, 11)
    again = pickle.loads(pickle.dumps(camvid_scenes(tmp_path)))
    assert first_row(again, 0, 2) == [0, 255]
