"""What a person decided, in one SQLite file: images, states with their history, settings.

A state is a small JSON value under a key: `image:7` is a decision, `class:1` a class. A step changes some states
at once, and history holds each state before and after, so that undo and redo are the same few lines for everything.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from likewise.errors import OutputError

State = dict[str, Any] | None
"""A value of a state; None is no state."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS images (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, place TEXT NOT NULL UNIQUE, bytes INTEGER NOT NULL,
    modified INTEGER NOT NULL, digest TEXT, width INTEGER, height INTEGER, error TEXT,
    missing INTEGER NOT NULL DEFAULT 0, seen INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS states (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS history (
    step INTEGER PRIMARY KEY AUTOINCREMENT, label TEXT NOT NULL, changes TEXT NOT NULL,
    undone INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Step(NamedTuple):
    """A step of history, and the states after it, as it was done, undone or done again."""

    label: str
    states: dict[str, State]


class Store:
    """The database of a project. Several threads may use it; each write is one transaction.

    Raises:
        OutputError: the file cannot be opened, or is no database.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._database.row_factory = sqlite3.Row
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise OutputError(f"{path}: the project cannot be opened ({error}); choose another --project") from error

    def close(self) -> None:
        with self._lock:
            self._database.close()

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """A transaction.

        Raises:
            OutputError: it cannot be written; nothing of it is.
        """
        with self._lock:
            try:
                self._database.execute("BEGIN IMMEDIATE")
                yield self._database
                self._database.execute("COMMIT")
            except BaseException as error:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError):
                    raise OutputError(f"nothing was saved ({error}); free disk space, then try again") from error
                raise

    def _read(self, query: str, *values: object) -> list[sqlite3.Row]:
        with self._lock:
            return self._database.execute(query, values).fetchall()

    def setting(self, key: str, default: Any = None) -> Any:
        """Return a stored JSON value."""
        rows = self._read("SELECT value FROM settings WHERE key = ?", key)
        return json.loads(rows[0]["value"]) if rows else default

    def set_setting(self, key: str, value: Any) -> None:
        with self._write() as database:
            database.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, json.dumps(value)))

    def images(self) -> list[dict[str, Any]]:
        """Return the rows of all images, missing ones too."""
        return [dict(row) for row in self._read("SELECT * FROM images ORDER BY id")]

    def add_images(self, rows: Iterable[tuple[str, str, int, int]]) -> None:
        """Add images: name, place, bytes and time of modification in nanoseconds."""
        with self._write() as database:
            database.executemany("INSERT INTO images (name, place, bytes, modified) VALUES (?, ?, ?, ?)", rows)

    def update_images(self, rows: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
        """Change columns of images by id."""
        with self._write() as database:
            for id, columns in rows:
                names = ", ".join(f"{name} = ?" for name in columns)
                database.execute(f"UPDATE images SET {names} WHERE id = ?", (*columns.values(), id))

    def states(self) -> dict[str, State]:
        """Return all states."""
        return {row["key"]: json.loads(row["value"]) for row in self._read("SELECT * FROM states")}

    def change(self, label: str, states: Mapping[str, State]) -> None:
        """Make one step of history; undone steps can then not be done again."""
        with self._write() as database:
            changes = {}
            for key, after in states.items():
                row = database.execute("SELECT value FROM states WHERE key = ?", (key,)).fetchone()
                changes[key] = (json.loads(row["value"]) if row else None, after)
            database.execute("DELETE FROM history WHERE undone = 1")
            database.execute("INSERT INTO history (label, changes) VALUES (?, ?)", (label, json.dumps(changes)))
            _put(database, states)

    def undo(self) -> Step | None:
        """Undo the last step; None if there is none."""
        return self._turn("undone = 0 ORDER BY step DESC", side=0)

    def redo(self) -> Step | None:
        """Do the last undone step again; None if there is none."""
        return self._turn("undone = 1 ORDER BY step", side=1)

    def next_steps(self) -> tuple[str | None, str | None]:
        """Return the labels of the steps that undo and redo would take."""
        undo = self._read("SELECT label FROM history WHERE undone = 0 ORDER BY step DESC LIMIT 1")
        redo = self._read("SELECT label FROM history WHERE undone = 1 ORDER BY step LIMIT 1")
        return (undo[0]["label"] if undo else None), (redo[0]["label"] if redo else None)

    def _turn(self, which: str, side: int) -> Step | None:
        with self._write() as database:
            row = database.execute(f"SELECT * FROM history WHERE {which} LIMIT 1").fetchone()
            if row is None:
                return None
            states = {key: both[side] for key, both in json.loads(row["changes"]).items()}
            database.execute("UPDATE history SET undone = ? WHERE step = ?", (1 - side, row["step"]))
            _put(database, states)
        return Step(row["label"], states)


def _put(database: sqlite3.Connection, states: Mapping[str, State]) -> None:
    for key, value in states.items():
        if value is None:
            database.execute("DELETE FROM states WHERE key = ?", (key,))
        else:
            database.execute("INSERT OR REPLACE INTO states VALUES (?, ?)", (key, json.dumps(value)))
