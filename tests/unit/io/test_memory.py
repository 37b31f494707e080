from pathlib import Path

import psutil
import pytest

from likewise.errors import ArgumentError
from likewise.io import memory
from likewise.io.memory import default_budget, format_bytes, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("4G", 4 << 30), ("4gb", 4 << 30), ("1.5 GiB", 3 << 29), ("800M", 800 << 20), ("2k", 2048), ("123", 123)],
)
def test_sizes_are_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "4X", "0", "1e9", "four", "9" * 400, "\x1b[2J"])
def test_other_texts_are_refused_by_name(text: str) -> None:
    with pytest.raises(ArgumentError, match="800M"):
        parse_size(text)


def test_sizes_are_shown_in_the_unit_of_people() -> None:
    assert (format_bytes(3 << 29), format_bytes(5 << 20)) == ("1.5 GB", "5 MB")


def test_the_default_is_a_share_of_the_free_memory() -> None:
    assert 0 < default_budget() <= 0.5 * psutil.virtual_memory().total


@pytest.mark.parametrize("version", [1, 2])
def test_limits_of_control_groups_count(version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = tmp_path if version == 2 else tmp_path / "memory"
    own = top / "job" / "step"
    own.mkdir(parents=True)
    limit, usage = ("memory.max", "memory.current") if version == 2 else (
        "memory.limit_in_bytes", "memory.usage_in_bytes"
    )  # fmt: skip
    (own / limit).write_text("max\n" if version == 2 else str(2**60))
    (own / usage).write_text("1000")
    (own.parent / limit).write_text("10000000")
    (own.parent / usage).write_text("6000000")
    (own.parent / "memory.stat").write_text("anon 1\ninactive_file 2000000\n")
    line = "0::/job/step\n" if version == 2 else "5:cpu,memory:/job/step\n3:pids:/other\n"
    original = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda path, **o: line if path == Path("/proc/self/cgroup") else original(path, **o)
    )
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    assert default_budget() == 3_000_000
