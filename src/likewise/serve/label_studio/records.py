"""The annotations of a project on disk: one file an annotation, written before Label Studio has its answer.

project/interface.xml          the labelling interface
project/annotations/12.json    annotation 12: its image and results, or that it was deleted
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from likewise.errors import OutputError
from likewise.io.annotations.files import write_json, write_text
from likewise.io.atomic import delete_parts
from likewise.serve.label_studio.errors import PayloadError, UnknownProjectError
from likewise.serve.label_studio.interface import Interface, parse_interface

INTERFACE, ANNOTATIONS = "interface.xml", "annotations"


@dataclass(frozen=True)
class Record:
    """What is known of one annotation.

    Attributes:
        id: number of the annotation.
        task: number of its task.
        changed: seconds since 1970 of its last change.
        image: address of the image; empty for a deleted annotation.
        results: as Label Studio sends them.
        counts: whether it is an example: it was submitted, and neither skipped nor deleted.
    """

    id: int
    task: int
    changed: float
    image: str = ""
    results: list[dict[str, Any]] = field(default_factory=list)
    counts: bool = False

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of image and results."""
        content = json.dumps([self.image, self.results], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


class Records:
    """The annotations of a project. Several threads may use it.

    Args:
        folder: of the project; it is made by `connect`.

    Raises:
        OutputError: a file that cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._records: dict[int, Record] = {}
        delete_parts(folder)
        for path in sorted((folder / ANNOTATIONS).glob("[0-9]*.json")):
            try:
                record = Record(**json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError) as error:
                raise OutputError(f"{path}: cannot be read ({error}); delete it, and start training again") from error
            self._records[record.id] = record

    @property
    def interface(self) -> Interface:
        """The labelling interface.

        Raises:
            UnknownProjectError: the project was not connected.
        """
        try:
            return parse_interface((self.folder / INTERFACE).read_text(encoding="utf-8"))
        except OSError as error:
            raise UnknownProjectError(
                f"project {self.folder.name} is not connected to this backend; open its Settings, Model, and save the "
                "backend again"
            ) from error

    def connect(self, interface: str) -> None:
        """Keep the labelling interface."""
        path = self.folder / INTERFACE
        if not path.is_file() or path.read_text(encoding="utf-8") != interface:
            write_text(path, interface)

    def all(self) -> list[Record]:
        """Return the annotations that are examples, in the order of their numbers."""
        with self._lock:
            return [record for _, record in sorted(self._records.items()) if record.counts]

    def put(self, records: Iterable[Record]) -> bool:
        """Keep annotations on disk, and say whether anything changed. An older state of one is ignored."""
        changed = False
        with self._lock:
            for record in records:
                known = self._records.get(record.id)
                if known is not None and (known == record or known.changed > record.changed):
                    continue
                write_json(self.folder / ANNOTATIONS / f"{record.id}.json", asdict(record))
                self._records[record.id] = record
                changed = True
        return changed

    def delete(self, ids: Iterable[int]) -> bool:
        """Forget annotations, also ones that arrive after this, and say whether anything changed."""
        gone = [Record(id, self._records[id].task if id in self._records else 0, float("inf")) for id in ids]
        return self.put(gone)

    def of_tasks(self, tasks: Iterable[int]) -> list[int]:
        """Return the numbers of the annotations of tasks."""
        chosen = set(tasks)
        with self._lock:
            return [record.id for record in self._records.values() if record.task in chosen]


def record_of(annotation: Any, task: Any, interface: Interface) -> Record:
    """Return the record of an annotation as Label Studio sends it.

    Raises:
        PayloadError: it is not of the protocol.
    """
    try:
        results = annotation["result"]
        if not isinstance(results, list) or not all(isinstance(one, dict) for one in results):
            raise ValueError("result")
        return Record(
            id=number_of(annotation["id"]),
            task=number_of(task["id"]),
            changed=datetime.fromisoformat(annotation["updated_at"]).timestamp(),
            image=interface.address(task),
            results=results,
            counts=not annotation.get("was_cancelled"),
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, PayloadError):
            raise
        raise PayloadError(f"an annotation lacks or has a wrong {error}") from error


def number_of(value: Any) -> int:
    """Return a number of Label Studio's database.

    Raises:
        PayloadError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise PayloadError(f"{value!r} is no number of a project, task or annotation")
    return value


def project_id(value: Any) -> str:
    """Return the name that Label Studio gives a project: its number, and the second in which it was made.

    Args:
        value: this name, as most requests have it, or the project itself, as webhooks have it.

    Raises:
        PayloadError: neither.
    """
    if isinstance(value, dict):
        try:
            made = int(datetime.fromisoformat(value["created_at"]).timestamp())
            value = f"{number_of(value['id'])}.{made}"
        except (LookupError, TypeError, ValueError) as error:
            raise PayloadError(f"the project lacks or has a wrong {error}") from error
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,18}\.[0-9]{1,18}", value):
        raise PayloadError(f"{value!r} is no project of Label Studio, such as 1.1700000000")
    return value
