"""What tells whether files and images have changed: digests and stamps."""

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Shaped


@dataclass(frozen=True)
class Stamp:
    """Size in bytes and modification time of a file, which change when the file does."""

    size: int
    mtime_ns: int


def stamp_of(path: Path) -> Stamp | None:
    """Return the stamp of a file, or None if it does not exist."""
    try:
        status = path.stat()
    except OSError:
        return None
    return Stamp(status.st_size, status.st_mtime_ns)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def short_digest(path: Path) -> str:
    """Return the first 16 digits of `file_digest`, for records and messages."""
    return file_digest(path)[:16]


def pixels_key(pixels: Shaped[np.ndarray, "..."]) -> Hashable:
    """Return a key for caches in memory from the content of an image."""
    return pixels.shape, hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest()
