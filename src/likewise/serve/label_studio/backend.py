"""What the endpoints of the backend do.

webhook -> record on disk -> answer; later: image, example, concept
predict -> smart regions -> selector -> mask | tasks -> segmenter -> masks and presence
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from likewise.errors import LikewiseError
from likewise.serve.label_studio.errors import PayloadError
from likewise.serve.label_studio.interface import Interface, parse_interface
from likewise.serve.label_studio.projects import Project, Projects, version_of
from likewise.serve.label_studio.records import number_of, project_id, record_of
from likewise.serve.label_studio.regions import prediction_of, suggest
from likewise.serve.label_studio.teacher import Teacher

log = logging.getLogger(__name__)

SECONDS = 80.0
"""Seconds after which the tasks of one request that are left get no predictions; Label Studio waits for 100."""

Payload = dict[str, Any]


class Backend:
    """What the endpoints do. Several threads may use it."""

    def __init__(self, projects: Projects) -> None:
        self.projects, self.teacher = projects, Teacher(projects)
        self._pulled: set[str] = set()

    def setup(self, payload: Payload) -> Payload:
        """Connect a project, and name its concept."""
        name = project_id(payload.get("project"))
        parse_interface(payload.get("schema"))
        project = self.projects.project(name, connect=payload["schema"])
        if name not in self._pulled:
            self._pulled.add(name)
            self.teacher.ask(name, pull=True)
        return {"model_version": project.version}

    def predict(self, payload: Payload) -> Payload:
        """Return predictions of tasks; a task whose image cannot be read has none.

        Raises:
            LikewiseError: no image can be read.
        """
        project, interface, tasks = self._asked(payload)
        segmenter, version = project.segmenter, version_of(project.segmenter)
        end, results, failures = time.monotonic() + SECONDS, list[Any](), list[LikewiseError]()
        for task in tasks:
            if time.monotonic() > end:
                log.warning(
                    "%d of %d tasks in %.0f seconds; retrieve the rest again", len(results), len(tasks), SECONDS
                )
                break
            try:
                address = interface.address(task)
                found: Payload = {"result": [], "score": 0.0}
                if segmenter is not None:
                    found = prediction_of(segmenter(self.projects.images.read(address)), interface)
                results.append(found | {"model_version": version})
            except LikewiseError as error:
                log.warning("task %s has no prediction: %s", task.get("id"), error)
                failures.append(error)
                results.append([])
        if failures and len(failures) == len(tasks):
            raise failures[0]
        return {"results": results + [[]] * (len(tasks) - len(results)), "model_version": version}

    def suggest(self, payload: Payload) -> Payload:
        """Return the regions that smart regions mark in one task."""
        project, interface, tasks = self._asked(payload)
        context = payload["params"]["context"]
        regions = context.get("result") if isinstance(context, dict) else None
        if not isinstance(regions, list) or len(tasks) != 1:
            raise PayloadError("smart regions come as a list, with one task")
        found = []
        if regions:
            found = suggest(self.projects.selector(project, interface.address(tasks[0])), regions, interface)
        return {"results": [{"result": found, "model_version": project.version}], "model_version": project.version}

    def _asked(self, payload: Payload) -> tuple[Project, Interface, list[Payload]]:
        tasks = payload.get("tasks")
        if not isinstance(tasks, list) or not tasks or not all(isinstance(task, dict) for task in tasks):
            raise PayloadError("a request for predictions has a list of one or more tasks")
        project = self.projects.project(project_id(payload.get("project")))
        return project, parse_interface(payload.get("label_config")), tasks

    def webhook(self, payload: Payload) -> Payload:
        """Keep what happened in a project on disk, and learn from it later. The same message twice is one."""
        action = payload.get("action")
        if not isinstance(action, str):
            raise PayloadError("a webhook has an action, such as ANNOTATION_CREATED")
        if action not in ACTIONS:
            return {"status": "ignored"}
        stated = payload.get("project")
        name = project_id(stated)
        project = self.projects.project(name)
        if isinstance(stated, dict) and "label_config" in stated:
            parse_interface(stated["label_config"])
            project.records.connect(stated["label_config"])
        if ACTIONS[action](project, payload) or action == "START_TRAINING":
            self.teacher.ask(name, pull=action == "START_TRAINING")
        return {"status": "ok"}

    def versions(self, name: str | None) -> Payload:
        """Name the concept of a project, or the concepts of all projects that are open."""
        opened = [self.projects.project(project_id(name))] if name is not None else self.projects.opened()
        return {"versions": [project.version for project in opened]}

    def close(self) -> None:
        self.teacher.close()
        self.projects.close()


def keep(project: Project, payload: Payload) -> bool:
    """Keep new and changed annotations, one or several."""
    annotations, tasks = payload.get("annotation"), payload.get("task")
    if not isinstance(annotations, list):
        annotations, tasks = [annotations], [tasks]
    if not isinstance(tasks, list) or len(tasks) != len(annotations):
        raise PayloadError("annotations come with as many tasks")
    interface = project.records.interface
    return project.records.put(
        [record_of(annotation, task, interface) for annotation, task in zip(annotations, tasks, strict=True)]
    )


def delete(project: Project, payload: Payload) -> bool:
    """Forget annotations."""
    return project.records.delete(ids_in(payload, "annotations"))


def delete_tasks(project: Project, payload: Payload) -> bool:
    """Forget the annotations of tasks."""
    return project.records.delete(project.records.of_tasks(ids_in(payload, "tasks")))


def ids_in(payload: Payload, key: str) -> list[int]:
    """Return the numbers in a list of a webhook.

    Raises:
        PayloadError: no such list.
    """
    try:
        return [number_of(one["id"]) for one in payload[key]]
    except (LookupError, TypeError) as error:
        raise PayloadError(f"the webhook lacks a list of {key} with an id each") from error


def nothing(project: Project, payload: Payload) -> bool:
    return False


ACTIONS: dict[str, Callable[[Project, Payload], bool]] = {
    "ANNOTATION_CREATED": keep,
    "ANNOTATION_UPDATED": keep,
    "ANNOTATIONS_CREATED": keep,
    "ANNOTATIONS_DELETED": delete,
    "TASKS_DELETED": delete_tasks,
    "PROJECT_UPDATED": nothing,
    "START_TRAINING": nothing,
}
"""Webhook to what it changes among the annotations; others are ignored."""
