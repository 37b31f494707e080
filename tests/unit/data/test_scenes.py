import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from likewise.data.class_names import LIP, LIP_MIRRORED, PASCAL, mirrored_pairs
from likewise.data.scenes import (
    SceneSet,
    ade20k_scenes,
    camvid_scenes,
    cityscapes_scenes,
    cocostuff10k_scenes,
    folder_scenes,
    lip_scenes,
    voc_scenes,
)
from likewise.errors import DataSetError, ImageError
from likewise.io.labels import IGNORE
from support import fakes


def write_pair(image: Path, labels: Path, *values: int) -> None:
    """An image and a label map whose first row begins with `values`, else filled with the last."""
    fakes.write_image(image, fakes.noise(0, 6, 8))
    plane = np.full((6, 8), values[-1], np.uint8)
    plane[0, : len(values)] = values
    fakes.write_image(labels, plane)


def first_row(scenes: SceneSet, index: int, count: int) -> list[int]:
    return scenes.read_labels(scenes.scenes[index].labels)[0, :count].tolist()


def test_voc_takes_the_split_of_its_lists_and_counts_missing_images(tmp_path: Path) -> None:
    fakes.make_voc(tmp_path)
    (tmp_path / "VOC2012/JPEGImages/2007_001002.jpg").unlink()
    scenes = voc_scenes(tmp_path)
    assert str(scenes.presence) == "39 of 40 entries of VOC 2012 val are present"
    assert scenes.presence.missing == ("2007_001002",)
    assert scenes.classes == ("background", *PASCAL)
    labels = scenes.read_labels(scenes.scenes[0].labels)
    np.testing.assert_array_equal(labels, fakes.block(1, 3))
    assert voc_scenes(tmp_path, "all").presence.listed == 80
    with pytest.raises(DataSetError, match="did you mean val"):
        voc_scenes(tmp_path, "vla")


def test_voc_without_sbd_reads_its_own_masks(tmp_path: Path) -> None:
    write_pair(tmp_path / "JPEGImages/a.jpg", tmp_path / "SegmentationClass/a.png", 0, 20, 255)
    assert first_row(voc_scenes(tmp_path, "all"), 0, 3) == [0, 20, IGNORE]
    (tmp_path / "SegmentationClass/a.png").unlink()
    (tmp_path / "SegmentationClass").rmdir()
    with pytest.raises(DataSetError, match="neither SegmentationClassAug nor SegmentationClass"):
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
        assert first_row(scenes, 0, 4) == [IGNORE, 0, 2, 1]


def test_cityscapes_turns_label_ids_into_train_ids(tmp_path: Path) -> None:
    name = "aachen/aachen_000000_000019"
    write_pair(
        tmp_path / "leftImg8bit/val" / f"{name}_leftImg8bit.png",
        tmp_path / "gtFine/val" / f"{name}_gtFine_labelIds.png",
        *(7, 8, 33, 0, 3, 29, 24),
    )
    (tmp_path / "gtFine/val/aachen/aachen_000000_000020_gtFine_labelIds.png").touch()
    scenes = cityscapes_scenes(tmp_path)
    assert first_row(scenes, 0, 7) == [0, 1, 18, IGNORE, IGNORE, IGNORE, 11]
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
    assert scenes.read_labels(scenes.scenes[0].labels).tolist() == [[IGNORE, 0, 10, IGNORE, 11, 170]]
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
    with pytest.raises(ImageError, match=r"a\.mat is no label file of COCO-Stuff 10k with the variable names"):
        cocostuff10k_scenes(tmp_path)
    savemat(tmp_path / "annotations/a.mat", {"names": np.array(["unlabeled", "x"], object)})
    with pytest.raises(DataSetError, match="names 1 classes, COCO-Stuff has 182"):
        cocostuff10k_scenes(tmp_path)


@pytest.mark.parametrize("archives", [True, False])
def test_lip_stands_in_the_root_or_in_its_archives(tmp_path: Path, archives: bool) -> None:
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
    assert scenes.mirrored == LIP_MIRRORED


def test_camvid_ignores_void(tmp_path: Path) -> None:
    write_pair(tmp_path / "CamVid/test/a.png", tmp_path / "CamVid/testannot/a.png", 0, 10, 11)
    assert first_row(camvid_scenes(tmp_path), 0, 3) == [0, 10, IGNORE]


def test_the_real_camvid_is_complete(shared_data: Path) -> None:
    for split, count in ("train", 367), ("val", 101), ("test", 233):
        scenes = camvid_scenes(shared_data, split)
        assert (len(scenes.scenes), scenes.presence.missing) == (count, ())
        labels = scenes.read_labels(scenes.scenes[0].labels)
        assert set(np.unique(labels)) <= {*range(11), IGNORE}


def test_a_folder_without_a_table_makes_a_class_of_every_label(shared_data: Path) -> None:
    scenes = folder_scenes(shared_data / "CCP/photos", shared_data / "CCP/labels")
    assert str(scenes.presence) == "755 of 755 entries of photos are present"
    assert "0" in scenes.classes


def test_a_class_table_names_labels_and_the_others_are_ignored(tmp_path: Path) -> None:
    write_pair(tmp_path / "in/a.jpg", tmp_path / "out/a.png", 0, 3, 7, 255)
    write_pair(tmp_path / "in/b.jpg", tmp_path / "out/b.png", 3)
    (tmp_path / "out/b.png").unlink()
    (tmp_path / "classes.txt").write_text("3 left hand\n7\tnose\n")
    scenes = folder_scenes(tmp_path / "in", tmp_path / "out", tmp_path / "classes.txt")
    assert scenes.classes == ("left hand", "nose")
    assert first_row(scenes, 0, 4) == [IGNORE, 0, 1, IGNORE]
    assert scenes.presence.missing == ("b",)
    (tmp_path / "classes.txt").write_text("grass\nsky\n")
    assert folder_scenes(tmp_path / "in", tmp_path / "out", tmp_path / "classes.txt").classes == ("grass", "sky")
    named = folder_scenes(tmp_path / "in", tmp_path / "out", ["none", "x", "y", "z"])
    assert first_row(named, 0, 4) == [0, 3, IGNORE, IGNORE]
    assert folder_scenes(tmp_path / "in", tmp_path / "out").classes == ("0", "3", "7")


def test_images_and_labels_may_share_a_folder(tmp_path: Path) -> None:
    write_pair(tmp_path / "a.jpg", tmp_path / "a.png", 0, 1)
    assert len(folder_scenes(tmp_path, tmp_path).scenes) == 1


def test_a_broken_class_table_names_its_line(tmp_path: Path) -> None:
    write_pair(tmp_path / "a.jpg", tmp_path / "a.png", 0, 1)
    for line in ("255 void", "1", "0 twice"):
        (tmp_path / "classes.txt").write_text(f"0 grass\n{line}\n")
        with pytest.raises(DataSetError, match=f"classes.txt: '{line}' is not <label 0-254, once> <name>"):
            folder_scenes(tmp_path, tmp_path, tmp_path / "classes.txt")


@pytest.mark.parametrize(
    "loader", [voc_scenes, ade20k_scenes, cityscapes_scenes, cocostuff10k_scenes, lip_scenes, camvid_scenes]
)
def test_an_empty_root_says_what_was_looked_for(tmp_path: Path, loader) -> None:
    with pytest.raises(DataSetError, match=rf"{tmp_path} does not hold .*: looked for .* in {tmp_path}"):
        loader(tmp_path)


@pytest.mark.parametrize("loader", [ade20k_scenes, cityscapes_scenes, cocostuff10k_scenes, lip_scenes, camvid_scenes])
def test_an_unknown_split_names_the_nearest(tmp_path: Path, loader) -> None:
    with pytest.raises(DataSetError, match="did you mean train"):
        loader(tmp_path, "trian")


def test_a_set_with_no_image_says_so(tmp_path: Path) -> None:
    write_pair(tmp_path / "test/a.jpg", tmp_path / "testannot/a.png", 0)
    (tmp_path / "test/a.jpg").unlink()
    with pytest.raises(DataSetError, match="none of the 1 images of CamVid test is present, for example"):
        camvid_scenes(tmp_path)


def test_scenes_travel_to_a_worker_process(tmp_path: Path) -> None:
    write_pair(tmp_path / "test/a.jpg", tmp_path / "testannot/a.png", 0, 11)
    again = pickle.loads(pickle.dumps(camvid_scenes(tmp_path)))
    assert first_row(again, 0, 2) == [0, IGNORE]


def test_left_and_right_of_a_folders_classes_are_mirrored_by_their_names(tmp_path: Path) -> None:
    assert mirrored_pairs(LIP) == LIP_MIRRORED
    assert mirrored_pairs(("Right Shoe", "bright", "leftover", "left shoe", "left hand")) == ((3, 0),)
    fakes.write_image(tmp_path / "a.jpg", fakes.noise(0))
    fakes.write_image(tmp_path / "a.png", fakes.block(1, 0))
    assert folder_scenes(tmp_path, tmp_path, ["left eye", "right eye"]).mirrored == ((0, 1),)


def test_a_strict_folder_names_file_value_and_count_of_a_label_that_is_no_class(tmp_path: Path) -> None:
    fakes.write_image(tmp_path / "a.jpg", fakes.noise(0))
    fakes.write_image(tmp_path / "a.png", fakes.block(9, 0))
    scenes = folder_scenes(tmp_path, tmp_path, ["ground", "block"], strict=True)
    told = r"a\.png: holds labels that are no class: 9 \(2250 pixels\); there are 2 classes, labels 0 to 1, and 255"
    with pytest.raises(ImageError, match=told):
        scenes.read_labels(scenes.scenes[0].labels)
    (tmp_path / "classes.txt").write_text("0 ground\n9 block\n")
    named = folder_scenes(tmp_path, tmp_path, tmp_path / "classes.txt", strict=True)
    assert set(np.unique(named.read_labels(named.scenes[0].labels))) == {0, 1, 255}
    loose = folder_scenes(tmp_path, tmp_path, ["ground", "block"])
    assert set(np.unique(loose.read_labels(loose.scenes[0].labels))) == {0, 255}


def test_a_strict_folder_without_names_takes_every_label_of_every_file(tmp_path: Path) -> None:
    for index in range(102):
        write_pair(tmp_path / f"{index}.jpg", tmp_path / f"{index}.png", 0, 255, 9 if index == 101 else 2)
    assert folder_scenes(tmp_path, tmp_path).classes == ("0", "2")
    assert folder_scenes(tmp_path, tmp_path, strict=True).classes == ("0", "2", "9")
