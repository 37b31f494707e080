import pickle
from pathlib import Path

import numpy as np
import pytest

from likewise.data.episodes import Entry
from likewise.data.pascal import pascal5i, pascal_leakage
from likewise.errors import DataSetError
from likewise.io.class_lists import PASCAL
from support import fakes


@pytest.fixture(scope="module")
def voc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.make_voc(tmp_path_factory.mktemp("voc"))


def test_validation_holds_the_five_classes_of_its_fold_and_training_the_other_fifteen(voc: Path) -> None:
    folds = [
        ("aeroplane", "bicycle", "bird", "boat", "bottle"),
        ("bus", "car", "cat", "chair", "cow"),
        ("diningtable", "dog", "horse", "motorbike", "person"),
        ("pottedplant", "sheep", "sofa", "train", "tvmonitor"),
    ]
    for fold, classes in enumerate(folds):
        novel, base = pascal5i(voc, fold), pascal5i(voc, fold, "trn")
        assert novel.classes == classes
        assert set(base.classes) == set(PASCAL) - set(novel.classes)
        assert {e.class_name for e in novel.entries} == set(novel.classes)
        assert {e.class_name for e in base.entries} == set(base.classes)


def test_entries_keep_the_order_of_the_list(voc: Path) -> None:
    lines = (voc / "splits/pascal/val/fold1.txt").read_text().split()
    assert [f"{e.image}__{PASCAL.index(e.class_name) + 1:02d}" for e in pascal5i(voc, 1).entries] == lines


def test_a_mask_has_one_for_its_class_and_ignore_on_the_boundary(voc: Path) -> None:
    dataset = pascal5i(voc, 0)
    mask = dataset.read_labels("2007_003002", ["bird"])
    expected = fakes.block(1, 2)
    np.testing.assert_array_equal(mask, expected)
    other = dataset.read_labels("2007_003002", ["boat"])
    assert set(np.unique(other)) == {0, 255}


def test_missing_images_are_counted_and_named(tmp_path: Path) -> None:
    fakes.make_voc(tmp_path)
    (tmp_path / "VOC2012/JPEGImages/2007_003002.jpg").unlink()
    (tmp_path / "VOC2012/SegmentationClassAug/2007_004002.png").unlink()
    presence = pascal5i(tmp_path, 0).presence
    assert str(presence) == "8 of 10 entries of PASCAL-5i fold 0 val are present"
    assert presence.missing == ("2007_003002 (bird)", "2007_004002 (boat)")


def test_without_lists_a_class_needs_2048_pixels(tmp_path: Path) -> None:
    fakes.make_voc(tmp_path, lists=False)
    small = fakes.block(3, 2)
    small[:10] = 0
    fakes.write_image(tmp_path / "VOC2012/SegmentationClassAug/2007_003002.png", small)
    assert 0 < (small == 3).sum() < 2048
    entries = pascal5i(tmp_path, 0).entries
    assert Entry("2007_003002", "bird") not in entries
    assert Entry("2007_003003", "bird") in entries
    assert len(entries) == 9
    assert len(pascal5i(tmp_path, 0, "trn").entries) == 30


def test_without_any_list_both_splits_use_all_images(tmp_path: Path) -> None:
    fakes.make_voc(tmp_path, lists=False)
    (tmp_path / "VOC2012/ImageSets/Segmentation/val.txt").unlink()
    assert len(pascal5i(tmp_path, 0).entries) == 20
    assert len(pascal5i(tmp_path, 0, "trn").entries) == 60


def test_leaking_training_images_can_be_dropped(voc: Path) -> None:
    kept = pascal5i(voc, 1, "trn", drop_leaking=True)
    leaking = pascal_leakage(voc)[1].leaking
    assert leaking
    assert leaking & set(pascal5i(voc, 1, "trn").classes_of)
    assert not leaking & set(kept.classes_of)


@pytest.mark.parametrize(
    ("fold", "leaking", "images"), [(0, 637, 8450), (1, 1298, 8081), (2, 1945, 7007), (3, 896, 9002)]
)
def test_leakage_of_the_published_lists(shared_data: Path, fold: int, leaking: int, images: int) -> None:
    found = pascal_leakage(shared_data)[fold]
    assert (len(found.leaking), found.images) == (leaking, images)
    assert str(found) == f"{leaking} of {images} training images contain a novel class"


def test_real_images_show_the_listed_class(shared_data: Path) -> None:
    dataset = pascal5i(shared_data, 0)
    assert str(dataset.presence) == "101 of 346 entries of PASCAL-5i fold 0 val are present"
    for entry in dataset.entries[::10]:
        assert (dataset.read_labels(entry.image, [entry.class_name]) == 1).any()


def test_a_set_can_be_pickled(voc: Path) -> None:
    dataset = pascal5i(voc, 0)
    again = pickle.loads(pickle.dumps(dataset))
    assert again.entries == dataset.entries
    np.testing.assert_array_equal(
        again.read_labels("2007_001002", ["aeroplane"]), dataset.read_labels("2007_001002", ["aeroplane"])
    )


def test_a_missing_data_set_names_the_needed_files_and_the_places(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"JPEGImages .*SegmentationClassAug .*VOCdevkit/VOC2012"):
        pascal5i(tmp_path, 0)
    with pytest.raises(DataSetError, match="nowhere"):
        pascal5i(tmp_path / "nowhere", 0)


def test_a_data_set_without_any_listed_image_raises(tmp_path: Path) -> None:
    fakes.make_voc(tmp_path)
    for image in (tmp_path / "VOC2012/JPEGImages").iterdir():
        image.unlink()
    with pytest.raises(DataSetError, match="10 entries of PASCAL-5i fold 0 val"):
        pascal5i(tmp_path, 0)


def test_an_unknown_fold_split_or_class_raises_with_a_close_match(voc: Path) -> None:
    with pytest.raises(DataSetError, match="fold of PASCAL-5i 4"):
        pascal5i(voc, 4)
    with pytest.raises(DataSetError, match=r"trn\?"):
        pascal5i(voc, 0, "train")
    with pytest.raises(DataSetError, match=r"aeroplane\?"):
        pascal5i(voc, 0).read_labels("2007_001002", ["airplane"])


def test_a_broken_line_of_a_list_names_its_file(tmp_path: Path) -> None:
    fakes.make_voc(tmp_path)
    (tmp_path / "splits/pascal/val/fold2.txt").write_text("2007_011002__21\n")
    with pytest.raises(DataSetError, match=r"fold2\.txt.*2007_011002__21"):
        pascal5i(tmp_path, 2)


def test_without_a_fold_training_holds_all_twenty_classes_and_nothing_is_tested(tmp_path: Path) -> None:
    fakes.make_voc(tmp_path)
    everything = pascal5i(tmp_path, None, "trn")
    assert everything.classes == PASCAL
    tested = {image for fold in range(4) for image in pascal5i(tmp_path, fold, "val").classes_of}
    assert not tested & set(everything.classes_of)
    with pytest.raises(DataSetError, match="PASCAL-5i"):
        pascal5i(tmp_path, None, "val")
