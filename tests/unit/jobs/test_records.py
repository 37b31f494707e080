import json
import os
import platform
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pytest

from likewise.errors import OutputError
from likewise.io.atomic import PART_PREFIX
from likewise.io.digests import stamp_of
from likewise.jobs.records import Records, has_records, locked
from likewise.jobs.writers import Region, Regions
from support.fakes import save_flat


def add(records: Records, image: Path, score: float = 0.5, outputs: Sequence[Path] = ()) -> None:
    stamp = stamp_of(image)
    assert stamp is not None
    records.add(stamp, Regions(image.name, 8, 12, (Region(1, "abc", score),)), [(path, path) for path in outputs])


def opened(out: Path, settings: Mapping[str, str], *, force: bool = False, again: Collection[str] = ()) -> Records:
    (out / ".likewise").mkdir(parents=True, exist_ok=True)
    records = Records(out, settings, force=force, again=again)
    records.start()
    return records


def test_finished_images_are_found_by_a_later_run(tmp_path: Path) -> None:
    image, output = save_flat(tmp_path / "cat.jpg"), save_flat(tmp_path / "out" / "cat.mask.png")
    out = tmp_path / "out"
    assert not has_records(out)
    records = opened(out, {"model": "panet"})
    assert has_records(out)
    assert not records.is_finished("cat.jpg", image, [output])
    add(records, image)
    later = opened(out, {"model": "panet"})
    assert later.is_finished("cat.jpg", image, [output])
    assert not later.is_finished("cat.jpg", image, [output, out / "cat.overlay.jpg"])
    assert not later.is_finished("dog.jpg", image, [output])
    save_flat(image, size=(20, 20))
    assert not later.is_finished("cat.jpg", image, [output])


def test_changed_settings_are_refused_and_force_discards_the_records(tmp_path: Path) -> None:
    image = save_flat(tmp_path / "cat.jpg")
    add(opened(tmp_path, {"model": "panet"}), image)
    with pytest.raises(OutputError, match="model was 'panet' and is now 'hsnet'"):
        opened(tmp_path, {"model": "hsnet"})
    assert not opened(tmp_path, {"model": "hsnet"}, force=True).is_finished("cat.jpg", image, [])


def test_the_last_line_of_an_image_counts_and_incomplete_lines_are_ignored(tmp_path: Path) -> None:
    records = opened(tmp_path, {})
    for name, score in (("10.jpg", 0.1), ("2.jpg", 0.2), ("10.jpg", 0.3), ("3.jpg", 0.4)):
        add(records, save_flat(tmp_path / name), score)
    with (tmp_path / ".likewise/finished.jsonl").open("ab") as file:
        file.write(b'{"size": 12, "mti')
    later = opened(tmp_path, {})
    add(later, save_flat(tmp_path / "11.jpg"), 0.5)
    found = [(regions.name, regions.regions[0].score) for regions in later.regions(instead={"3.jpg": None})]
    assert found == [("2.jpg", 0.2), ("10.jpg", 0.3), ("11.jpg", 0.5)]


def test_temporary_files_of_a_killed_run_are_deleted(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    host = "".join(letter for letter in platform.node() if letter.isalnum())
    names = {f"{host}-{dead.pid}-0": False, f"{host}-{os.getpid()}-0": True, "elsewhere-1-0": True, "0": True}
    parts = {save_flat(tmp_path / "sub" / f"{PART_PREFIX}{name}.mask.png"): kept for name, kept in names.items()}
    opened(tmp_path, {})
    assert {part: part.exists() for part in parts} == parts, "those of a live process or another machine are kept"


def test_a_file_that_no_run_wrote_or_that_was_changed_since_is_foreign(tmp_path: Path) -> None:
    image, drawn = save_flat(tmp_path / "cat.jpg"), save_flat(tmp_path / "drawn.png")
    written = save_flat(tmp_path / "cat.mask.png")
    records = opened(tmp_path, {})
    add(records, image, outputs=[written])
    later = opened(tmp_path, {})
    assert not later.is_foreign(written)
    assert later.is_foreign(drawn)
    assert not later.is_foreign(tmp_path / "missing.png")
    save_flat(written, value=90)
    assert opened(tmp_path, {}).is_foreign(written)
    assert not opened(tmp_path, {}, force=True).is_foreign(drawn)


def test_another_concept_voids_finished_images_but_their_outputs_stay_known(tmp_path: Path) -> None:
    image, written = save_flat(tmp_path / "cat.jpg"), save_flat(tmp_path / "cat.mask.png")
    add(opened(tmp_path, {"model": "panet", "concept": "1"}), image, outputs=[written])
    with pytest.raises(OutputError, match="examples"):
        opened(tmp_path, {"model": "panet", "concept": "2"})
    with pytest.raises(OutputError, match="model"):
        opened(tmp_path, {"model": "hsnet", "concept": "2"}, again={"concept"})
    records = opened(tmp_path, {"model": "panet", "concept": "2"}, again={"concept"})
    assert records.again
    assert not records.is_finished("cat.jpg", image, [written])
    assert list(records.regions(instead={})) == []
    assert not records.is_foreign(written)
    resumed = opened(tmp_path, {"model": "panet", "concept": "2"}, again={"concept"})
    assert not resumed.again
    add(resumed, image, 0.7)
    assert [regions.regions[0].score for regions in resumed.regions(instead={})] == [0.7]


LINE = {
    **{"size": 1, "mtime_ns": 1, "name": "a", "height": 8, "width": 12},
    **{"regions": [], "presences": [], "outputs": {}},
}
CHANGES = (
    *({"name": 3}, {"height": "8"}, {"regions": [1]}, {"outputs": [1]}, {"outputs": {"a": 1}}, {"presences": ["x"]}),
    {"regions": [{"category": "x", "counts": 1, "score": 0}]},
)
HOSTILE = (
    *(b"[]", b"{}", b"[" * 20_000, b"\xff", b'{"again": 1}'),
    *(json.dumps({**LINE, **change}).encode() for change in CHANGES),
)


@pytest.mark.parametrize("line", HOSTILE)
def test_lines_that_no_run_wrote_are_ignored(line: bytes, tmp_path: Path) -> None:
    add(opened(tmp_path, {}), save_flat(tmp_path / "cat.jpg"))
    with (tmp_path / ".likewise/finished.jsonl").open("ab") as file:
        file.write(line + b"\n")
    assert [regions.name for regions in opened(tmp_path, {}).regions(instead={})] == ["cat.jpg"]


def test_a_second_run_in_a_locked_folder_is_refused_by_the_process_of_the_first(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(OutputError, match=rf"process {os.getpid()} on .*since 20"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_the_lock_of_a_dead_process_does_not_count(tmp_path: Path) -> None:
    program = (
        "import os, sys, pathlib, likewise.jobs.records as r\nwith r.locked(pathlib.Path(sys.argv[1])): os._exit(9)"
    )
    died = subprocess.run([sys.executable, "-c", program, tmp_path], check=False)
    assert died.returncode == 9
    assert (tmp_path / ".likewise/owner.json").exists()
    with locked(tmp_path):
        pass
