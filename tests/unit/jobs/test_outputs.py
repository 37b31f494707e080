from pathlib import Path

import pytest

from likewise.errors import ArgumentError, ImageError, OutputError
from likewise.io.paths import RECORDS, ImageFile, find_images
from likewise.jobs.outputs import list_images, plan_jobs, refuse_overwriting, summary_files
from support.fakes import save_flat


def test_images_are_paths_found_files_or_both(photos: Path) -> None:
    a, b = save_flat(photos / "a.jpg"), save_flat(photos / "b.jpg")
    assert [image.path for image in list_images(str(photos))] == [a, b]
    assert [image.path for image in list_images(a)] == [a]
    found = find_images([a])
    assert list_images(found) == found
    assert list_images(found[0]) == found
    assert [image.path for image in list_images([found[0], b])] == [a, b]
    assert [image.path for image in list_images([photos], exclude=[b])] == [a]
    with pytest.raises(ImageError):
        list_images([])


def outputs(*names: str) -> list[str]:
    jobs = plan_jobs([ImageFile(Path(name), name) for name in names], Path("out"), ["mask", "coco"])
    return [path.as_posix() for job in jobs for path in job.outputs.values()]


def test_outputs_keep_folders_and_keep_suffixes_only_where_names_clash() -> None:
    assert outputs("sub/cat.jpg", "dog.png") == ["out/sub/cat.mask.png", "out/dog.mask.png"]
    assert outputs("cat.jpg", "CAT.png") == ["out/cat.jpg.mask.png", "out/CAT.png.mask.png"]
    assert outputs("c.jpg", "c.tif", "c.jpg.bmp") == [
        f"out/{name}.mask.png" for name in ("c.jpg", "c.tif", "c.jpg.bmp")
    ]
    with pytest.raises(ArgumentError, match=r"cat\.jpg"):
        outputs("cat.jpg", "cat.jpg")


def test_formats_of_all_images_have_one_file_each() -> None:
    assert summary_files(Path("out"), ["mask", "areas", "coco"]) == {
        "areas": Path("out/areas.csv"),
        "coco": Path("out/coco.json"),
    }


def test_inputs_are_protected_always_and_foreign_files_unless_forced(tmp_path: Path) -> None:
    target = save_flat(tmp_path / "cat.mask.png")
    for force in (False, True):
        with pytest.raises(OutputError, match=r"cat\.mask\.png"):
            refuse_overwriting([target], tmp_path, [tmp_path / "." / "cat.mask.png"], force=force)
    with pytest.raises(OutputError, match=r"cat\.mask\.png"):
        refuse_overwriting([target], tmp_path, [], force=False)
    refuse_overwriting([target], tmp_path, [], force=True)
    (tmp_path / RECORDS).mkdir()
    (tmp_path / RECORDS / "settings.json").touch()
    refuse_overwriting([target], tmp_path, [], force=False)
