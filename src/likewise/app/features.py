"""Features of images on disk, in half precision: computed once, safely dropped."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from likewise.engine.protocol import Features

SHARE = 0.25
"""Share of the free disk that the cache may take."""
MOST_BYTES = 20 << 30
"""Bytes that it takes at most: about 100,000 images."""


class FeatureCache:
    """The features of images by the digest of their content. Several threads may use it.

    A file that is damaged or lacking counts as absent; the folder may be deleted at any time.

    Args:
        folder: of the cache; another model has another folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: set[str] = set()
        self._bytes = 0
        self._room = 0
        self._count()

    def __contains__(self, digest: str | None) -> bool:
        return digest in self._known

    def get(self, digest: str) -> Features | None:
        """Return the features of a batch of one image, or None."""
        try:
            arrays = load(self._path(digest).read_bytes())
            levels = [arrays[f"level{index}"].astype(np.float32) for index in range(len(arrays) - 1)]
            return Features(levels, arrays["semantic"].astype(np.float32))
        except (OSError, SafetensorError, KeyError):
            self._known.discard(digest)
            return None

    def put(self, digest: str, features: Features) -> None:
        """Keep the features of a batch of one image, unless the cache or the disk is full."""
        arrays = {f"level{index}": level.astype(np.float16) for index, level in enumerate(features.levels)}
        content = save({**arrays, "semantic": features.semantic.astype(np.float16)})
        if self._bytes + len(content) > self._room:
            return
        part = self.folder / f".{secrets.token_hex(8)}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(content)
            part.replace(self._path(digest))  # not synced: a file that a crash cut short is computed again
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            return
        self._known.add(digest)
        self._bytes += len(content)

    def keep_only(self, digests: set[str]) -> None:
        """Drop the features of images that are not in the project, and what other models left."""
        for digest in self._known - digests:
            self._path(digest).unlink(missing_ok=True)
        for other in self.folder.parent.glob("*"):
            if other != self.folder:
                shutil.rmtree(other, ignore_errors=True)
        self._count()

    def _count(self) -> None:
        files = {entry.name: entry.stat().st_size for entry in os.scandir(self.folder)} if self.folder.is_dir() else {}
        self._known = {name for name in files if not name.startswith(".")}
        self._bytes = sum(files.values())
        place = next(folder for folder in (self.folder, *self.folder.parents) if folder.is_dir())
        self._room = min(MOST_BYTES, self._bytes + int(SHARE * shutil.disk_usage(place).free))

    def _path(self, digest: str) -> Path:
        return self.folder / digest
