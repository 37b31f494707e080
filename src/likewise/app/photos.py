"""The images of a project: found in its folder, noticed when they change or move."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from likewise.app.events import Events
from likewise.app.store import Store
from likewise.errors import ImageError, LikewiseError, OutputError
from likewise.io.digests import file_digest
from likewise.io.images import read_size
from likewise.io.paths import images_in, natural_order, real

PROJECT = ".likewise-app"
"""Name of the project's folder inside the folder of images."""
DATABASE, MASKS, DROPPED, CONCEPTS, CACHE = "project.sqlite", "masks", "files", "concepts", "cache"
TRAINING = "training"
"""What is in it; all that is in the cache is computed again when it is deleted."""
BATCH = 500
"""Headers that are read between two writes."""


class ConflictError(LikewiseError):
    """The state of the project does not allow the step, such as undo without history."""


class UnknownError(LikewiseError):
    """An image or a class that the project does not have."""


@dataclass(frozen=True)
class Photo:
    """An image of the project.

    Attributes:
        place: its path: below the folder of images after `photos/`, below the dropped files after `files/`.
        modified: time of its last change, in nanoseconds.
        digest: of its content, once it was read.
        height, width: upright, in pixels, once its header was read.
        error: why it cannot be read.
    """

    id: int
    name: str
    place: str
    bytes: int
    modified: int
    digest: str | None = None
    width: int | None = None
    height: int | None = None
    error: str | None = None
    missing: bool = False
    seen: bool = False

    @property
    def version(self) -> str:
        """A text that changes with the file."""
        return f"{self.bytes:x}-{self.modified:x}"


class Photos:
    """Images in memory and in the database. Several threads may use it.

    Args:
        root: the folder of images.
        folder: of the project.

    Attributes:
        revision: grows with each change.
        listener: called after changes that need new answers.

    Raises:
        OutputError: the project's folder cannot be written.
    """

    def __init__(self, root: Path, folder: Path, events: Events) -> None:
        self.root, self.folder, self.events = root, folder, events
        self.store = Store(folder / DATABASE)
        self.lock = threading.RLock()
        self.listener: Callable[[], None] = lambda: None
        self.revision = int(time.time())
        self.photos: dict[int, Photo] = {}
        self._order: list[int] | None = None
        self._load()

    def changed(self, reason: str, *, images: list[int] | None, classes: bool = False) -> None:
        """Count a revision, and tell every page."""
        with self.lock:
            self.revision += 1
        self.events.send("revision", revision=self.revision, images=images, classes=classes, reason=reason)

    def present(self) -> list[Photo]:
        """Return the images that are there, in natural order of names."""
        with self.lock:
            if self._order is None:
                there = [photo for photo in self.photos.values() if not photo.missing]
                self._order = [photo.id for photo in sorted(there, key=lambda photo: natural_order(photo.name))]
            return [self.photos[id] for id in self._order]

    def photo(self, id: int) -> Photo:
        """Return an image.

        Raises:
            UnknownError: no such image.
        """
        found = self.photos.get(id)
        if found is None or found.missing:
            raise UnknownError(f"no image {id} in the project; load the list of images again")
        return found

    def path(self, photo: Photo) -> Path:
        """Return the path of an image, which is within its folder, links included.

        Raises:
            ImageError: it leads out of the folder.
        """
        top, _, rest = photo.place.partition("/")
        folder = self.root if top == "photos" else self.folder / DROPPED
        path = folder / rest
        if not real(path).is_relative_to(real(folder)):
            raise ImageError(f"{photo.name}: a link that leads out of the folder; copy the image into it")
        return path

    def scan(self) -> None:
        """Look for new, changed, moved and deleted images, and try those again that could not be read.

        Raises:
            ImageError: the folder is not there.
        """
        if not self.root.is_dir():
            raise ImageError(f"{self.root}: the folder is not there any more; bring it back, then look for changes")
        found = {
            f"photos/{file.path.relative_to(self.root).as_posix()}": (file.name, file.path)
            for file in images_in(self.root, self.folder)
        }
        dropped = self.folder / DROPPED
        found |= {f"files/{file.path.name}": (f"dropped/{file.name}", file.path) for file in images_in(dropped)}
        new: list[tuple[str, str, int, int]] = []
        with self.lock:
            known = {photo.place: photo for photo in self.photos.values()}
            updates: dict[int, dict[str, Any]] = {
                photo.id: {"missing": 1} for place, photo in known.items() if place not in found and not photo.missing
            }
            lost = {photo.bytes: photo for place, photo in known.items() if place not in found and photo.digest}
            for place, (name, path) in found.items():
                try:
                    status = path.stat()
                except OSError:
                    continue
                size, modified, photo = status.st_size, status.st_mtime_ns, known.get(place)
                if photo is None:
                    other = lost.get(size)
                    if other and file_digest(path) == other.digest:
                        updates[other.id] = {"name": name, "place": place, "modified": modified, "missing": 0}
                        del lost[size]
                    else:
                        new.append((name, place, size, modified))
                elif photo.missing or (photo.bytes, photo.modified) != (size, modified):
                    updates[photo.id] = {"missing": 0, "bytes": size, "modified": modified}
                    if photo.digest is None or file_digest(path) != photo.digest:
                        updates[photo.id] |= {"digest": None, "width": None, "height": None, "error": None}
                elif photo.error:
                    updates[photo.id] = {"error": None}
            self.store.add_images(new)
            self.update_photos(updates)
            if new:
                self._load()
        if new or updates:
            self.changed("images", images=None)
            self.listener()

    def _load(self) -> None:
        for row in self.store.images():
            flags = {"missing": bool(row["missing"]), "seen": bool(row["seen"])}
            self.photos.setdefault(row["id"], Photo(**{**row, **flags}))
        self._order = None

    def read_headers(self) -> None:
        """Read the sizes of images that have none yet."""
        updates: dict[int, dict[str, Any]] = {}
        waiting = [photo for photo in self.photos.values() if not photo.width and not photo.error and not photo.missing]
        for photo in waiting:
            try:
                (height, width), _ = read_size(self.path(photo))
                updates[photo.id] = {"height": height, "width": width}
            except (LikewiseError, OSError) as error:
                updates[photo.id] = {"error": str(error)}
            if len(updates) == BATCH or photo is waiting[-1]:
                self.update_photos(updates)
                updates = {}
                self.changed("images", images=None)

    def update_photos(self, updates: Mapping[int, Mapping[str, Any]]) -> None:
        """Change columns of images, on disk and in memory."""
        if not updates:
            return
        with self.lock:
            self.store.update_images(updates.items())
            for id, columns in updates.items():
                flags = {name: bool(columns[name]) for name in ("missing", "seen") if name in columns}
                self.photos[id] = replace(self.photos[id], **{**columns, **flags})
                if {"missing", "name"} & set(columns):
                    self._order = None

    def size(self, photo: Photo) -> tuple[int, int]:
        """Return height and width.

        Raises:
            ImageError: the image cannot be read.
        """
        if photo.error:
            raise ImageError(photo.error)
        if photo.height is None or photo.width is None:
            (height, width), _ = read_size(self.path(photo))
            self.update_photos({photo.id: {"height": height, "width": width}})
            return height, width
        return photo.height, photo.width

    def add_file(self, name: str, content: bytes) -> Photo:
        """Add a dropped file, whose content is known to be an image."""
        stem, suffix = Path(name).stem, Path(name).suffix
        folder = self.folder / DROPPED
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(1, 10_000):
            path = folder / (f"{stem}{f' ({number})' * (number > 1)}{suffix}")
            try:
                with path.open("xb") as file:
                    file.write(content)
                break
            except FileExistsError:
                if file_digest(path) == hashlib.sha256(content).hexdigest():
                    break
            except OSError as error:
                raise OutputError(f"{name}: cannot be stored ({error.strerror}); free disk space") from error
        self.scan()
        return next(photo for photo in self.photos.values() if photo.place == f"files/{path.name}")
