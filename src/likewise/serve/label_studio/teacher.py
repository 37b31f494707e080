"""The thread that teaches projects: requests are answered at once, and what they brought is learned after."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import replace

from likewise.errors import LikewiseError
from likewise.serve.label_studio.errors import FetchError
from likewise.serve.label_studio.projects import Project, Projects
from likewise.serve.label_studio.records import Record, record_of

log = logging.getLogger(__name__)

PAGE, LARGEST_PAGE = 50, 512 << 20
"""Tasks that are asked for at once, and bytes of the answer."""


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
                log.warning("project %s: %s", name, error)
            except Exception:  # the thread outlives a bug; what was sent is on disk
                log.exception("project %s", name)

    def _pull(self, project: Project) -> None:
        """Read all annotations of a project from Label Studio, since some may have come while the backend was off."""
        client = self.projects.images.client
        if client.token is None:
            log.info("project %s: set LABEL_STUDIO_API_KEY to read earlier annotations", project.folder.name)
            return
        interface = project.records.interface
        known = {record.id: record for record in project.records.all()}
        found: list[Record] = []
        try:
            for page in range(1, 1 << 31):
                number = project.folder.name.partition(".")[0]
                address = f"/api/tasks/?project={number}&fields=all&page={page}&page_size={PAGE}"
                answer = json.loads(client.get(address, LARGEST_PAGE))
                found += [record_of(one, task, interface) for task in answer["tasks"] for one in task["annotations"]]
                if page * PAGE >= answer["total"]:
                    break
        except (ValueError, LookupError, TypeError) as error:
            if isinstance(error, LikewiseError):
                raise
            raise FetchError(f"{client.host}: does not list tasks as Label Studio does ({error!r})") from error
        gone = [replace(known[id], counts=False) for id in known.keys() - {record.id for record in found}]
        project.records.put([*found, *gone])
