"""The records of a run in ``out/.likewise``: its settings and its finished images.

``finished.jsonl`` has one line for each finished image, appended after its outputs are on disk. The last line of an
image counts; an incomplete line, left by a killed process, is ignored.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from likewise.io.atomic import PART_PREFIX
from likewise.io.paths import RECORDS, natural_order
from likewise.io.settings import read_settings, refuse_changes, write_settings
from likewise.jobs.writers import Region, Regions

SETTINGS = "settings.json"
FINISHED = "finished.jsonl"
ADVICE = "pass --force to process all images again, or name another folder with -o"


@dataclass(frozen=True)
class Stamp:
    """Size in bytes and modification time of a file, which change when the file does."""

    size: int
    mtime_ns: int


def stamp_of(path: Path) -> Stamp | None:
    """Return the stamp of a file, or None if it does not exist."""
    try:
        status = path.stat()
    except OSError:
        return None
    return Stamp(status.st_size, status.st_mtime_ns)


def has_records(out: Path) -> bool:
    """Return whether a run has started in this output folder."""
    return (out / RECORDS / SETTINGS).exists()


class Records:
    """Finished images of an output folder.

    Args:
        out: The output folder.
        settings: Everything that determines the results, as JSON can hold it.
        force: Discard the records of earlier runs.

    Raises:
        OutputError: `out` holds finished images of other settings.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any], *, force: bool) -> None:
        folder = out / RECORDS
        self._file = folder / FINISHED
        folder.mkdir(parents=True, exist_ok=True)
        if force:
            self._file.unlink(missing_ok=True)
        self._stamps = {regions.name: stamp for _, stamp, regions in self._lines()}
        if self._stamps:
            refuse_changes(out, read_settings(folder / SETTINGS, advice=ADVICE), settings, advice=ADVICE)
        write_settings(folder / SETTINGS, settings)
        for part in out.rglob(f"{PART_PREFIX}*"):  # temporary files of a killed run
            part.unlink(missing_ok=True)
        if self._file.exists() and not self._file.read_bytes().endswith(b"\n"):
            with self._file.open("ab") as file:
                file.write(b"\n")

    def is_finished(self, name: str, path: Path, outputs: Iterable[Path]) -> bool:
        """Return whether the image is recorded, unchanged since then, and all its outputs exist."""
        stamp = self._stamps.get(name)
        return stamp is not None and stamp == stamp_of(path) and all(output.exists() for output in outputs)

    def add(self, stamp: Stamp, regions: Regions) -> None:
        """Record a finished image."""
        line = json.dumps({**asdict(stamp), **asdict(regions)})
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def regions(self, *, without: set[str]) -> Iterator[Regions]:
        """Yield the regions of every finished image in natural order of the names."""
        offsets = {regions.name: offset for offset, _, regions in self._lines()}
        if not offsets:
            return
        with self._file.open("rb") as file:
            for name in sorted(offsets.keys() - without, key=natural_order):
                file.seek(offsets[name])
                record = _parse(file.readline())
                assert record is not None
                yield record[1]

    def _lines(self) -> Iterator[tuple[int, Stamp, Regions]]:
        """Yield the byte offset and content of each valid line."""
        if not self._file.exists():
            return
        with self._file.open("rb") as file:
            offset = 0
            for line in file:
                record = _parse(line)
                if record is not None:
                    yield offset, *record
                offset += len(line)


def _parse(line: bytes) -> tuple[Stamp, Regions] | None:
    try:
        record = json.loads(line)
        regions = tuple(Region(**region) for region in record["regions"])
        stamp = Stamp(record["size"], record["mtime_ns"])
        return stamp, Regions(record["name"], record["height"], record["width"], regions)
    except (ValueError, KeyError, TypeError):
        return None
