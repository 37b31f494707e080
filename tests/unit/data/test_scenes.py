from pathlib import Path

import numpy as np
import pytest

from likewise.data.class_names import LIP, mirrored_pairs
from likewise.data.scenes import folder_scenes
from likewise.errors import DataSetError, ImageError
from support import fakes
from support.scene_files import first_row, write_pair


def test_without_a_table_every_label_is_a_class(shared_data: Path) -> None:
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
    assert first_row(scenes, 0, 4) == [255, 0, 1, 255]
    assert scenes.presence.missing == ("b",)
    (tmp_path / "classes.txt").write_text("grass\nsky\n")
    assert folder_scenes(tmp_path / "in", tmp_path / "out", tmp_path / "classes.txt").classes == ("grass", "sky")
    named = folder_scenes(tmp_path / "in", tmp_path / "out", ["none", "x", "y", "z"])
    assert first_row(named, 0, 4) == [0, 3, 255, 255]
    assert folder_scenes(tmp_path / "in", tmp_path / "out").classes == ("0", "3", "7")


def test_images_and_labels_may_share_a_folder(tmp_path: Path) -> None:
    write_pair(tmp_path / "a.jpg", tmp_path / "a.png", 0, 1)
    assert len(folder_scenes(tmp_path, tmp_path).scenes) == 1


def test_a_broken_class_table_names_its_line(tmp_path: Path) -> None:
    write_pair(tmp_path / "a.jpg", tmp_path / "a.png", 0, 1)
    for line in ("255 void", "1", "0 twice"):
        (tmp_path / "classes.txt").write_text(f"0 grass\n{line}\n")
        with pytest.raises(DataSetError, match=rf"classes\.txt.*'{line}'"):
            folder_scenes(tmp_path, tmp_path, tmp_path / "classes.txt")


def test_left_and_right_classes_are_mirrored_by_name(tmp_path: Path) -> None:
    assert mirrored_pairs(LIP) == ((14, 15), (16, 17), (18, 19))
    assert mirrored_pairs(("Right Shoe", "bright", "leftover", "left shoe", "left hand")) == ((3, 0),)
    fakes.write_image(tmp_path / "a.jpg", fakes.noise(0))
    fakes.write_image(tmp_path / "a.png", fakes.block(1, 0))
    assert folder_scenes(tmp_path, tmp_path, ["left eye", "right eye"]).mirrored == ((0, 1),)


def test_a_strict_folder_raises_with_file_value_and_count_of_an_unnamed_label(tmp_path: Path) -> None:
    fakes.write_image(tmp_path / "a.jpg", fakes.noise(0))
    fakes.write_image(tmp_path / "a.png", fakes.block(9, 0))
    scenes = folder_scenes(tmp_path, tmp_path, ["ground", "block"], strict=True)
    with pytest.raises(ImageError, match=r"a\.png.* 9 \(2250 pixels\).* 0 to 1"):
        scenes.read_labels(scenes.scenes[0].labels)
    (tmp_path / "classes.txt").write_text("0 ground\n9 block\n")
    named = folder_scenes(tmp_path, tmp_path, tmp_path / "classes.txt", strict=True)
    assert set(np.unique(named.read_labels(named.scenes[0].labels))) == {0, 1, 255}
    loose = folder_scenes(tmp_path, tmp_path, ["ground", "block"])
    assert set(np.unique(loose.read_labels(loose.scenes[0].labels))) == {0, 255}


def test_a_strict_folder_without_names_lists_the_labels_of_every_file(tmp_path: Path) -> None:
    for index in range(102):
        write_pair(tmp_path / f"{index}.jpg", tmp_path / f"{index}.png", 0, 255, 9 if index == 101 else 2)
    assert folder_scenes(tmp_path, tmp_path).classes == ("0", "2")
    assert folder_scenes(tmp_path, tmp_path, strict=True).classes == ("0", "2", "9")


def test_labels_may_be_tiff_and_images_any_format(tmp_path: Path) -> None:
    write_pair(tmp_path / "in/a.webp", tmp_path / "out/a.tif", 0, 1)
    write_pair(tmp_path / "in/b.tiff", tmp_path / "out/b.TIFF", 1)
    scenes = folder_scenes(tmp_path / "in", tmp_path / "out")
    assert [scene.image.name for scene in scenes.scenes] == ["a.webp", "b.tiff"]
    assert first_row(scenes, 0, 2) == [0, 1]


def test_in_a_shared_folder_the_png_of_a_stem_is_the_label_map(tmp_path: Path) -> None:
    write_pair(tmp_path / "a.tif", tmp_path / "a.png", 0, 1)
    write_pair(tmp_path / "b.jpg", tmp_path / "b.tif", 0, 1)
    scenes = folder_scenes(tmp_path, tmp_path)
    assert [(scene.image.name, scene.labels.name) for scene in scenes.scenes] == [
        ("a.tif", "a.png"),
        ("b.jpg", "b.tif"),
    ]


def test_label_maps_with_a_usual_ending_belong_to_their_image(tmp_path: Path) -> None:
    write_pair(tmp_path / "in/a.jpg", tmp_path / "out/A_mask.png", 0, 1)
    write_pair(tmp_path / "in/b.jpg", tmp_path / "out/b_label.tif", 1)
    write_pair(tmp_path / "in/c_mask.jpg", tmp_path / "out/c_mask.png", 1)
    scenes = folder_scenes(tmp_path / "in", tmp_path / "out")
    assert [scene.labels.name for scene in scenes.scenes] == ["A_mask.png", "b_label.tif", "c_mask.png"]
