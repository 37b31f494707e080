"""Projects: annotations on disk become examples, and examples one concept a project.

project/annotations/12.json -> project/examples/12-....concept -> project/project.concept -> segmenter
"""

from __future__ import annotations

import hashlib
import logging
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from cachetools import TTLCache
from filelock import FileLock, Timeout

from likewise.errors import ArgumentError, ConceptError, DataSetError, LikewiseError, counted
from likewise.io.annotations import AnnotatedImage, Annotations
from likewise.io.annotations.label_studio import KINDS, read_results
from likewise.io.images import read_image
from likewise.predict.concept import Concept
from likewise.predict.dataset import as_dataset
from likewise.predict.examples import Example
from likewise.predict.few_shot import FewShot
from likewise.predict.segmenter import Segmenter
from likewise.predict.selector import Selector
from likewise.serve.label_studio.errors import UnknownProjectError
from likewise.serve.label_studio.images import Images
from likewise.serve.label_studio.records import INTERFACE, Record, Records

log = logging.getLogger(__name__)

CONCEPT, EXAMPLES = "project.concept", "examples"
KEPT, KEPT_SECONDS = 8, 600
"""Images that stay prepared for smart regions, and for how long: the file at an address may change."""


class Project:
    """One project. Several threads may request masks; one thread learns its annotations.

    Args:
        folder: of this project alone; its name is that of the project.
    """

    def __init__(self, folder: Path, few_shot: FewShot) -> None:
        self.folder, self.few_shot = folder, few_shot
        self.records = Records(folder)
        self.segmenter: Segmenter | None = None
        self._parts: dict[str, Concept] = {}
        path = folder / CONCEPT
        if path.is_file():
            try:
                self.segmenter = few_shot.prepare(Concept.load(path))
            except ConceptError as error:
                log.warning("%s: is learned again: %s", path, error)

    @property
    def version(self) -> str:
        """The name of the concept in Label Studio; it changes with what was learned."""
        return version_of(self.segmenter)

    def learn(self, images: Images) -> None:
        """Learn the concept of all annotations; what was learned before is read from disk.

        An annotation that cannot be learned stays on disk, and is tried again at the next call.
        """
        parts: dict[str, Concept] = {}
        records = self.records.all()
        classes = sorted({name for record in records for name in classes_in(record)})
        for record in records:
            try:
                parts |= self._parts_of(record, classes, images)
            except LikewiseError as error:
                log.warning("project %s, annotation %d is no example yet: %s", self.folder.name, record.id, error)
        self._parts = parts
        own = list(parts.values())
        concept = own[0].merged(*own[1:]).without_unshown() if own else None
        if concept is None:
            self.segmenter = None
            (self.folder / CONCEPT).unlink(missing_ok=True)
        else:
            concept = self.few_shot.fold(concept)
            concept.save(self.folder / CONCEPT)
            self.segmenter = self.few_shot.prepare(concept)
        for path in (self.folder / EXAMPLES).glob("*.concept"):
            if path.stem not in parts:
                path.unlink(missing_ok=True)
        log.info("project %s: %s", self.folder.name, concept or "no examples")

    def _parts_of(self, record: Record, classes: Sequence[str], images: Images) -> dict[str, Concept]:
        """Return the concept of one annotation, by its name; a submitted one without results is a negative."""
        key = f"{record.id}-{record.digest}"
        if not record.results:
            key += f"-{hashlib.sha256(repr(classes).encode()).hexdigest()[:8]}"
        if known := self._parts.get(key):
            return {key: known}
        path = self.folder / EXAMPLES / f"{key}.concept"
        if path.is_file():
            try:
                concept = Concept.load(path)
                concept.check(
                    self.few_shot.model_name,
                    self.few_shot.backbone_name,
                    self.few_shot.fingerprint,
                    self.few_shot.side,
                )
                return {key: concept}
            except ConceptError as error:
                log.warning("%s: is learned again: %s", path, error)
        examples = list(examples_of(record, classes, images))
        if not examples:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            concept = self.few_shot.learn(examples)
        label = f"{PurePosixPath(record.image).name}, annotation {record.id}"
        concept = replace(concept, names=(label,) * len(concept))
        concept.save(path)
        return {key: concept}


def version_of(segmenter: Segmenter | None) -> str:
    """Return the name of a concept in Label Studio: the number of its examples, and digits of what was learned."""
    if segmenter is None:
        return "likewise, no examples"
    concept = segmenter.concept
    count = sum(map(concept.examples_at, range(len(concept))))
    return f"likewise, {counted(count, 'example')}, {concept.digest()[:6]}"


def classes_in(record: Record) -> set[str]:
    """Return the classes of the results of an annotation that have a shape."""
    values = [value for one in record.results if isinstance(value := one.get("value"), dict)]
    names = [value.get(key) for value in values for key in KINDS.values()]
    return {str(name[0]) for name in names if isinstance(name, list) and name}


def examples_of(record: Record, classes: Sequence[str], images: Images) -> Iterator[Example]:
    """Yield the examples in an annotation: one of each class in it; without results negatives of `classes`.

    Raises:
        LikewiseError: the image or the annotation cannot be read.
    """
    if record.results and not classes_in(record):
        return
    content = images.read(record.image)
    image = read_image(content)
    size = image.shape[0], image.shape[1]
    if not record.results:
        yield from (Example(image, absent=True, class_name=name) for name in classes)
        return
    for one in record.results:
        stated = one.get("original_height"), one.get("original_width")
        if stated != size:
            raise DataSetError(
                f"the annotation is of an image of {stated[1]}x{stated[0]} pixels, but {record.image} has "
                f"{size[1]}x{size[0]}; the image was replaced: annotate it again"
            )
        if one.get("image_rotation"):
            raise DataSetError("the image was turned in the editor; turn it back, and save the annotation again")
    objects, _ = read_results(record.results, f"annotation {record.id}")
    found = AnnotatedImage(record.image, objects, content, size)
    for example in as_dataset(Annotations([found], tuple(sorted({one.class_name for one in objects})))):
        yield replace(example, image=image)


class Projects:
    """All projects of a folder, which one server at a time uses, and the thread that teaches them.

    Raises:
        ArgumentError: another server uses the folder, or it is a file.
    """

    def __init__(self, folder: Path, few_shot: FewShot, images: Images) -> None:
        self.folder, self.few_shot, self.images = folder, few_shot, images
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise ArgumentError(f"{folder}: is a file; name a folder for the projects") from error
        self._only = FileLock(folder / "lock", thread_local=False)
        try:
            self._only.acquire(timeout=0)
        except Timeout as error:
            raise ArgumentError(f"{folder}: another server uses this folder; end it, or name another one") from error
        self._projects: dict[str, Project] = {}
        self._selectors: TTLCache[tuple[str, str], Selector] = TTLCache(KEPT, KEPT_SECONDS)
        self._lock = threading.RLock()

    def project(self, name: str, *, connect: str | None = None) -> Project:
        """Return a project.

        Args:
            connect: the labelling interface of a project that may be new.

        Raises:
            UnknownProjectError: it was not connected.
        """
        with self._lock:
            folder = self.folder / name
            if connect is None and not (folder / INTERFACE).is_file():
                raise UnknownProjectError(
                    f"project {name} is not connected to this backend; open its Settings, Model, and save the backend "
                    "again"
                )
            if name not in self._projects:
                self._projects[name] = Project(folder, self.few_shot)
            if connect is not None:
                self._projects[name].records.connect(connect)
            return self._projects[name]

    def opened(self) -> list[Project]:
        """Return the projects that were asked for since the start."""
        with self._lock:
            return list(self._projects.values())

    def selector(self, project: Project, address: str) -> Selector:
        """Return what makes masks of an image; the last few images stay prepared."""
        key = project.folder.name, address
        with self._lock:
            known = self._selectors.get(key)
        if known is None:
            known = Selector(self.images.read(address), extractor=self.few_shot.extractor)
            with self._lock:
                self._selectors[key] = known
        return known

    def warm(self) -> None:
        """Load the network of smart regions before the first one."""
        Selector(np.zeros((64, 64, 3), np.uint8), extractor=self.few_shot.extractor).mask(points=[(32, 32)])

    def close(self) -> None:
        self._only.release()
