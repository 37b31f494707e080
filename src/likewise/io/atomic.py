"""Atomic file writes: a file is either complete or absent."""

import contextlib
import os
import platform
import secrets
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path

from likewise.errors import OutputError

PART_PREFIX = ".likewise-part-"
"""Prefix of the temporary files of `write_atomically`, with host and process. A killed process leaves them behind."""

Parts = list[tuple[Path, Path]]
"""Complete temporary files, each with the path that it is renamed to."""
_together: ContextVar[Parts | None] = ContextVar("together", default=None)


@contextlib.contextmanager
def write_atomically(path: str | Path, *, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to, and rename it to `path` when the block succeeds.

    The temporary file is hidden and has the suffix of `path`, since many writers choose a format by suffix. If the
    block fails, the temporary file is deleted and `path` stays unchanged. Missing parent folders are created.
    Permissions are those of a new file.

    Args:
        sync: Sync the file to disk before the rename; a cache, which a crash may damage, is faster without.

    Raises:
        OutputError: The system refuses to write; the `OSError` is its cause.
    """
    path, parts = Path(path), _together.get()
    part = path.parent / f"{PART_PREFIX}{_host()}-{os.getpid()}-{secrets.token_hex(6)}{path.suffix}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch()  # fails here with an OSError; some writers raise other types
        mode = part.stat().st_mode
        yield part
        if sync:
            with part.open("rb+") as file:
                os.fsync(file.fileno())
        if part.stat().st_mode != mode:  # some writers replace the file by one that only its owner reads
            part.chmod(mode)
        if parts is None:
            part.replace(path)
        else:
            parts.append((part, path))
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise cannot_write(path, error) from error
        raise


@contextlib.contextmanager
def write_together(before: Callable[[Parts], None]) -> Iterator[None]:
    """Rename all files that the block writes atomically in this thread at its end, after calling `before` with them.

    Raises:
        OutputError: See `write_atomically`.
    """
    parts: Parts = []
    token = _together.set(parts)
    try:
        yield
        before(parts)
        for part, path in parts:
            try:
                part.replace(path)
            except OSError as error:
                raise cannot_write(path, error) from error
    finally:
        _together.reset(token)
        for part, _ in parts:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def delete_parts(folder: Path, *, below: bool = True) -> None:
    """Delete the temporary files of dead processes of this host in a folder and, with `below`, in its subfolders."""
    import psutil

    for part in folder.glob(f"{'**/' * below}{PART_PREFIX}{_host()}-*"):
        process = part.name.removeprefix(f"{PART_PREFIX}{_host()}-").partition("-")[0]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def _host() -> str:
    return "".join(letter for letter in platform.node() if letter.isalnum())[:40] or "host"


def cannot_write(path: Path, error: OSError) -> OutputError:
    """Return the `OutputError` for a write that the system refused."""
    return OutputError(
        f"{path}: cannot be written ({error.strerror or error}); free disk space or check the permissions"
    )
