"""A project: a folder of images, and beside them what a person decided about each."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from likewise.app.events import Events
from likewise.app.masks import Labels, MaskFiles
from likewise.app.store import State, Store
from likewise.errors import ArgumentError, ImageError, LikewiseError, OutputError
from likewise.io.atomic import delete_parts
from likewise.io.images import read_size
from likewise.io.paths import find_images, natural_order, real
from likewise.viz.draw import MOST_CLASSES, palette
from likewise.weights import PRESENCE

PROJECT = ".likewise-app"
"""Name of the project's folder inside the folder of images."""
DATABASE, MASKS, DROPPED, CACHE = "project.sqlite", "masks", "files", "cache"
"""What is in it; all that is in the cache is computed again when it is deleted."""
DEFAULTS: dict[str, Any] = {"presence": PRESENCE, "edges": True}
"""Settings of a new project."""


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


@dataclass(frozen=True)
class Decision:
    """What a person decided about an image.

    Attributes:
        status: "new", "accepted", "edited" or "absent".
        mask: name of the label map in `MaskFiles`.
        example: whether the concept learns from it.
        areas: share of the image of each class id in the mask.
    """

    status: str = "new"
    mask: str | None = None
    example: bool = False
    areas: Mapping[int, float] = ()  # type: ignore[assignment]


@dataclass(frozen=True)
class ImageClass:
    """A class; its id is the value of its pixels in masks."""

    id: int
    name: str
    colour: str
    key: int


class Project:
    """Images and decisions in memory, and safely on disk. Several threads may use it.

    Args:
        root: the folder of images.
        folder: of the project; None is `PROJECT` inside the root.

    Raises:
        OutputError: the project's folder cannot be written.
    """

    def __init__(self, root: Path, folder: Path | None = None, events: Events | None = None) -> None:
        self.root = real(root)
        self.folder = real(folder or self.root / PROJECT)
        self.events = events or Events()
        self.store = Store(self.folder / DATABASE)
        self.masks = MaskFiles(self.folder / MASKS)
        delete_parts(self.folder)
        self.lock = threading.RLock()
        self.listener: Callable[[], None] = lambda: None
        self.revision = int(time.time())
        self.settings: dict[str, Any] = DEFAULTS | self.store.setting("settings", {})
        self.photos: dict[int, Photo] = {}
        self.decisions: dict[int, Decision] = {}
        self.classes: dict[int, ImageClass] = {}
        self._load()

    def _load(self) -> None:
        for row in self.store.images():
            self.photos[row["id"]] = Photo(**{**row, "missing": bool(row["missing"]), "seen": bool(row["seen"])})
        self._apply(self.store.states())

    def _apply(self, states: Mapping[str, State]) -> None:
        for key, value in states.items():
            kind, _, number = key.partition(":")
            known: dict[int, Any] = self.decisions if kind == "image" else self.classes
            if value is None:
                known.pop(int(number), None)
            elif kind == "image":
                areas = {int(id): share for id, share in value["areas"].items()}
                known[int(number)] = Decision(**{**value, "areas": areas})
            else:
                known[int(number)] = ImageClass(int(number), **value)

    def close(self) -> None:
        self.store.close()

    # images

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
        """Look for new, changed, moved and deleted images."""
        found: dict[str, tuple[str, Path]] = {}
        for prefix, folder in (("photos", self.root), ("files", self.folder / DROPPED)):
            try:
                files = (
                    find_images([folder], exclude=[self.folder] if prefix == "photos" else ())
                    if folder.is_dir()
                    else []
                )
            except ImageError:  # no image in the folder
                files = []
            found |= {f"{prefix}/{file.path.relative_to(folder).as_posix()}": (file.name, file.path) for file in files}
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
                    if other and digest_of(path) == other.digest:
                        updates[other.id] = {"name": name, "place": place, "modified": modified, "missing": 0}
                        del lost[size]
                    else:
                        new.append((name, place, size, modified))
                elif photo.missing or (photo.bytes, photo.modified) != (size, modified):
                    updates[photo.id] = {"missing": 0, "bytes": size, "modified": modified}
                    if photo.digest is None or digest_of(path) != photo.digest:
                        updates[photo.id] |= {"digest": None, "width": None, "height": None, "error": None}
            self.store.add_images(new)
            self.update_photos(updates)
            if new:
                self._load_new()
        if new or updates:
            self.changed("images", images=None)
            self.listener()

    def _load_new(self) -> None:
        for row in self.store.images():
            if row["id"] not in self.photos:
                self.photos[row["id"]] = Photo(**{**row, "missing": bool(row["missing"]), "seen": bool(row["seen"])})

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
            if len(updates) == 500 or photo is waiting[-1]:
                self.update_photos(updates)
                updates = {}
                self.changed("images", images=None)

    def update_photos(self, updates: Mapping[int, Mapping[str, Any]]) -> None:
        """Change columns of images, on disk and in memory. A mask that does not fit its changed image is taken away."""
        if not updates:
            return
        with self.lock:
            self.store.update_images(updates.items())
            for id, columns in updates.items():
                flags = {name: bool(columns[name]) for name in ("missing", "seen") if name in columns}
                self.photos[id] = replace(self.photos[id], **{**columns, **flags})
            unfit: dict[str, State] = {}
            for id, columns in updates.items():
                decision, photo = self.decisions.get(id), self.photos[id]
                resized = "width" in columns and photo.width and decision and decision.mask
                if resized and self.masks.get(resized).shape != (photo.height, photo.width):
                    unfit[f"image:{id}"] = None
            if unfit:
                self.step("drop masks of changed images", unfit)

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
                if digest_of(path) == hashlib.sha256(content).hexdigest():
                    break
            except OSError as error:
                raise OutputError(f"{name}: cannot be stored ({error.strerror}); free disk space") from error
        self.scan()
        return next(photo for photo in self.photos.values() if photo.place == f"files/{path.name}")

    # steps of history

    def step(self, label: str, states: Mapping[str, State]) -> None:
        """Make a step that undo takes back."""
        with self.lock:
            self.store.change(label, states)
            self._apply(states)
        self._after(label, states)

    def turn(self, *, redo: bool) -> tuple[str, list[int]]:
        """Undo the last step, or do it again; returns its label and the images that it concerns.

        Raises:
            ConflictError: there is no such step.
        """
        with self.lock:
            step = self.store.redo() if redo else self.store.undo()
            if step is None:
                raise ConflictError(f"nothing to {'do again' if redo else 'undo'}")
            self._apply(step.states)
        return step.label, self._after(f"{'redo' if redo else 'undo'} {step.label}", step.states)

    def _after(self, label: str, states: Iterable[str]) -> list[int]:
        images = [int(key.partition(":")[2]) for key in states if key.startswith("image:")]
        self.changed(label, images=images, classes=len(images) < len(list(states)))
        self.listener()
        return images

    def changed(self, reason: str, *, images: list[int] | None, classes: bool = False) -> None:
        """Count a revision, and tell every page."""
        with self.lock:
            self.revision += 1
        self.events.send("revision", revision=self.revision, images=images, classes=classes, reason=reason)

    # decisions

    def decision(self, id: int) -> Decision:
        return self.decisions.get(id, Decision())

    def accept(self, id: int, labels: Labels, status: str, *, example: bool) -> None:
        """Store the mask of an image."""
        photo = self.photo(id)
        if labels.shape != self.size(photo):
            raise ArgumentError(
                f"{photo.name}: the mask is {labels.shape}, the image {self.size(photo)} (height, width)"
            )
        labels = self.known_labels(labels)
        label = "accept mask" if status == "accepted" else "edit mask"
        self.step(label, {f"image:{id}": _state(status, self.masks.put(labels), example, self.areas(labels))})

    def mark_absent(self, id: int, *, example: bool) -> None:
        """Decide that none of the classes is in an image."""
        self.step("mark as absent", {f"image:{self.photo(id).id}": _state("absent", None, example, {})})

    def reset(self, id: int) -> None:
        """Take the decision back, so that the image has the computed mask again."""
        if self.decision(self.photo(id).id).status != "new":
            self.step("reset image", {f"image:{id}": None})

    def set_example(self, id: int, *, example: bool) -> None:
        """Let the concept learn from a decided image, or not.

        Raises:
            ConflictError: nothing is decided about it.
        """
        decision = self.decision(self.photo(id).id)
        if decision.status == "new":
            raise ConflictError(f"{self.photo(id).name} has no mask that a person accepted; accept or draw one first")
        if decision.example != example:
            state = _state(decision.status, decision.mask, example, decision.areas)
            self.step("add example" if example else "take out example", {f"image:{id}": state})

    def mask(self, id: int) -> Labels | None:
        """Return the accepted mask of an image; None if it has none. Pixels of deleted classes are background."""
        decision = self.decision(id)
        if decision.status == "absent":
            return np.zeros(self.size(self.photo(id)), np.uint8)
        return self.known_labels(self.masks.get(decision.mask)) if decision.mask else None

    def known_labels(self, labels: Labels) -> Labels:
        """Return the label map with the pixels of unknown classes as background."""
        table = np.zeros(256, np.uint8)
        table[list(self.classes)] = list(self.classes)
        return table[labels]

    @staticmethod
    def areas(labels: Labels) -> dict[int, float]:
        """Return the share of the image of each class."""
        counts = np.bincount(labels.ravel(), minlength=1)
        return {int(id): float(counts[id] / labels.size) for id in np.flatnonzero(counts) if id}

    # classes

    def class_(self, id: int) -> ImageClass:
        """Return a class.

        Raises:
            UnknownError: no such class.
        """
        if id not in self.classes:
            raise UnknownError(f"no class {id} in the project; it has {sorted(self.classes) or 'none'}")
        return self.classes[id]

    def add_class(self, name: str, colour: str | None = None) -> ImageClass:
        """Add a class; its id was never used before.

        Raises:
            ConflictError: the name is used, or 254 classes were.
        """
        with self.lock:
            self._check_name(name)
            id = self.store.setting("last class", 0) + 1
            if id > MOST_CLASSES:
                raise ConflictError(f"{MOST_CLASSES} classes were used, and masks have no value for more; rename one")
            self.store.set_setting("last class", id)
            red, green, blue = palette(id)[-1]
            keys = {one.key for one in self.classes.values()}
            key = next((key for key in range(1, 10) if key not in keys), 0)
            self.step(
                "add class",
                {f"class:{id}": {"name": name, "colour": colour or f"#{red:02x}{green:02x}{blue:02x}", "key": key}},
            )
            return self.classes[id]

    def change_class(self, id: int, **changes: Any) -> ImageClass:
        """Rename a class, or change its colour or key; a key that another class has is exchanged with it."""
        with self.lock:
            old = self.class_(id)
            if changes.get("name", old.name) != old.name:
                self._check_name(changes["name"])
            new = replace(old, **changes)
            states: dict[str, State] = {f"class:{id}": _class_state(new)}
            for other in self.classes.values():
                if new.key and other.id != id and other.key == new.key:
                    states[f"class:{other.id}"] = _class_state(replace(other, key=old.key))
            self.step("change class", states)
            return self.classes[id]

    def delete_class(self, id: int) -> None:
        """Delete a class; its pixels in masks become background."""
        self.step("delete class", {f"class:{self.class_(id).id}": None})

    def _check_name(self, name: str) -> None:
        if name in {one.name for one in self.classes.values()}:
            raise ConflictError(f"there is a class {name!r} already; choose another name")

    def change_settings(self, settings: Mapping[str, Any]) -> None:
        with self.lock:
            self.settings = {**self.settings, **settings}
            self.store.set_setting("settings", self.settings)
        self.changed("settings", images=None)
        self.listener()

    def present(self) -> list[Photo]:
        """Return the images that are there, in natural order of names."""
        with self.lock:
            photos = [photo for photo in self.photos.values() if not photo.missing]
        return sorted(photos, key=lambda photo: natural_order(photo.name))


def _state(status: str, mask: str | None, example: bool, areas: Mapping[int, float]) -> State:
    return {
        "status": status,
        "mask": mask,
        "example": example,
        "areas": {str(id): share for id, share in areas.items()},
    }


def _class_state(one: ImageClass) -> State:
    return {"name": one.name, "colour": one.colour, "key": one.key}


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
