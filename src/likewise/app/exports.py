"""Take it with you: masks and annotations in every format, and the concept."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from likewise.app.answers import Answers
from likewise.app.masks import Labels
from likewise.app.photos import ConflictError, Photo
from likewise.app.project import Project
from likewise.app.tasks import Task
from likewise.errors import ArgumentError
from likewise.io.atomic import write_atomically
from likewise.io.images import ScaledImage
from likewise.io.paths import ImageFile
from likewise.jobs.pipeline import Report, process_images
from likewise.jobs.records import has_records
from likewise.jobs.writers import check_formats
from likewise.predict.concept import Concept
from likewise.predict.edges import LARGEST
from likewise.predict.result import Result

FOLDER = "exports"
"""Folder of the project that holds the last zip and the last concept."""


class Exports:
    """Exports of a project.

    Attributes:
        report: of the last export.
        path: where it is.
    """

    def __init__(self, project: Project, answers: Answers) -> None:
        self.project, self.answers = project, answers
        self.task = Task("export", project.events)
        self.report: Report | None = None
        self.path: Path | None = None

    def start(self, formats: Sequence[str], which: str, out: Path | None) -> None:
        """Write formats of `likewise.jobs.writers` in the background; `out` of None makes a zip.

        Raises:
            ArgumentError: an unknown format, or no class.
            ConflictError: nothing is accepted, or an export is running.
        """
        formats = check_formats(formats)
        classes = sorted(self.project.classes.values(), key=lambda one: one.id)
        if not classes:
            raise ArgumentError("there is no class to export; add one, and an example")
        photos = [photo for photo in self.project.present() if not photo.error]
        if which == "accepted":
            photos = [photo for photo in photos if self.project.decision(photo.id).status != "new"]
        if not photos:
            raise ConflictError("no image is accepted; accept some, or export all")
        self.task.start(lambda: self._export(photos, formats, [one.id for one in classes], out))

    def _export(self, photos: Sequence[Photo], formats: Sequence[str], ids: Sequence[int], out: Path | None) -> None:
        self.report = self.path = None
        folder = out or self.project.folder / FOLDER / "files"
        if out is None:
            shutil.rmtree(folder, ignore_errors=True)
        by_path = {self.project.path(photo): photo for photo in photos}
        files = [ImageFile(path, photo.name) for path, photo in by_path.items()]
        current = self.answers.current
        names = tuple(self.project.classes[id].name for id in ids)

        def segment(image: ScaledImage, file: ImageFile) -> Result:
            photo = by_path[file.path]
            accepted = self.project.mask(photo.id)
            if accepted is not None:
                return accepted_result(accepted, ids, names, image)
            if current.network is not None or current.segmenter is None:
                return accepted_result(self.answers.labels(photo.id), ids, names, image)
            return for_classes(current.segmenter(image), current.classes, ids, names)

        self.report = process_images(
            files,
            segment,
            folder,
            short=LARGEST,
            formats=formats,
            classes=names,
            settings={"app": self.project.folder.name},
            force=has_records(folder),  # an export of before, not files of other programs
            progress=self.task.report,
        )
        self.path = folder if out is not None else self._zip(folder)

    def _zip(self, folder: Path) -> Path:
        path = folder.parent / "export.zip"
        with write_atomically(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
            for entry in sorted(folder.rglob("*")):
                inner = entry.relative_to(folder)
                if entry.is_file() and not inner.parts[0].startswith("."):
                    file.write(entry, inner.as_posix())
        shutil.rmtree(folder, ignore_errors=True)
        return path

    def concept(self) -> Path:
        """Return the file of the concept, with the names of the classes.

        Raises:
            ConflictError: there is no example.
        """
        current = self.answers.current
        if current.segmenter is None:
            raise ConflictError("there is no concept yet; add an example")
        path = self.project.folder / FOLDER / f"{self.project.root.name or 'photos'}.concept"
        path.parent.mkdir(parents=True, exist_ok=True)
        named(current.segmenter.concept, self.project).save(path)
        return path

    def command(self) -> str:
        """Return the command that segments another folder in the same way.

        Raises:
            ConflictError: there is no example.
        """
        path, settings = self.concept(), self.project.settings
        how = f"--quality fast --presence {settings['presence']:g}" + ("" if settings["edges"] else " --no-edges")
        return f'likewise segment OTHER/ --like "{path}" {how} -o masks/'


def named(concept: Concept, project: Project) -> Concept:
    """Return a concept of class ids with the names of the classes, of those that still exist."""
    for id in [id for id in concept.classes if int(id) not in project.classes]:
        concept = concept.without(id)
    return replace(concept, classes=tuple(project.classes[int(id)].name for id in concept.classes))


def accepted_result(labels: Labels, ids: Sequence[int], names: tuple[str, ...], image: ScaledImage) -> Result:
    """Return an accepted mask as a result that is sure."""
    table = np.zeros(256, np.uint8)
    table[list(ids)] = np.arange(1, len(ids) + 1)
    labels = table[labels]
    there = tuple(float((labels == index).any()) for index in range(1, len(ids) + 1))
    return Result(labels, (labels > 0).astype(np.float32), names, there, there, image)


def for_classes(result: Result, own: Sequence[int], ids: Sequence[int], names: tuple[str, ...]) -> Result:
    """Return a result whose labels are of all classes of the project."""
    table = np.zeros(256, np.uint8)
    for index, id in enumerate(own, start=1):
        table[index] = ids.index(id) + 1 if id in ids else 0
    presences = dict(zip(own, result.presences or (1.0,) * len(own), strict=True))
    qualities = dict(zip(own, result.expected_ious, strict=True))
    return replace(
        result,
        labels=table[result.labels],
        classes=names,
        presences=tuple(presences.get(id, 0.0) for id in ids),
        expected_ious=tuple(qualities.get(id, 0.0) for id in ids),
    )
