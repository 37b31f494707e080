"""The records of a run in ``out/.likewise``: its settings, its finished images and the files that it wrote.

``finished.jsonl`` has one line for each finished image, appended just before its outputs get their names. The last line
of an image counts; an incomplete line, left by a killed process, is ignored. A line ``{"again": true}`` says that all
images before it are to be processed again.
"""

import contextlib
import json
import os
import platform
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from likewise.errors import OutputError
from likewise.io.atomic import Parts, delete_parts
from likewise.io.digests import Stamp, short_digest, stamp_of
from likewise.io.paths import RECORDS, exists, natural_order
from likewise.io.settings import changed_keys, read_settings, refuse_changes, write_settings
from likewise.jobs.writers import Region, Regions

SETTINGS = "settings.json"
FINISHED = "finished.jsonl"
ADVICE = "pass --force to process all images again, or name another folder with -o"

NEVER = Stamp(-1, -1)
"""The stamp of no file: an image that is recorded with it is processed again."""


def has_records(out: Path) -> bool:
    """Return whether a run has started in this output folder."""
    return (out / RECORDS / SETTINGS).exists()


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keep other runs out of an output folder during the block. The system releases the lock of a dead process.

    Raises:
        OutputError: Another run writes to the folder; the message says which.
    """
    from filelock import FileLock, Timeout

    folder = out / RECORDS
    folder.mkdir(parents=True, exist_ok=True)
    owner = folder / "owner.json"
    lock, who = FileLock(folder / "lock", timeout=0), ""
    try:
        lock.acquire()
    except Timeout:
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            other = json.loads(owner.read_text(encoding="utf-8"))
            who = f" (process {other['process']} on {other['host']}, since {other['started']})"
        raise OutputError(
            f"{out}: another run{who} writes here; wait until it ends, or name another folder with -o"
        ) from None
    try:
        started = datetime.now().astimezone().isoformat(timespec="seconds")
        owner.write_text(json.dumps({"host": platform.node(), "process": os.getpid(), "started": started}))
        yield
        owner.unlink(missing_ok=True)
    finally:
        lock.release()


@dataclass(frozen=True)
class _Line:
    stamp: Stamp
    regions: Regions
    outputs: dict[str, str] = field(default_factory=dict)


class Records:
    """Finished images of an output folder. Reading them changes nothing; `start` does.

    Args:
        out: The output folder.
        settings: Everything that determines the results, as JSON can hold it.
        force: Discard the records of earlier runs.
        again: Settings that may have changed: all images are then processed again.

    Raises:
        OutputError: `out` holds finished images of other settings.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any], *, force: bool, again: Collection[str] = ()) -> None:
        self._out, self._folder, self._settings, self._force = out, out / RECORDS, settings, force
        self._file = self._folder / FINISHED
        self._stamps: dict[str, Stamp] = {}
        self._digests: dict[str, set[str]] = {}
        self.again = False
        for _, line in () if force else self._lines():
            if line is None:
                self._stamps.clear()
                continue
            self._stamps[line.regions.name] = line.stamp
            for name, digest in line.outputs.items():
                self._digests.setdefault(name, set()).add(digest)
        if self._stamps:
            recorded = read_settings(self._folder / SETTINGS, advice=ADVICE)
            changed = changed_keys(recorded, settings)
            self.again = bool(changed) and {*changed} <= {*again}
            if self.again:
                self._stamps.clear()
            else:
                refuse_changes(out, recorded, settings, advice=ADVICE)

    def start(self) -> None:
        """Write the settings and clean up after killed runs."""
        if self._force:
            self._file.unlink(missing_ok=True)
        if self._file.exists() and not self._file.read_bytes().endswith(b"\n"):
            self._append(b"\n")
        if self.again:
            self._append(b'{"again": true}\n')
        write_settings(self._folder / SETTINGS, self._settings)
        delete_parts(self._out)

    def is_finished(self, name: str, path: Path, outputs: Iterable[Path]) -> bool:
        """Return whether the image is recorded, unchanged since then, and all its outputs exist."""
        stamp = self._stamps.get(name)
        return stamp is not None and stamp == stamp_of(path) and all(map(exists, outputs))

    def is_foreign(self, output: Path) -> bool:
        """Return whether a file exists that differs from what a run has written."""
        if self._force or not exists(output) or output.is_dir():
            return False
        return short_digest(output) not in self._digests.get(self._name(output), ())

    def add(self, stamp: Stamp, regions: Regions, parts: Parts) -> None:
        """Record an image whose complete outputs are about to get their names."""
        outputs = {self._name(path): short_digest(part) for part, path in parts}
        self._append(f"{json.dumps({**asdict(stamp), **asdict(regions), 'outputs': outputs})}\n".encode())

    def regions(self, *, instead: Mapping[str, Regions | None]) -> Iterator[Regions]:
        """Yield the regions of every finished image in natural order of the names.

        Args:
            instead: Regions of images whose record does not count; None leaves the image out.
        """
        offsets: dict[str, int] = {}
        for offset, line in self._lines():
            if line is None:
                offsets.clear()
            else:
                offsets[line.regions.name] = offset
        for name in sorted(offsets.keys() | instead.keys(), key=natural_order):
            if name in instead:
                found = instead[name]
            else:
                with self._file.open("rb") as file:
                    file.seek(offsets[name])
                    line = _parse(file.readline())
                found = line.regions if line else None
            if found is not None:
                yield found

    def _append(self, line: bytes) -> None:
        with self._file.open("ab") as file:
            file.write(line)

    def _name(self, output: Path) -> str:
        return output.relative_to(self._out).as_posix()

    def _lines(self) -> Iterator[tuple[int, _Line | None]]:
        """Yield the byte offset and content of each valid line; None for one that voids those before it."""
        if not self._file.exists():
            return
        with self._file.open("rb") as file:
            offset = 0
            for line in file:
                if line == b'{"again": true}\n':
                    yield offset, None
                elif record := _parse(line):
                    yield offset, record
                offset += len(line)


def _parse(line: bytes) -> _Line | None:
    try:
        record = json.loads(line)
        regions = tuple(Region(**region) for region in record["regions"])
        presences = tuple(map(float, record["presences"]))
        found = Regions(record["name"], record["height"], record["width"], regions, presences)
        outputs = dict(record["outputs"])
        types = [type(value) for value in (found.name, found.height, found.width)]
        types += [type(value) for region in regions for value in (region.category, region.counts, region.score)]
        types += [type(value) for item in outputs.items() for value in item]
        if types != [str, int, int, *[int, str, float] * len(regions), *[str] * 2 * len(outputs)]:
            return None
        return _Line(Stamp(record["size"], record["mtime_ns"]), found, outputs)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
