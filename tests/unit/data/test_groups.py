from pathlib import Path

import numpy as np
import pytest

from likewise.data.groups import cosaliency_groups
from likewise.errors import DataSetError
from support import fakes


def make_groups(root: Path, sism: bool = False) -> Path:
    for group, count in ("cats", 3), ("dogs", 2):
        for i in range(count):
            fakes.write_image(root / "image" / group / f"{i}.jpg", fakes.noise(i))
            fakes.write_image(root / "gt" / group / f"{i}.png", fakes.block(255, i, border=100))
            if sism:
                fakes.write_image(root / "sism" / group / f"{i}.png", fakes.block(51, i, border=0))
    return root


def test_groups_are_the_folders_and_masks_are_thresholded_above_127(tmp_path: Path) -> None:
    groups = cosaliency_groups(make_groups(tmp_path / "CoCA"))
    assert groups.name == "CoCA"
    assert groups.groups == {"cats": ("0", "1", "2"), "dogs": ("0", "1")}
    assert groups.image_path("dogs", "1").is_file()
    np.testing.assert_array_equal(groups.read_mask("cats", "2"), fakes.block(1, 2, border=0) == 1)
    assert not groups.sism_files


def test_saliency_maps_lie_between_0_and_1(tmp_path: Path) -> None:
    groups = cosaliency_groups(make_groups(tmp_path, sism=True))
    np.testing.assert_allclose(groups.read_sism("cats", "1"), fakes.block(1, 1, border=0) * 0.2, atol=1e-7)


def test_an_image_without_mask_or_map_is_counted_as_missing(tmp_path: Path) -> None:
    make_groups(tmp_path / "iCoseg", sism=True)
    (tmp_path / "iCoseg/gt/cats/0.png").unlink()
    (tmp_path / "iCoseg/sism/dogs/1.png").unlink()
    (tmp_path / "iCoseg/image/cats/1.jpg").unlink()
    groups = cosaliency_groups(tmp_path / "iCoseg")
    assert groups.groups == {"cats": ("2",), "dogs": ("0",)}
    assert str(groups.presence) == "2 of 5 entries of iCoseg are present"
    assert set(groups.presence.missing) == {"cats/0", "dogs/1", "cats/1"}


def test_the_real_groups_are_complete(shared_data: Path) -> None:
    groups = cosaliency_groups(shared_data / "VOC-coseg")
    assert len(groups.groups) == 20
    assert str(groups.presence) == "764 of 764 entries of VOC-coseg are present"
    for group, images in groups.groups.items():
        assert groups.read_mask(group, images[0]).any()


def test_missing_files_and_unknown_groups_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="image and gt"):
        cosaliency_groups(tmp_path)
    make_groups(tmp_path)
    with pytest.raises(DataSetError, match=r"cats\?"):
        cosaliency_groups(tmp_path).images_of("cat")
    for mask in tmp_path.glob("gt/*/*.png"):
        mask.unlink()
    with pytest.raises(DataSetError, match=r"5 images.* image, gt"):
        cosaliency_groups(tmp_path)
