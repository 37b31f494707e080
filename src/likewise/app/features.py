"""Features of images: computed once, kept on disk in half precision, safely dropped."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from likewise.app.photos import CACHE, Photo
from likewise.app.project import Project
from likewise.engine.protocol import Features
from likewise.errors import ImageError, OutputError
from likewise.io.atomic import write_atomically
from likewise.io.images import read_scaled
from likewise.predict.edges import LARGEST
from likewise.predict.few_shot import FewShot
from likewise.predict.inputs import Pixels

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
        try:
            with write_atomically(self._path(digest), sync=False) as part:
                part.write_bytes(content)
        except OutputError:
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


class Encoder:
    """Features of the images of a project. Several threads may use it.

    Attributes:
        cache: holds those that were computed.
    """

    def __init__(self, project: Project, few_shot: FewShot) -> None:
        self.project, self.few_shot = project, few_shot
        self.cache = FeatureCache(project.folder / CACHE / "features" / f"{few_shot.fingerprint}-{few_shot.side}")

    def features(self, photo: Photo) -> Features:
        """Return the features of an image, from the cache if they are there.

        Raises:
            ImageError: the image cannot be read.
        """
        if photo.digest and (found := self.cache.get(photo.digest)):
            return found
        digest, resized = self.read(photo)
        features = self.encode(digest, resized)
        self.project.update_photos({photo.id: {"digest": digest}})
        return features

    def read(self, photo: Photo) -> tuple[str, Pixels]:
        """Return the digest of an image's content, and the image at the size of the network's input.

        Raises:
            ImageError: the image cannot be read.
        """
        try:
            content = self.project.path(photo).read_bytes()
            pixels = read_scaled(content, LARGEST).pixels
        except OSError as error:
            raise ImageError(f"{photo.name}: cannot be read ({error.strerror}); check its permissions") from error
        except ImageError as error:
            raise ImageError(str(error).replace("the given bytes", photo.name)) from error
        return hashlib.sha256(content).hexdigest(), self.few_shot.inputs.resize(pixels)

    def encode(self, digest: str, resized: Pixels) -> Features:
        """Return the features of an image of this digest."""
        found = self.cache.get(digest) if digest in self.cache else None
        if found is None:
            found = self.few_shot.extractor.features(resized[None])
            self.cache.put(digest, found)
        return found
