"""Files that are never half written."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

PART_PREFIX = ".likewise-part-"  # names of files being written; see `written`


@contextlib.contextmanager
def written(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; it takes the place of `path` when the block succeeds.

    The temporary name has the same suffix (writers go by it) and is hidden. The data reach the disk before
    the rename, so `path` is either absent, or what it was, or whole. When the block fails nothing is left.
    Missing folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.parent / f"{PART_PREFIX}{secrets.token_hex(6)}{path.suffix}"
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
