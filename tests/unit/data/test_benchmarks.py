from pathlib import Path

import pytest

from likewise.data.benchmarks import open_episodes, open_scenes
from likewise.errors import ArgumentError, DataSetError
from support import fakes


def test_a_root_is_recognised_by_its_files(tmp_path: Path) -> None:
    voc = open_episodes(fakes.make_voc(tmp_path / "voc"), 3)
    assert voc.name == "PASCAL-5i fold 3 val"
    assert voc.entries == open_episodes(tmp_path / "voc", 3, "pascal-5i").entries
    fakes.write_image(tmp_path / "mine/cat/1.jpg", fakes.noise(0))
    fakes.write_image(tmp_path / "mine/cat/1_mask.png", fakes.block(1, 0, border=0))
    assert open_episodes(tmp_path / "mine").name == "mine all"


def test_an_empty_root_lists_the_files_that_each_loader_needs(tmp_path: Path) -> None:
    with pytest.raises(DataSetError) as caught:
        open_episodes(tmp_path)
    message = str(caught.value)
    assert len(message.splitlines()) == 5
    for part in "JPEGImages", "annotations", "1.jpg", "_mask.png":
        assert part in message


def test_an_unknown_benchmark_or_fold_raises_with_a_close_match(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"pascal-5i\?"):
        open_episodes(tmp_path, 0, "pascal5i")
    with pytest.raises(DataSetError, match="fold of fss-1000 1"):
        open_episodes(tmp_path, 1, "fss-1000")
    with pytest.raises(ArgumentError, match=r"camvid\?"):
        open_scenes(tmp_path, "canvid")


def test_contiguous_folds_of_a_benchmark_without_them_raise(tmp_path: Path) -> None:
    root = fakes.make_voc(tmp_path)
    with pytest.raises(ArgumentError, match="pascal-5i"):
        open_episodes(root, 0, "pascal-5i", "contiguous")


def test_scenes_open_by_name_with_their_test_split(shared_data: Path) -> None:
    assert open_scenes(shared_data, "camvid").name == "CamVid test"
    assert open_scenes(shared_data, "camvid", "val").name == "CamVid val"
