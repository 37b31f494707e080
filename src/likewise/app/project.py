"""A project: a folder of images, and beside them what a person decided about each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from likewise.app.events import Events
from likewise.app.masks import Labels, MaskFiles
from likewise.app.photos import DATABASE, MASKS, PROJECT, ConflictError, Photos, UnknownError
from likewise.app.store import State, Store
from likewise.errors import ArgumentError
from likewise.io.atomic import delete_parts
from likewise.io.components import label_pieces
from likewise.io.labels import MOST_CLASSES
from likewise.io.paths import real
from likewise.viz.draw import palette
from likewise.weights import PRESENCE

DEFAULTS: dict[str, Any] = {"presence": PRESENCE, "edges": True}
"""Settings of a new project."""


@dataclass(frozen=True)
class Decision:
    """What a person decided about an image.

    Attributes:
        status: "new", "accepted", "edited" or "absent".
        mask: name of the label map in `MaskFiles`.
        example: whether the concept learns from it.
        size: height and width of the mask.
        pieces: pixels of each connected piece of each class id in it.
    """

    status: str = "new"
    mask: str | None = None
    example: bool = False
    size: list[int] = field(default_factory=list)
    pieces: Mapping[int, list[int]] = field(default_factory=dict)

    @property
    def areas(self) -> dict[int, float]:
        """Share of the image of each class id in the mask."""
        return {id: sum(own) / (self.size[0] * self.size[1]) for id, own in self.pieces.items()}


@dataclass(frozen=True)
class ImageClass:
    """A class; its id is the value of its pixels in masks."""

    id: int
    name: str
    colour: str
    key: int


class Project(Photos):
    """Images and decisions in memory, and safely on disk. Several threads may use it.

    Args:
        root: the folder of images.
        folder: of the project; None is `PROJECT` inside the root.

    Attributes:
        concepts: class ids of the rows of each concept file that was opened, by its digest.

    Raises:
        ConflictError: the project is that of another folder, which is still there.
        OutputError: the project's folder cannot be written.
    """

    def __init__(self, root: Path, folder: Path | None = None, events: Events | None = None) -> None:
        root, folder = real(root), real(folder or root / PROJECT)
        before = root_of(folder)
        if before is not None and before != root and before.is_dir():
            raise ConflictError(f"{folder}: the project of {before}; choose another --project for {root}")
        super().__init__(root, folder, events or Events())
        if before != root:
            self.store.set_setting("root", str(root))
        self.masks = MaskFiles(self.folder / MASKS)
        delete_parts(self.folder)
        self.settings: dict[str, Any] = DEFAULTS | self.store.setting("settings", {})
        self.decisions: dict[int, Decision] = {}
        self.classes: dict[int, ImageClass] = {}
        self.concepts: dict[str, list[int]] = {}
        self._apply(self.store.states())

    def _apply(self, states: Mapping[str, State]) -> None:
        for key, value in states.items():
            kind, _, name = key.partition(":")
            kinds: dict[str, dict[Any, Any]] = {
                "image": self.decisions,
                "class": self.classes,
                "concept": self.concepts,
            }
            known = kinds[kind]
            id = name if kind == "concept" else int(name)
            if value is None:
                known.pop(id, None)
            elif kind == "image":
                pieces = {int(own): sizes for own, sizes in value["pieces"].items()}
                known[id] = Decision(**{**value, "pieces": pieces})
            elif kind == "class":
                known[id] = ImageClass(id=int(name), **value)
            else:
                known[id] = value["classes"]

    def close(self) -> None:
        self.store.close()

    def drop_unfit_masks(self) -> None:
        """Take masks away that do not fit their images any more, since these have changed; undo brings them back."""
        unfit: dict[str, State] = {}
        for id, decision in list(self.decisions.items()):
            photo = self.photos.get(id)
            if photo and photo.width and decision.mask and decision.size != [photo.height, photo.width]:
                unfit[f"image:{id}"] = None
        if unfit:
            self.step("drop masks of changed images", unfit)

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
        label = "accept mask" if status == "accepted" else "edit mask"
        self.step(label, {f"image:{id}": mask_state(self, labels, status, example=example)})

    def mark_absent(self, id: int, *, example: bool) -> None:
        """Decide that none of the classes is in an image."""
        self.step("mark as absent", {f"image:{self.photo(id).id}": _state(Decision("absent", None, example))})

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
            label = "add example" if example else "take out example"
            self.step(label, {f"image:{id}": _state(replace(decision, example=example))})

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


def root_of(folder: Path) -> Path | None:
    """Return the folder of images that a project's folder belongs to; None if it holds no project.

    Raises:
        OutputError: its database cannot be read.
    """
    if not (folder / DATABASE).is_file():
        return None
    store = Store(folder / DATABASE)
    root = store.setting("root")
    store.close()
    return None if root is None else Path(root)


def mask_state(project: Project, labels: Labels, status: str, *, example: bool) -> State:
    """Store a label map, and return the state of an image with this mask."""
    labels = project.known_labels(labels)
    numbers = label_pieces(labels)
    sizes = np.bincount(numbers.ravel())
    first = np.zeros(len(sizes), np.uint8)
    first[numbers.ravel()] = labels.ravel()
    pieces = {int(id): sizes[1:][first[1:] == id].tolist() for id in np.unique(first[1:])}
    return _state(Decision(status, project.masks.put(labels), example, list(labels.shape), pieces))


def _state(decision: Decision) -> State:
    return {**vars(decision), "pieces": {str(id): sizes for id, sizes in decision.pieces.items()}}


def _class_state(one: ImageClass) -> State:
    return {"name": one.name, "colour": one.colour, "key": one.key}
