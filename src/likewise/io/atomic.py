"""Atomic file writes: a file is either complete or absent."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from likewise.errors import OutputError

PART_PREFIX = ".likewise-part-"
"""Prefix of the temporary files of `write_atomically`. A killed process leaves them behind."""


@contextlib.contextmanager
def write_atomically(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to, and rename it to `path` when the block succeeds.

    The temporary file is hidden and has the suffix of `path`, since many writers choose a format by suffix. It is
    synced to disk before the rename. If the block fails, the temporary file is deleted and `path` stays unchanged.
    Missing parent folders are created.

    Raises:
        OutputError: The system refuses to write; the `OSError` is its cause.
    """
    path = Path(path)
    part = path.parent / f"{PART_PREFIX}{secrets.token_hex(6)}{path.suffix}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch()  # fails here with an OSError; some writers raise other types
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise cannot_write(path, error) from error
        raise


def cannot_write(path: Path, error: OSError) -> OutputError:
    """Return the `OutputError` for a write that the system refused."""
    return OutputError(
        f"{path}: cannot be written ({error.strerror or error}); free disk space or check the permissions"
    )
