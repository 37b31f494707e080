from pathlib import Path

import pytest

from likewise.io.atomic import written


def test_a_file_is_replaced_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "mask.png"
    with written(path) as part:
        assert part.parent == path.parent
        assert part.suffix == ".png"
        part.write_text("first")
        assert not path.exists()
    assert path.read_text() == "first"

    def fail_halfway(failure: type[BaseException]) -> None:
        with written(path) as part:
            part.write_text("half")
            raise failure

    for failure in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(failure):
            fail_halfway(failure)
        assert path.read_text() == "first"
    assert [entry.name for entry in path.parent.iterdir()] == ["mask.png"]
