"""A folder of images to a folder of masks, in a run that can be stopped and resumed.

images -> segment_folder(segment) -> out/<name>.mask.png ..., out/coco.json, ...
                                       out/.likewise/ (what is finished, under which settings)
"""

import contextlib
import errno
import itertools
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from likewise.errors import OutputError
from likewise.io.atomic import PART_PREFIX, write_atomically
from likewise.io.images import read_image
from likewise.io.paths import RECORDS, ImageFile, natural_order
from likewise.jobs.writers import (
    SUMMARIES,
    WRITERS,
    Region,
    Regions,
    Result,
    checked_formats,
    regions_of,
)

_SETTINGS = "settings.json"

_READERS = 2
_AHEAD = 4  # images read ahead of the model; each may be some 100 MB

# After these no later image could be written either.
_FATAL = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ENOTDIR}


@dataclass
class Report:
    """What a run did. `failed` gives each image's path and the reason."""

    done: int = 0
    skipped: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)
    seconds: float = 0.0


def segment_folder(
    images: Sequence[ImageFile],
    segment: Callable[..., Result],
    out: str | Path,
    *,
    beside: Callable[[ImageFile], Any] | None = None,
    formats: Sequence[str] = ("mask",),
    classes: tuple[str, ...],
    settings: Mapping[str, Any],
    force: bool = False,
    protect: Iterable[str | Path] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Segments each image and writes the formats to ``out/<name without suffix>.mask.png`` and so on.

    While the model works, the next images are read and the last results written in threads; at no time are
    more than a few images in memory. Two images whose names differ in the suffix alone keep it:
    a.jpg.mask.png.

    A run that was stopped at any point, killed even, and is started again skips the images that are
    finished: those recorded in ``out/.likewise/finished.jsonl`` whose file is as it was then (size and time)
    and whose outputs exist. What is one file for all images (``coco.json``, ``areas.csv``) is written at the end
    and holds every finished image in `out`, of earlier runs too.

    `segment` is given the image's pixels, and behind them, with `beside`, what that reads for the image (a map of
    it, say) in the threads that read the images.

    `settings` (what JSON can hold) says what made the results; with others than those of the earlier runs
    `OutputError` is raised, unless `force`, which does all again. An image that cannot be read or segmented
    is listed in the report, the others are still done. `progress` is called with (settled, in all) images,
    first with those that are skipped.

    Nothing is overwritten that is not an output of an earlier run here, unless `force`; images and what
    `protect` names (the examples) never. That, and a disk that is full or refuses, raises `OutputError`.
    """
    start = time.perf_counter()
    formats = checked_formats(formats)
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: a file, where the folder for the results is needed; name another with -o")
    jobs = _jobs(images, out, formats)
    targets = [path for job in jobs for path in job.outputs.values()]
    summaries = [SUMMARIES[name] for name in formats if name in SUMMARIES]
    targets += [out / file for file, _ in summaries]
    _refuse_overwriting(targets, out, [*(image.path for image in images), *map(Path, protect)], force)
    with _writing_to(out):
        records = _Records(out, {**settings, "classes": list(classes)}, force)
    waiting = [job for job in jobs if not records.is_finished(job)]
    report = Report(skipped=len(jobs) - len(waiting))
    unfinished = set()
    if progress:
        progress(report.skipped, len(jobs))
    with contextlib.closing(_pipeline(waiting, segment, beside, out, records)) as outcomes:
        for job, reason in outcomes:
            if reason is None:
                report.done += 1
            else:
                report.failed.append((job.image.path, reason))
                unfinished.add(job.image.name)
            if progress:
                progress(report.skipped + report.done + len(report.failed), len(jobs))
    for file, write in summaries:
        with _writing_to(out):
            write(records.regions(without=unfinished), classes, out / file)
    report.seconds = time.perf_counter() - start
    return report


@dataclass(frozen=True)
class _Job:
    image: ImageFile
    outputs: dict[str, Path]  # by format


@dataclass(frozen=True)
class _Stamp:
    """What tells a changed file from the one that was read."""

    size: int
    mtime_ns: int


def _jobs(images: Sequence[ImageFile], out: Path, formats: tuple[str, ...]) -> list[_Job]:
    names = [image.name for image in images]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"two images are named {twice[0]}, and their results would overwrite each other")
    stems = {name: PurePosixPath(name).with_suffix("").as_posix() for name in names}
    while True:
        counts = Counter(stem.casefold() for stem in stems.values())
        clashing = [name for name, stem in stems.items() if counts[stem.casefold()] > 1 and stem != name]
        if not clashing:
            break
        stems.update({name: name for name in clashing})
    writers = [name for name in formats if name in WRITERS]
    return [_Job(image, {name: out / f"{stems[image.name]}{WRITERS[name][0]}" for name in writers}) for image in images]


def _refuse_overwriting(targets: list[Path], out: Path, inputs: list[Path], force: bool) -> None:
    never = {path.resolve() for path in inputs}
    for target in targets:
        if target.resolve() in never:
            raise OutputError(f"{target}: is an input and would be overwritten; write to another folder with -o")
    if force or (out / RECORDS / _SETTINGS).exists():
        return
    for target in targets:
        if target.exists():
            raise OutputError(
                f"{target}: exists and was not made by an earlier run; write to another folder with -o, or "
                "pass --force to overwrite it"
            )


def _pipeline(
    jobs: Iterable[_Job],
    segment: Callable[..., Result],
    beside: Callable[[ImageFile], Any] | None,
    out: Path,
    records: "_Records",
) -> Generator[tuple[_Job, str | None], None, None]:
    """Each job as it is settled, with the reason if it failed. Reads ahead of the model, writes behind it."""
    with ThreadPoolExecutor(_READERS) as readers, ThreadPoolExecutor(1) as writer:
        rest = iter(jobs)
        ahead = deque((job, readers.submit(_read, job, beside)) for job in itertools.islice(rest, _AHEAD))
        behind: tuple[_Job, Future[None]] | None = None
        while ahead:
            job, reading = ahead.popleft()
            ahead.extend((job, readers.submit(_read, job, beside)) for job in itertools.islice(rest, 1))
            try:
                stamp, image, more = reading.result()
                result = segment(image, *more)
            except Exception as error:  # whatever is wrong with this image, the others are still done
                yield job, _reason(job, error)
                continue
            if behind:
                yield _written(*behind, out)
            behind = job, writer.submit(_write, job, stamp, image, result, records)
        if behind:
            yield _written(*behind, out)


def _read(job: _Job, beside: Callable[[ImageFile], Any] | None) -> tuple[_Stamp, np.ndarray, list[Any]]:
    stamp = _stamp(job.image.path)  # before reading: a change meanwhile is found by the next run
    image = read_image(job.image.path)
    assert stamp is not None  # what can be read can be looked at
    return stamp, image, [] if beside is None else [beside(job.image)]


def _write(job: _Job, stamp: _Stamp, image: np.ndarray, result: Result, records: "_Records") -> None:
    for name, path in job.outputs.items():
        WRITERS[name][1](image, result, path)
    records.add(job, stamp, regions_of(job.image.name, result))


def _written(job: _Job, writing: Future[None], out: Path) -> tuple[_Job, str | None]:
    try:
        writing.result()
    except (OSError, OutputError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if isinstance(cause, OSError) and cause.errno in _FATAL:
            raise _cannot_write(out, cause) from error
        return job, f"its result cannot be written: {error}"
    except Exception as error:
        return job, f"its result cannot be written: {_reason(job, error)}"
    return job, None


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return _Stamp(status.st_size, status.st_mtime_ns)


def _reason(job: _Job, error: Exception) -> str:
    """One line, without the path that the report gives beside it."""
    words = str(error).removeprefix(f"{job.image.path}: ")
    return words if isinstance(error, ValueError) else f"{type(error).__name__}: {words}"


def _cannot_write(out: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{error.filename or out}: cannot be written ({error.strerror or error}); make room or check the "
        "permissions and run it again: what is finished is kept"
    )


@contextlib.contextmanager
def _writing_to(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _cannot_write(out, error) from error


class _Records:
    """What is finished in an output folder, and under which settings: ``out/.likewise``.

    ``finished.jsonl`` has a line for each image, appended once its outputs are on the disk; of two lines on
    one image the later holds, and a line that a kill cut short counts for nothing.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any], force: bool) -> None:
        folder = out / RECORDS
        self._file = folder / "finished.jsonl"
        self._stamps: dict[str, _Stamp] = {}
        folder.mkdir(parents=True, exist_ok=True)
        if force:
            self._file.unlink(missing_ok=True)
        for _, stamp, regions in self._lines():
            self._stamps[regions.name] = stamp
        now = json.loads(json.dumps(settings))
        if self._stamps:
            _refuse_other_settings(out, now)
        with write_atomically(folder / _SETTINGS) as part:
            part.write_text(json.dumps(now, indent=1))
        for part in out.rglob(f"{PART_PREFIX}*"):  # of a run that was killed
            part.unlink(missing_ok=True)
        if self._file.exists() and not self._file.read_bytes().endswith(b"\n"):
            with self._file.open("ab") as file:
                file.write(b"\n")

    def is_finished(self, job: _Job) -> bool:
        stamp = self._stamps.get(job.image.name)
        if stamp is None or stamp != _stamp(job.image.path):
            return False
        return all(path.exists() for path in job.outputs.values())

    def add(self, job: _Job, stamp: _Stamp, regions: Regions) -> None:
        line = json.dumps({**asdict(stamp), **asdict(regions)})
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def regions(self, without: set[str]) -> Iterator[Regions]:
        """Of every finished image, in the natural order of their names."""
        places = {regions.name: place for place, _, regions in self._lines()}
        if not places:
            return
        with self._file.open("rb") as file:
            for name in sorted(places.keys() - without, key=natural_order):
                file.seek(places[name])
                record = _parsed(file.readline())
                assert record is not None
                yield record[1]

    def _lines(self) -> Iterator[tuple[int, _Stamp, Regions]]:
        """Each line's place in the file and what it holds."""
        if not self._file.exists():
            return
        with self._file.open("rb") as file:
            place = 0
            for line in file:
                record = _parsed(line)
                if record is not None:
                    yield place, *record
                place += len(line)


def _parsed(line: bytes) -> tuple[_Stamp, Regions] | None:
    try:
        record = json.loads(line)
        regions = tuple(Region(**region) for region in record["regions"])
        stamp = _Stamp(record["size"], record["mtime_ns"])
        return stamp, Regions(record["name"], record["height"], record["width"], regions)
    except (ValueError, KeyError, TypeError):
        return None


def _refuse_other_settings(out: Path, now: dict[str, Any]) -> None:
    path = out / RECORDS / _SETTINGS
    advice = "pass --force to do all images again, or name another folder with -o"
    try:
        before = json.loads(path.read_text())
    except (FileNotFoundError, ValueError) as error:
        raise OutputError(f"{path}: the settings of the earlier run cannot be read; {advice}") from error
    keys = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if keys:
        changes = ", ".join(f"{key} was {before.get(key)!r} and is now {now.get(key)!r}" for key in keys)
        raise OutputError(f"{out}: holds results of other settings: {changes}; {advice}")
