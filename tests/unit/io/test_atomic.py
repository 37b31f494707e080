import os
from pathlib import Path

import pytest

from likewise.errors import OutputError
from likewise.io.atomic import write_atomically


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
