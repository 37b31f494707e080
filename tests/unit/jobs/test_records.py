from pathlib import Path

import pytest

from likewise.errors import OutputError
from likewise.io.atomic import PART_PREFIX
from likewise.jobs.records import Records, has_records, stamp_of
from likewise.jobs.writers import Region, Regions
from support.fakes import save_flat


def add(records: Records, image: Path, score: float = 0.5) -> None:
    stamp = stamp_of(image)
    assert stamp is not None
    records.add(stamp, Regions(image.name, 8, 12, (Region(1, "abc", score),)))


def test_finished_images_are_found_by_a_later_run(tmp_path: Path) -> None:
    image, output = save_flat(tmp_path / "cat.jpg"), save_flat(tmp_path / "out" / "cat.mask.png")
    out = tmp_path / "out"
    assert not has_records(out)
    records = Records(out, {"model": "panet"}, force=False)
    assert has_records(out)
    assert not records.is_finished("cat.jpg", image, [output])
    add(records, image)
    later = Records(out, {"model": "panet"}, force=False)
    assert later.is_finished("cat.jpg", image, [output])
    assert not later.is_finished("cat.jpg", image, [output, out / "cat.overlay.jpg"])
    assert not later.is_finished("dog.jpg", image, [output])
    save_flat(image, size=(20, 20))
    assert not later.is_finished("cat.jpg", image, [output])


def test_changed_settings_are_refused_and_force_discards_the_records(tmp_path: Path) -> None:
    image = save_flat(tmp_path / "cat.jpg")
    add(Records(tmp_path, {"model": "panet"}, force=False), image)
    with pytest.raises(OutputError, match="model was 'panet' and is now 'hsnet'"):
        Records(tmp_path, {"model": "hsnet"}, force=False)
    assert not Records(tmp_path, {"model": "hsnet"}, force=True).is_finished("cat.jpg", image, [])


def test_the_last_line_of_an_image_counts_and_incomplete_lines_are_ignored(tmp_path: Path) -> None:
    records = Records(tmp_path, {}, force=False)
    for name, score in (("10.jpg", 0.1), ("2.jpg", 0.2), ("10.jpg", 0.3), ("3.jpg", 0.4)):
        add(records, save_flat(tmp_path / name), score)
    with (tmp_path / ".likewise/finished.jsonl").open("ab") as file:
        file.write(b'{"size": 12, "mti')
    later = Records(tmp_path, {}, force=False)
    add(later, save_flat(tmp_path / "11.jpg"), 0.5)
    found = [(regions.name, regions.regions[0].score) for regions in later.regions(without={"3.jpg"})]
    assert found == [("2.jpg", 0.2), ("10.jpg", 0.3), ("11.jpg", 0.5)]


def test_temporary_files_of_a_killed_run_are_deleted(tmp_path: Path) -> None:
    part = save_flat(tmp_path / "sub" / f"{PART_PREFIX}0.mask.png")
    Records(tmp_path, {}, force=False)
    assert not part.exists()
