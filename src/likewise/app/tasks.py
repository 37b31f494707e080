"""One piece of work in the background: started, watched, stopped."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable

from likewise.app.events import Events
from likewise.app.photos import ConflictError
from likewise.errors import LikewiseError


class StoppedError(Exception):
    """Raised in the work by `Task.report` after `stop`."""


class Task:
    """Runs one function at a time in a thread of its own.

    Attributes:
        state: "idle", "running", "stopped", "done" or "failed".
        done, total: how far it is.
        error: why it failed.
    """

    def __init__(self, name: str, events: Events) -> None:
        self.name, self.events = name, events
        self.state, self.done, self.total = "idle", 0, 0
        self.error: str | None = None
        self._stop = False
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def progress(self) -> tuple[int, int] | None:
        """How far it is; None if it does not run."""
        return (self.done, self.total) if self.state == "running" else None

    def start(self, work: Callable[[], None]) -> None:
        """Run the work, which calls `report` as it proceeds.

        Raises:
            ConflictError: it is running.
        """
        with self._lock:
            if self.state == "running":
                raise ConflictError(f"{self.name} is running; wait for it, or stop it")
            self.state, self.done, self.total, self.error, self._stop = "running", 0, 0, None, False
        self._thread = threading.Thread(target=self._run, args=(work,), name=self.name, daemon=True)
        self._thread.start()

    def report(self, done: int, total: int) -> None:
        """Tell how far the work is.

        Raises:
            StoppedError: the work is to end.
        """
        if self._stop:
            raise StoppedError
        self.done, self.total = done, total
        self.events.send("progress", task=self.name, done=done, total=total)

    def stop(self) -> None:
        """Stop the work at its next report, and wait for that."""
        self._stop = True
        if self._thread is not None:
            self._thread.join()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
            self.state = "done"
        except StoppedError:
            self.state = "stopped"
        except Exception as error:
            self.state, self.error = "failed", str(error) or type(error).__name__
            if not isinstance(error, LikewiseError):
                traceback.print_exc()
            self.events.send("problem", detail=self.error)
        self.events.send("progress", task=self.name, done=self.total, total=self.total)
