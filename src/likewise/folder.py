"""A folder of pictures to a folder of masks: what to read, what lies beside what, and a run that can be
resumed.

paths -> find_pictures -> segment_folder(segment) -> out/<name>.mask.png ..., out/coco.json
                                                     out/.likewise/ (what is finished, under which settings)
"""

import contextlib
import errno
import glob
import itertools
import json
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from .formats import (
    COCO_FILE,
    WRITERS,
    Region,
    Regions,
    Result,
    checked_formats,
    regions_of,
    write_coco,
)
from .images import PART_PREFIX, PictureError, read_picture, written

# fmt: off
PICTURE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".avif", ".heic", ".heif", ".tif", ".tiff", ".bmp",
    ".gif", ".jp2", ".ppm", ".pgm", ".pbm", ".pnm",
})
# fmt: on
MASK_ENDINGS = (".mask.png", "_mask.png")  # x.mask.png and x_mask.png lie beside the picture x.*
_MADE_ENDINGS = (*MASK_ENDINGS, *(suffix for suffix, _ in WRITERS.values()))
_RECORDS = ".likewise"
_SETTINGS = "settings.json"

_READERS = 2
_AHEAD = 4  # pictures read ahead of the model; each may be some 100 MB

# After these no later picture could be written either.
_FATAL = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ENOTDIR}


class OutputError(ValueError):
    """The results cannot or must not be written where they were asked for."""


@dataclass(frozen=True)
class Picture:
    """A picture to segment."""

    path: Path
    name: str  # its path below the folder it was found in, with forward slashes; outputs are named after it


@dataclass(frozen=True)
class Example:
    """A picture that shows what to look for."""

    picture: Path
    mask: Path | None
    class_name: str


DEFAULT_CLASS = "object"


def natural_order(text: str) -> tuple[list[tuple[int, str]], str]:
    """A sorting key that puts img2 before img10."""
    parts = re.split("([0-9]+)", text.casefold())  # every second part is a number
    return [(int(part), "") if index % 2 else (-1, part) for index, part in enumerate(parts)], text


def find_pictures(paths: Iterable[str | Path], *, exclude: Iterable[str | Path] = ()) -> list[Picture]:
    """The pictures that files, folders (with all that is below them) and globs (``**`` too) name.

    Order: as the paths are given, within a folder or glob naturally (img2 before img10). A picture named
    twice comes once. Files of folders and globs are taken if their suffix is a picture's; a file named
    outright always is.

    Left out: hidden files and folders; what `exclude` names (the examples' masks; the output folder where it
    lies below one of the paths); masks and other outputs beside their picture (x.mask.png, x_mask.png,
    x.overlay.jpg where a picture x.* exists) and in folders that an earlier run has written.

    Raises `PictureError` for a path that does not exist, a glob or folder without a picture, and where
    nothing is left.
    """
    left_out = {Path(path).resolve() for path in exclude}
    found: dict[Path, tuple[Path, Path]] = {}  # resolved path: (path, root it was found under)
    texts = [str(path) for path in paths]
    for text in texts:
        for file, root in _candidates(text, left_out):
            resolved = file.resolve()
            if resolved not in found and resolved not in left_out and not _is_made(file, root):
                found[resolved] = (file, root)
    if not found:
        raise PictureError(
            f"{', '.join(texts) or 'no path given'}: no picture to segment; "
            "examples' masks, masks beside their pictures and earlier outputs are left out"
        )
    return _named(found.values())


def _candidates(text: str, left_out: set[Path]) -> list[tuple[Path, Path]]:
    """The picture files that one path names, each with the root that its name is relative to."""
    path = Path(text)
    if path.is_dir():
        candidates = [(file, path) for file in _walk(path, left_out)]
        if not candidates:
            raise PictureError(f"{text}: no picture in this folder; their names must end in .jpg, .png, ...")
    elif path.exists():
        candidates = [(path, path.parent)]
    elif glob.has_magic(text):
        candidates = list(_globbed(text, left_out))
        if not candidates:
            raise PictureError(f"{text}: no picture matches; check the pattern")
    else:
        raise PictureError(f"{text}: no such file or folder; check the name")
    return candidates


def _walk(folder: Path, left_out: set[Path]) -> Iterator[Path]:
    """The picture files below a folder, naturally sorted, links followed but no folder entered twice."""
    entered = {folder.resolve()}

    def files_below(here: Path) -> Iterator[Path]:
        for entry in _visible(here):
            if entry.is_dir():
                resolved = entry.resolve()
                if resolved not in entered and resolved not in left_out:
                    entered.add(resolved)
                    yield from files_below(entry)
            elif entry.suffix.lower() in PICTURE_SUFFIXES:
                yield entry

    return files_below(folder)


def _visible(folder: Path) -> list[Path]:
    entries = sorted(folder.iterdir(), key=lambda entry: natural_order(entry.name))
    return [entry for entry in entries if not entry.name.startswith(".")]


def _globbed(pattern: str, left_out: set[Path]) -> Iterator[tuple[Path, Path]]:
    """The pictures that match and those below matching folders; their root ends before the first wildcard."""
    parts = Path(pattern).parts
    root = Path(*parts[: next(index for index, part in enumerate(parts) if glob.has_magic(part))])
    above = {root.resolve(), *root.resolve().parents}  # to write beside the pictures does not leave them out
    # not Path.glob, which takes no absolute pattern
    for match in sorted(glob.glob(pattern, recursive=True), key=natural_order):  # noqa: PTH207
        path = Path(match)
        resolved = path.resolve()
        if not left_out.isdisjoint({resolved, *resolved.parents} - above):
            continue
        if path.is_dir():
            yield from ((file, root) for file in _walk(path, left_out))
        elif path.suffix.lower() in PICTURE_SUFFIXES:
            yield path, root


def _is_made(path: Path, root: Path) -> bool:
    """Whether it is a mask or other output beside its picture, or an output where a run has written."""
    for ending in _MADE_ENDINGS:
        if path.name.endswith(ending):
            stem = path.name[: -len(ending)]
            break
    else:
        return False
    suffixes = (*PICTURE_SUFFIXES, *(suffix.upper() for suffix in PICTURE_SUFFIXES))
    if any((path.parent / f"{stem}{suffix}").is_file() for suffix in suffixes):
        return True
    folders = [folder for folder in path.parents if folder == root or root in folder.parents]
    return any((folder / _RECORDS).is_dir() for folder in folders)


def _named(found: Iterable[tuple[Path, Path]]) -> list[Picture]:
    """Names relative to the roots; names that meet get as many folders before them as tell them apart."""
    files = [path for path, _ in found]
    whole = [[part.strip(":\\/") for part in (root.resolve() / path.relative_to(root)).parts] for path, root in found]
    depths = [len(path.relative_to(root).parts) for path, root in found]
    while True:
        names = ["/".join(parts[-depth:]).lstrip("/") for parts, depth in zip(whole, depths, strict=True)]
        counts = Counter(names)
        if len(counts) == len(names):
            return [Picture(path, name) for path, name in zip(files, names, strict=True)]
        depths = [depth + (counts[name] > 1) for name, depth in zip(names, depths, strict=True)]


def find_examples(texts: Sequence[str | Path], *, masks_required: bool = True) -> list[Example]:
    """The examples that the texts name.

    Each is one of

    - ``picture=mask``;
    - a picture whose mask lies beside it: x.mask.png, x_mask.png, or x.png where the picture is not a PNG
      itself;
    - a picture and, as the next text, its mask of the same stem (``cat.jpg cat.png``);
    - a folder of pictures with their masks beside them: the folder's name is the class. Its subfolders are
      classes too.

    Outside of folders the class is called "object". Raises `PictureError` for what does not exist, and for a
    picture without a mask, unless `masks_required` is false (where a box or scribbles take its place).
    """
    rest = deque(str(text) for text in texts)
    # shells expand photos/* to the pictures and their masks, in any order
    beside = {mask_beside(Path(text)) for text in rest if Path(text).is_file()}
    examples: list[Example] = []
    while rest:
        text = rest.popleft()
        path = Path(text)
        if path.is_dir():
            found = _examples_of_folder(path, masks_required)
            if not found:
                raise PictureError(f"{text}: no picture in this folder; put pictures and their masks there")
            examples += found
        elif path.is_file():
            if rest and _is_mask_of(Path(rest[0]), path):
                examples.append(Example(path, Path(rest.popleft()), DEFAULT_CLASS))
            elif path not in beside:
                examples.append(_example(path, DEFAULT_CLASS, masks_required))
        elif "=" in text:
            examples.append(Example(*_split_pair(text), DEFAULT_CLASS))
        else:
            raise PictureError(f"{text}: no such example; give picture=mask, a picture or a folder that exists")
    if not examples:
        raise PictureError("no example given; give picture=mask, or a picture whose mask lies beside it")
    return list(dict.fromkeys(examples))


def _split_pair(text: str) -> tuple[Path, Path]:
    """The two files of ``picture=mask``, whose names may hold a = too."""
    splits = [(text[: at.start()], text[at.end() :]) for at in re.finditer("=", text)]
    pairs = [(Path(a), Path(b)) for a, b in splits if Path(a).is_file() and Path(b).is_file()]
    if len(pairs) == 1:
        return pairs[0]
    if pairs:
        shown = " or ".join(f"{picture} with mask {mask}" for picture, mask in pairs)
        raise PictureError(f"{text}: may be {shown}; rename the files or put the mask beside its picture")
    missing = [side for side in splits[0] if not Path(side).is_file()] if len(splits) == 1 else []
    if not missing:
        raise PictureError(f"{text}: no = in it stands between two files that exist; check the names")
    shown = " and no file ".join(side or "of the empty name" for side in missing)
    raise PictureError(f"{text}: read as picture=mask, but there is no file {shown}; check the names")


def _is_mask_of(mask: Path, picture: Path) -> bool:
    stems = (picture.stem, f"{picture.stem}.mask", f"{picture.stem}_mask")
    if mask.suffix.lower() != ".png" or mask.stem not in stems or not mask.is_file() or mask.samefile(picture):
        return False
    # a/1.png b/1.png are two pictures if the second has a mask of its own
    return mask.stem != picture.stem or mask_beside(mask) is None


def mask_names(picture: Path) -> list[Path]:
    """Where the mask of a picture is looked for, the first name first."""
    names = [picture.with_name(f"{picture.stem}{ending}") for ending in MASK_ENDINGS]
    if picture.suffix.lower() != ".png":
        names.append(picture.with_name(f"{picture.stem}.png"))
    return names


def mask_beside(picture: Path) -> Path | None:
    """The mask that lies beside a picture, if one does."""
    return next((name for name in mask_names(picture) if name.is_file()), None)


def _example(picture: Path, class_name: str, masks_required: bool) -> Example:
    mask = mask_beside(picture)
    if mask is None and masks_required:
        looked_for = ", ".join(name.name for name in mask_names(picture))
        raise PictureError(
            f"{picture}: no mask beside it; looked for {looked_for}. Give it as {picture}=MASK, or draw a "
            "box or scribbles"
        )
    return Example(picture, mask, class_name)


def _examples_of_folder(folder: Path, masks_required: bool) -> list[Example]:
    """Its own pairs under its name, then those of its subfolders under theirs."""
    visible = _visible(folder)
    files = [entry for entry in visible if entry.is_file() and entry.suffix.lower() in PICTURE_SUFFIXES]
    pictures = [file for file in files if not _is_made(file, folder)]
    masks = {mask for picture in pictures for mask in mask_names(picture)}
    class_name = folder.resolve().name
    examples = [_example(file, class_name, masks_required) for file in pictures if file not in masks]
    for entry in visible:
        if entry.is_dir():
            examples += _examples_of_folder(entry, masks_required)
    return examples


@dataclass
class Report:
    """What a run did. `failed` gives each picture's path and the reason."""

    done: int = 0
    skipped: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)
    seconds: float = 0.0


def segment_folder(
    pictures: Sequence[Picture],
    segment: Callable[[np.ndarray], Result],
    out: str | Path,
    *,
    formats: Sequence[str] = ("mask",),
    classes: tuple[str, ...],
    settings: Mapping[str, Any],
    force: bool = False,
    protect: Iterable[str | Path] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Segments each picture and writes the formats to ``out/<name without suffix>.mask.png`` and so on.

    While the model works, the next pictures are read and the last results written in threads; at no time are
    more than a few pictures in memory. Two pictures whose names differ in the suffix alone keep it:
    a.jpg.mask.png.

    A run that was stopped at any point, killed even, and is started again skips the pictures that are
    finished: those recorded in ``out/.likewise/finished.jsonl`` whose file is as it was then (size and time)
    and whose outputs exist. ``coco.json`` is written at the end and holds every finished picture in `out`, of
    earlier runs too.

    `settings` (what JSON can hold) says what made the results; with others than those of the earlier runs
    `OutputError` is raised, unless `force`, which does all again. A picture that cannot be read or segmented
    is listed in the report, the others are still done. `progress` is called with (settled, in all) pictures,
    first with those that are skipped.

    Nothing is overwritten that is not an output of an earlier run here, unless `force`; pictures and what
    `protect` names (the examples) never. That, and a disk that is full or refuses, raises `OutputError`.
    """
    start = time.perf_counter()
    formats = checked_formats(formats)
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: a file, where the folder for the results is needed; name another with -o")
    jobs = _jobs(pictures, out, formats)
    targets = [path for job in jobs for path in job.outputs.values()]
    targets += [out / COCO_FILE] if "coco" in formats else []
    _refuse_overwriting(targets, out, [*(picture.path for picture in pictures), *map(Path, protect)], force)
    with _writing_to(out):
        records = _Records(out, {**settings, "classes": list(classes)}, force)
    waiting = [job for job in jobs if not records.is_finished(job)]
    report = Report(skipped=len(jobs) - len(waiting))
    unfinished = set()
    if progress:
        progress(report.skipped, len(jobs))
    with contextlib.closing(_pipeline(waiting, segment, out, records)) as outcomes:
        for job, reason in outcomes:
            if reason is None:
                report.done += 1
            else:
                report.failed.append((job.picture.path, reason))
                unfinished.add(job.picture.name)
            if progress:
                progress(report.skipped + report.done + len(report.failed), len(jobs))
    if "coco" in formats:
        with _writing_to(out):
            write_coco(records.regions(without=unfinished), classes, out / COCO_FILE)
    report.seconds = time.perf_counter() - start
    return report


@dataclass(frozen=True)
class _Job:
    picture: Picture
    outputs: dict[str, Path]  # by format


@dataclass(frozen=True)
class _Stamp:
    """What tells a changed file from the one that was read."""

    size: int
    mtime_ns: int


def _jobs(pictures: Sequence[Picture], out: Path, formats: tuple[str, ...]) -> list[_Job]:
    names = [picture.name for picture in pictures]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"two pictures are named {twice[0]}, and their results would overwrite each other")
    stems = {name: PurePosixPath(name).with_suffix("").as_posix() for name in names}
    while True:
        counts = Counter(stem.casefold() for stem in stems.values())
        clashing = [name for name, stem in stems.items() if counts[stem.casefold()] > 1 and stem != name]
        if not clashing:
            break
        stems.update({name: name for name in clashing})
    writers = [name for name in formats if name in WRITERS]
    return [
        _Job(picture, {name: out / f"{stems[picture.name]}{WRITERS[name][0]}" for name in writers})
        for picture in pictures
    ]


def _refuse_overwriting(targets: list[Path], out: Path, inputs: list[Path], force: bool) -> None:
    never = {path.resolve() for path in inputs}
    for target in targets:
        if target.resolve() in never:
            raise OutputError(f"{target}: is an input and would be overwritten; write to another folder with -o")
    if force or (out / _RECORDS / _SETTINGS).exists():
        return
    for target in targets:
        if target.exists():
            raise OutputError(
                f"{target}: exists and was not made by an earlier run; write to another folder with -o, or "
                "pass --force to overwrite it"
            )


def _pipeline(
    jobs: Iterable[_Job], segment: Callable[[np.ndarray], Result], out: Path, records: "_Records"
) -> Generator[tuple[_Job, str | None], None, None]:
    """Each job as it is settled, with the reason if it failed. Reads ahead of the model, writes behind it."""
    with ThreadPoolExecutor(_READERS) as readers, ThreadPoolExecutor(1) as writer:
        rest = iter(jobs)
        ahead = deque((job, readers.submit(_read, job)) for job in itertools.islice(rest, _AHEAD))
        behind: tuple[_Job, Future[None]] | None = None
        while ahead:
            job, reading = ahead.popleft()
            ahead.extend((job, readers.submit(_read, job)) for job in itertools.islice(rest, 1))
            try:
                stamp, picture = reading.result()
                result = segment(picture)
            except Exception as error:  # whatever is wrong with this picture, the others are still done
                yield job, _reason(job, error)
                continue
            if behind:
                yield _written(*behind, out)
            behind = job, writer.submit(_write, job, stamp, picture, result, records)
        if behind:
            yield _written(*behind, out)


def _read(job: _Job) -> tuple[_Stamp, np.ndarray]:
    stamp = _stamp(job.picture.path)  # before reading: a change meanwhile is found by the next run
    picture = read_picture(job.picture.path)
    assert stamp is not None  # what can be read can be looked at
    return stamp, picture


def _write(job: _Job, stamp: _Stamp, picture: np.ndarray, result: Result, records: "_Records") -> None:
    for name, path in job.outputs.items():
        WRITERS[name][1](picture, result, path)
    records.add(job, stamp, regions_of(job.picture.name, result))


def _written(job: _Job, writing: Future[None], out: Path) -> tuple[_Job, str | None]:
    try:
        writing.result()
    except OSError as error:
        if error.errno in _FATAL:
            raise _cannot_write(out, error) from error
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
    words = str(error).removeprefix(f"{job.picture.path}: ")
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

    ``finished.jsonl`` has a line for each picture, appended once its outputs are on the disk; of two lines on
    one picture the later holds, and a line that a kill cut short counts for nothing.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any], force: bool) -> None:
        folder = out / _RECORDS
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
        with written(folder / _SETTINGS) as part:
            part.write_text(json.dumps(now, indent=1))
        for part in out.rglob(f"{PART_PREFIX}*"):  # of a run that was killed
            part.unlink(missing_ok=True)
        if self._file.exists() and not self._file.read_bytes().endswith(b"\n"):
            with self._file.open("ab") as file:
                file.write(b"\n")

    def is_finished(self, job: _Job) -> bool:
        stamp = self._stamps.get(job.picture.name)
        if stamp is None or stamp != _stamp(job.picture.path):
            return False
        return all(path.exists() for path in job.outputs.values())

    def add(self, job: _Job, stamp: _Stamp, regions: Regions) -> None:
        line = json.dumps({**asdict(stamp), **asdict(regions)})
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def regions(self, without: set[str]) -> Iterator[Regions]:
        """Of every finished picture, in the natural order of their names."""
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
    path = out / _RECORDS / _SETTINGS
    advice = "pass --force to do all pictures again, or name another folder with -o"
    try:
        before = json.loads(path.read_text())
    except (FileNotFoundError, ValueError) as error:
        raise OutputError(f"{path}: the settings of the earlier run cannot be read; {advice}") from error
    keys = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if keys:
        changes = ", ".join(f"{key} was {before.get(key)!r} and is now {now.get(key)!r}" for key in keys)
        raise OutputError(f"{out}: holds results of other settings: {changes}; {advice}")
