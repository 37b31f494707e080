import os
import stat
from pathlib import Path

import pytest

from likewise.errors import OutputError
from likewise.io.atomic import write_atomically, write_together


def test_a_file_is_replaced_only_by_a_complete_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "mask.png"
    with write_atomically(path) as part:
        assert part.parent == path.parent
        assert part.suffix == ".png"
        part.write_text("first")
        assert not path.exists()
    assert path.read_text() == "first"

    def fail_halfway(failure: type[BaseException]) -> None:
        with write_atomically(path) as part:
            part.write_text("half")
            raise failure

    for failure in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(failure):
            fail_halfway(failure)
        assert path.read_text() == "first"
    assert [entry.name for entry in path.parent.iterdir()] == ["mask.png"]


def test_a_refused_write_is_an_output_error_with_its_cause(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"mask\.png") as caught, write_atomically(tmp_path / "file" / "mask.png"):
        pass
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(OutputError, match=os.strerror(28)) as caught, write_atomically(tmp_path / "mask.png"):
        raise OSError(28, os.strerror(28))
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_are_those_of_a_new_file(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        with write_atomically(tmp_path / "a") as part:
            part.unlink()
            os.close(os.open(part, os.O_CREAT | os.O_WRONLY, 0o600))  # as a writer that replaces the file
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


def test_files_written_together_appear_together_or_not_at_all(tmp_path: Path) -> None:
    def write(fail: bool) -> None:
        def before(parts: list[tuple[Path, Path]]) -> None:
            assert [path.name for _, path in parts] == ["a", "b"]
            assert all(part.exists() and not path.exists() for part, path in parts)

        with write_together(before):
            for name in "ab":
                with write_atomically(tmp_path / name) as part:
                    part.write_text(name)
            if fail:
                raise RuntimeError

    with pytest.raises(RuntimeError):
        write(fail=True)
    assert list(tmp_path.iterdir()) == []
    write(fail=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_temporary_file_carries_its_process(tmp_path: Path) -> None:
    with write_atomically(tmp_path / "a.png") as part:
        assert f"-{os.getpid()}-" in part.name
