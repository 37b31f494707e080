"""The thread that learns annotations: requests are answered at once, and their annotations are learned after."""

from __future__ import annotations

import json
import logging
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from likewise.errors import LikewiseError
from likewise.serve.label_studio.projects import Project, Projects
from likewise.serve.label_studio.records import Record, record_of

log = logging.getLogger(__name__)

PAGE, LARGEST_PAGE = 50, 512 << 20
"""Tasks that are asked for at once, and bytes of the answer."""
ANNOTATED = {"filter": "filter:tasks:total_annotations", "operator": "greater", "type": "Number", "value": 0}
"""The tasks with annotations, as the Data Manager filters them."""


class Teacher:
    """Learns the concepts of projects, one after the other, in a thread of its own."""

    def __init__(self, projects: Projects) -> None:
        self.projects = projects
        self._asked: dict[str, bool] = {}
        self._working = self._stopped = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="teacher", daemon=True)
        self._thread.start()

    def ask(self, name: str, *, pull: bool = False) -> None:
        """Have the annotations of a project learned soon; with `pull` read them from Label Studio before."""
        with self._changed:
            self._asked[name] = self._asked.get(name, False) or pull
            self._changed.notify()

    @property
    def waiting(self) -> int:
        """The number of projects that are learned or wait for it."""
        with self._changed:
            return len(self._asked) + self._working

    def close(self) -> None:
        """End after the project that is learned now."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._working = False
                self._changed.wait_for(lambda: self._asked or self._stopped)
                if self._stopped:
                    return
                name = next(iter(self._asked))
                pull, self._working = self._asked.pop(name), True
            try:
                project = self.projects.project(name)
                if pull:
                    self._pull(project)
                project.learn(self.projects.images)
            except LikewiseError as error:
                log.warning("project %s is not learned: %s", name, error)
            except Exception:  # the thread outlives a bug; what was sent is on disk
                log.exception("project %s", name)

    def _pull(self, project: Project) -> None:
        """Read all annotations of a project from Label Studio, since some may have come while the backend was off."""
        name = project.folder.name
        if self.projects.images.client.token is None:
            log.info("project %s: set LABEL_STUDIO_API_KEY to read earlier annotations", name)
            return
        known = {record.id: record for record in project.records.all()}
        try:
            interface, found = project.records.interface, list[Record]()
            for task in self._annotated(name.partition(".")[0]):
                for annotation in task["annotations"]:
                    known.pop(annotation["id"], None)
                    found.append(record_of(annotation, task, interface))
        except (LookupError, TypeError, ValueError) as error:
            reason = error if isinstance(error, LikewiseError) else f"no list of tasks ({error!r})"
            log.warning("project %s: earlier annotations are not read: %s", name, reason)
            return
        project.records.put([*found, *(replace(gone, counts=False) for gone in known.values())])

    def _annotated(self, number: str) -> Iterator[dict[str, Any]]:
        """Yield the tasks of a project that have annotations."""
        query = urllib.parse.quote(json.dumps({"filters": {"conjunction": "and", "items": [ANNOTATED]}}))
        address, page, left = f"/api/tasks/?project={number}&fields=all&query={query}&page_size={PAGE}", 0, True
        while left:
            page += 1
            answer = json.loads(self.projects.images.client.get(f"{address}&page={page}", LARGEST_PAGE))
            yield from answer["tasks"]
            left = bool(answer["tasks"]) and page * PAGE < answer["total"]
