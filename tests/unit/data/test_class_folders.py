from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from likewise.data.class_folders import class_folders, davis_sequences, fss1000
from likewise.data.episodes import read_pair
from likewise.errors import DataSetError
from support import fakes


def make_fss(root: Path, classes: tuple[str, ...] = ("abacus", "zebra")) -> Path:
    """FSS-1000: ten images a class, masks as the set has them: three equal channels."""
    for c, name in enumerate(classes):
        for n in range(1, 11):
            fakes.write_image(root / name / f"{n}.jpg", fakes.noise(100 * c + n))
            mask = fakes.block(255, n, border=0)
            fakes.write_image(root / name / f"{n}.png", np.repeat(mask[..., None], 3, axis=2))
    return root


def write_fss_list(path: Path, count: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["abacus", *(f"class{i}" for i in range(count - 2)), "zebra"]) + "\n")


def test_fss_reads_its_classes_from_the_list_and_counts_missing_entries(tmp_path: Path) -> None:
    make_fss(tmp_path / "fewshot_data")
    write_fss_list(tmp_path / "splits/fss/test.txt", 240)
    dataset = fss1000(tmp_path)
    assert str(dataset.presence) == "20 of 2400 entries of FSS-1000 test are present"
    assert [e.image for e in dataset.entries[:10]] == [f"abacus/{n}" for n in range(1, 11)]
    mask = dataset.read_labels("zebra/4", ["abacus", "zebra"])
    np.testing.assert_array_equal(mask, fakes.block(2, 4, border=0))


def test_fss_masks_are_thresholded_at_128(tmp_path: Path) -> None:
    make_fss(tmp_path)
    write_fss_list(tmp_path / "splits/fss/test.txt", 240)
    mask = np.zeros((60, 80), np.uint8)
    mask[:, :3] = 127, 128, 255
    fakes.write_image(tmp_path / "abacus/1.png", mask)
    assert fss1000(tmp_path).read_labels("abacus/1", ["abacus"])[0, :4].tolist() == [0, 1, 1, 0]


def test_fss_needs_a_list_of_the_right_length(tmp_path: Path) -> None:
    make_fss(tmp_path)
    with pytest.raises(DataSetError, match=r"splits/fss/test\.txt"):
        fss1000(tmp_path)
    write_fss_list(tmp_path / "splits/fss/test.txt", 20)
    with pytest.raises(DataSetError, match=r"20 classes.* 240"):
        fss1000(tmp_path)


def test_missing_fss_names_the_needed_files_and_the_places(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"1\.jpg .*1\.png .*fewshot_data"):
        fss1000(tmp_path)


def test_a_folder_of_classes_pairs_images_with_masks_of_either_name(tmp_path: Path) -> None:
    fakes.write_image(tmp_path / "cat/a.jpg", fakes.noise(0))
    fakes.write_image(tmp_path / "cat/a.png", fakes.block(255, 0, border=0))
    fakes.write_image(tmp_path / "cat/b.png", fakes.noise(1))
    fakes.write_image(tmp_path / "cat/b_mask.png", fakes.block(1, 1, border=0))
    fakes.write_image(tmp_path / "dog/a.jpg", fakes.noise(2))
    fakes.write_image(tmp_path / "dog/c_mask.png", fakes.block(255, 2, border=0))
    dataset = class_folders(tmp_path)
    assert dataset.presence.listed == 4
    assert dataset.presence.missing == ("dog/a (dog)", "dog/c (dog)")
    assert [e.image for e in dataset.entries] == ["cat/a", "cat/b"]
    assert dataset.image_path("cat/b").name == "b.png"
    np.testing.assert_array_equal(dataset.read_labels("cat/b", ["cat"]), fakes.block(1, 1, border=0))
    assert not dataset.read_labels("cat/a", ["dog"]).any()


def test_a_folder_without_masks_names_the_needed_files(tmp_path: Path) -> None:
    fakes.write_image(tmp_path / "cat/a.jpg", fakes.noise(0))
    with pytest.raises(DataSetError, match=r"_mask\.png"):
        class_folders(tmp_path)
    with pytest.raises(DataSetError, match="nowhere"):
        class_folders(tmp_path / "nowhere")


def test_class_folders_read_heic_images_and_tiff_masks(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    (tmp_path / "cat").mkdir()
    pillow_heif.from_pillow(Image.fromarray(fakes.noise(0))).save(tmp_path / "cat/a.heic")
    fakes.write_image(tmp_path / "cat/a.tif", fakes.block(255, 0, border=0))
    dataset = class_folders(tmp_path)
    image, labels = read_pair(dataset, "cat/a", ["cat"])
    assert image.shape == (60, 80, 3)
    np.testing.assert_array_equal(labels, fakes.block(1, 0, border=0))


def make_davis(root: Path) -> Path:
    for sequence, count in ("camel", 3), ("dog", 2):
        for number in range(count):
            fakes.write_image(root / "JPEGImages/480p" / sequence / f"{number:05d}.jpg", fakes.noise(number))
            labels = fakes.block(1 + number, number, border=0)
            fakes.write_image(root / "Annotations/480p" / sequence / f"{number:05d}.png", labels)
    return root


def test_each_sequence_is_a_class_of_all_its_instances(tmp_path: Path) -> None:
    sequences = davis_sequences(make_davis(tmp_path / "DAVIS"))
    assert sequences.images_of == {
        "camel": ("camel/00000", "camel/00001", "camel/00002"),
        "dog": ("dog/00000", "dog/00001"),
    }
    np.testing.assert_array_equal(sequences.read_class("camel/00002", "camel"), fakes.block(1, 2, border=0))
    assert not sequences.read_class("camel/00002", "dog").any()
    assert sequences.image_path("dog/00001").is_file()


def test_255_in_a_mask_is_the_object(tmp_path: Path) -> None:
    root = make_davis(tmp_path)
    fakes.write_image(root / "Annotations/480p/dog/00001.png", fakes.block(255, 1, border=0))
    mask = davis_sequences(root).read_class("dog/00001", "dog")
    np.testing.assert_array_equal(mask, fakes.block(1, 1, border=0))


def test_a_frame_without_its_mask_counts_as_missing(tmp_path: Path) -> None:
    root = make_davis(tmp_path)
    (root / "Annotations/480p/dog/00001.png").unlink()
    sequences = davis_sequences(root)
    assert sequences.presence.missing == ("dog/00001 (dog)",)
    assert sequences.images_of["dog"] == ("dog/00000",)


def test_missing_davis_names_the_needed_folders(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"JPEGImages/480p"):
        davis_sequences(tmp_path)
