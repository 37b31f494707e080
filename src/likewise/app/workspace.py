"""The project that is open, with all that works on it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from likewise.app.answers import Answers
from likewise.app.events import Events
from likewise.app.exports import Exports
from likewise.app.listing import Listing
from likewise.app.photos import ConflictError, Photo, UnknownError
from likewise.app.project import Project
from likewise.app.selection import Selections
from likewise.app.suggestions import Suggestions
from likewise.app.training import Training
from likewise.errors import ArgumentError, LikewiseError
from likewise.io.paths import IMAGE_SUFFIXES, real, visible_entries


class Open:
    """An open project and what works on it.

    Raises:
        ConflictError: another server has it open.
    """

    def __init__(self, project: Project) -> None:
        self._only = FileLock(project.folder / "lock", thread_local=False)
        try:
            self._only.acquire(timeout=0)
        except Timeout as error:
            project.close()
            raise ConflictError(
                f"{project.folder}: another likewise app has this project open; use its page, or end it"
            ) from error
        self.project = project
        self.answers = Answers(project)
        self.listing = Listing(project, self.answers)
        self.selections = Selections(project, self.answers.few_shot.extractor)
        self.suggestions = Suggestions(project)
        self.exports = Exports(project, self.answers)
        self.training = Training(project)

    def progress(self) -> dict[str, tuple[int, int] | None]:
        """Return how far each task in the background is; None if it does not run."""
        return {
            "features": self.answers.features_done,
            "answers": self._answering(),
            "suggest": self.suggestions.task.progress,
            "export": self.exports.task.progress,
            "train": self.training.progress,
        }

    def _answering(self) -> tuple[int, int] | None:
        current = self.answers.current
        if not self.answers.is_current() and self.answers.learner.signature()[0]:
            return 0, len(self.project.present())
        return (current.done, current.total) if current.done < current.total else None

    def prepare(self, photo: Photo) -> None:
        """Prepare an image for marks, before the first one."""
        with contextlib.suppress(LikewiseError, OSError):
            self.selections.prepare_ahead(photo)

    def close(self) -> None:
        self.suggestions.task.stop()
        self.exports.task.stop()
        self.training.stop()
        self.answers.stop()
        self.project.close()
        self._only.release()


class Workspace:
    """What the server works on: at most one open project, in a folder under one of the roots.

    Args:
        roots: folders below which folders of images may be opened.
        project: folder of the project; None is inside the folder of images.
    """

    def __init__(self, roots: Sequence[Path], project: Path | None = None) -> None:
        self.roots = [real(root) for root in roots]
        self.project_folder = project
        self.events = Events()
        self._open: Open | None = None
        self._lock = threading.Lock()

    @property
    def open(self) -> Open:
        """The open project.

        Raises:
            ConflictError: no folder is open.
        """
        if self._open is None:
            raise ConflictError("no folder is open; open one with POST project")
        return self._open

    @property
    def is_open(self) -> bool:
        return self._open is not None

    def open_folder(self, folder: str | Path) -> Open:
        """Open a folder of images, and close the one before."""
        path = self.allowed(folder)
        if not path.is_dir():
            raise ArgumentError(f"{folder}: no such folder; choose one of the list")
        with self._lock:
            if self._open is not None and self._open.project.root == path:
                return self._open
            if self._open is not None:
                if self.project_folder is not None:
                    raise ConflictError("--project belongs to the folder that is open; start another likewise app")
                self._open.close()
                self._open = None
            self._open = Open(Project(path, self.project_folder, self.events))
            self._open.answers.start()
        self.events.send("revision", revision=self._open.project.revision, images=None, classes=True, reason="open")
        return self._open

    def allowed(self, folder: str | Path) -> Path:
        """Return the path without links.

        Raises:
            UnknownError: it is not below one of the roots.
        """
        path = None if "\0" in str(folder) else real(folder)
        if path is None or not any(path.is_relative_to(root) for root in self.roots):
            allowed = ", ".join(map(str, self.roots))
            raise UnknownError(f"{folder}: not below {allowed}; start likewise app with a folder above both")
        return path

    def folders(self, path: str | None) -> tuple[Path | None, list[tuple[Path, int]]]:
        """Return a folder without links and its subfolders with their numbers of images; None lists the roots."""
        if path is None:
            return None, [(root, count_images(root)) for root in self.roots]
        folder = self.allowed(path)
        if not folder.is_dir():
            raise UnknownError(f"{path}: no such folder; go up to one of the list")
        inner = [entry for entry in visible_entries(folder) if entry.is_dir() and not entry.is_symlink()]
        return folder, [(entry, count_images(entry)) for entry in inner]

    def close(self) -> None:
        self.events.close()
        with self._lock:
            if self._open is not None:
                self._open.close()
                self._open = None


def count_images(folder: Path) -> int:
    """Return the number of image files in a folder, without its subfolders."""
    return sum(entry.suffix.lower() in IMAGE_SUFFIXES for entry in visible_entries(folder))
