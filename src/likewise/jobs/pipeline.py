"""Run a predictor over images: read ahead of it, write behind it, record what is finished, resume.

images -> read and segment (threads) -> write (thread) -> records -> coco.json, areas.csv
"""

import contextlib
import errno
import sys
import threading
import time
from collections.abc import Callable, Collection, Container, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from likewise.engine.threads import one_blas_thread
from likewise.errors import ArgumentError, ImageError, LikewiseError, OutputError
from likewise.io.atomic import Parts, write_together
from likewise.io.class_lists import LEGEND
from likewise.io.digests import Stamp, stamp_of
from likewise.io.images import ScaledImage, read_scaled, read_size
from likewise.io.memory import default_budget, format_bytes, parse_size
from likewise.io.paths import ImageFile, real
from likewise.io.prefetch import prefetch
from likewise.jobs.outputs import STREAM, Job, check_folder, plan_jobs, refuse_overwriting, summary_files
from likewise.jobs.records import NEVER, Records, has_records, locked
from likewise.jobs.writers import (
    SUMMARIES,
    WRITERS,
    Regions,
    Result,
    check_formats,
    encode,
    regions_of,
    regions_of_file,
    write_legend,
)

Progress = Callable[[int, int], None]
"""Called with the number of processed images and their total."""

Segment = Callable[[ScaledImage, ImageFile], Result]


@runtime_checkable
class Windowed(Protocol):
    """What segments images that do not fit in memory (`likewise.jobs.mosaic.Mosaics`)."""

    def takes(self, file: ImageFile) -> bool: ...
    def path_of(self, format: str, path: Path) -> Path: ...
    def write(self, file: ImageFile, outputs: Mapping[str, Path]) -> Regions: ...


FATAL = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ENOTDIR),
}
"""Write errors that end the run, since they would affect every later image too."""


BYTES_PER_PIXEL = 24
"""Memory that reading, segmenting and writing an image with one class needs for each pixel (docs/large-images.md)."""
BYTES_PER_CLASS = 2
"""The same for each further class, of `parse`."""


@dataclass
class Report:
    """The outcome of a run.

    Attributes:
        done: Number of images processed.
        planned: Number of images that a dry run would process; None after any other run.
        kept: Images with an output that a person drew or corrected, which the run did not touch.
        again: Whether finished images were processed again, since the examples or the fitted presence had changed.
        fitted: Presence from which on each class counts, if it was fitted to the images.
        skipped: Number of images that an earlier run had finished.
        failed: Path and reason of each failed image.
        seconds: Duration.
    """

    done: int = 0
    planned: int | None = None
    kept: list[Path] = field(default_factory=list)
    again: bool = False
    fitted: dict[str, float] = field(default_factory=dict)
    skipped: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)
    seconds: float = 0.0


def process_images(
    images: Sequence[ImageFile],
    segment: Segment,
    out: str | Path,
    *,
    short: int | None = None,
    formats: Sequence[str] = ("mask",),
    classes: tuple[str, ...],
    labels: Sequence[int] | None = None,
    settings: Mapping[str, Any],
    force: bool = False,
    protect: Iterable[str | Path] = (),
    memory: str | int | None = None,
    dry_run: bool = False,
    windowed: Windowed | None = None,
    at_once: int = 1,
    refresh: Collection[str] = (),
    begin: Callable[[], None] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Segment each image and write its outputs to ``out/<name without suffix>.mask.png`` and so on.

    Interrupted runs resume: a second call skips images that are recorded as finished, unchanged, and whose outputs
    exist. Files for all images (``coco.json``, ``areas.csv``) are written last and cover every finished image of `out`,
    also those of earlier runs; ``legend.csv`` names the labels of label images.
    A few images are in memory at a time.

    Args:
        segment: Returns the result for an image and its file.
        out: The folder, or `STREAM` for one output of one image.
        short: The short side in pixels to which `segment` gets images reduced; None: at their size.
        formats: Names of `likewise.jobs.writers.FORMATS`.
        classes: Class names in the order of the labels.
        labels: The label of each class in label images of scenes; None: 0 is background, classes are 1, 2, ...
        settings: Everything else that determines the results, as JSON can hold it.
        force: Process finished images again, also with other settings, and overwrite existing files.
        protect: Further input files, such as masks of examples, that no output may overwrite. One of them in `out` is
            a corrected output: the others may then be of another concept, and are processed again.
        memory: Bytes, or a text such as "4G", that images in work may need together; by default
            `likewise.io.memory.default_budget`.
        dry_run: Check and count everything, process and write nothing.
        windowed: Writes the images that it takes, in place of `segment`.
        at_once: Images that `segment` gets at the same time, from as many threads.
        refresh: Settings that may differ from those of an earlier run; finished images are then processed again.
        begin: Called before the first image; not in a dry run, nor if no image is to be processed.
        progress: Called after each image, and once at the start with the number of skipped images.

    Returns:
        The report. An image that cannot be read or segmented is listed there, and the run continues.

    Raises:
        ArgumentError: An unknown format, or two images of one name.
        OutputError: `out` holds results of other settings, another run writes there, an output would overwrite a
            foreign file (images and `protect` even with `force`), or the disk is full or read-only. Finished images
            are kept.
    """
    if str(out) == STREAM or any(str(image.path) == STREAM for image in images):
        return _process_stream(images, segment, str(out), check_formats(formats), short, begin)
    start = time.perf_counter()
    budget = default_budget() if memory is None else parse_size(str(memory))
    formats, out, protected = check_formats(formats), Path(out), {real(path) for path in protect}
    check_folder(out)
    large = {image.name for image in images if windowed and windowed.takes(image)}
    jobs, summaries = plan_jobs(images, out, formats), summary_files(out, formats)
    if windowed and large:
        jobs = [_in_windows(job, windowed) if job.image.name in large else job for job in jobs]
    drawn = {"mask", "labels"} & {*formats}
    # masks of one class alone are 0 and 255, which a legend would misname
    named = bool(drawn) if labels is not None or len(classes) > 1 else drawn == {"labels"}
    legend = [out / LEGEND] if named else []
    targets = [*(path for job in jobs for path in job.outputs.values()), *summaries.values(), *legend]
    resumes = has_records(out) and not force
    inputs = [real(image.path) for image in images] + ([] if resumes else list(protected))
    refuse_overwriting(targets, out, inputs, force=force)
    corrects = any(path.is_relative_to(real(out)) for path in protected)
    settings = {**settings, "classes": list(classes)}
    with contextlib.nullcontext() if dry_run else _writing_to(out), one_blas_thread():
        records = Records(out, settings, force=force, again={*refresh, *(["concept"] if corrects else [])})
        report = Report(again=records.again)
        pending, manual = _split(jobs, records, protected, report, thorough=bool(summaries))
        if dry_run:
            report.planned = len(pending)
            return report
        if begin and pending:
            begin()
        records.start()
        if progress:
            progress(len(jobs) - len(pending), len(jobs))
        cost = BYTES_PER_PIXEL + BYTES_PER_CLASS * (len(classes) - 1)
        instead = {name: regions_of_file(name, path, classes) for name, path in manual.items()} if summaries else {}
        with contextlib.closing(
            _outcomes(pending, segment, out, records, short, cost, budget, windowed, large, at_once)
        ) as outcomes:
            for index, (job, reason) in enumerate(outcomes, start=len(jobs) - len(pending) + 1):
                if reason is None:
                    report.done += 1
                else:
                    report.failed.append((job.image.path, reason))
                    instead[job.image.name] = None
                if progress:
                    progress(index, len(jobs))
        paths = {image.name: image.path for image in images}
        for format, path in summaries.items():
            SUMMARIES[format][1](records.regions(instead=instead), classes, path, paths)
        for path in legend:
            write_legend(classes, labels, path)
    report.seconds = time.perf_counter() - start
    return report


def _process_stream(
    images: Sequence[ImageFile],
    segment: Segment,
    out: str,
    formats: Sequence[str],
    short: int | None,
    begin: Callable[[], None] | None,
) -> Report:
    """Segment one image, which may come from standard input, and write its one output to standard output."""
    if out != STREAM or len(images) != 1 or len(formats) != 1 or formats[0] not in WRITERS:
        raise ArgumentError(
            f"standard input and output take one image and one file: give -o - and a --format of {', '.join(WRITERS)}"
        )
    (file,) = images
    if begin:
        begin()
    image = read_scaled(sys.stdin.buffer if str(file.path) == STREAM else file, short)
    sys.stdout.buffer.write(encode(formats[0], image, segment(image, file)))
    sys.stdout.buffer.flush()
    return Report(done=1)


def _split(
    jobs: Iterable[Job], records: Records, protected: set[Path], report: Report, *, thorough: bool
) -> tuple[list[Job], dict[str, Path]]:
    """Return the jobs to process, without manual outputs, and the manual mask by the name of its image.

    Args:
        report: The other jobs are counted here.
        thorough: Look for changed outputs of finished images too.
    """
    pending: list[Job] = []
    manual: dict[str, Path] = {}
    for job in jobs:
        finished = records.is_finished(job.image.name, job.image.path, job.outputs.values())
        foreign = {
            format: path
            for format, path in job.outputs.items()
            if real(path) in protected or ((thorough or not finished) and records.is_foreign(path))
        }
        rest = {format: path for format, path in job.outputs.items() if format not in foreign}
        if foreign:
            report.kept.append(job.image.path)
        elif finished:
            report.skipped += 1
        for format in foreign.keys() & {"mask", "labels"}:
            manual[job.image.name] = foreign[format]
        if not finished and (rest or not foreign):
            pending.append(replace(job, outputs=rest))
    return pending, manual


def _outcomes(
    jobs: Iterable[Job],
    segment: Segment,
    out: Path,
    records: Records,
    short: int | None,
    cost: int,
    budget: int,
    windowed: Windowed | None,
    large: Container[str],
    at_once: int,
) -> Generator[tuple[Job, str | None], None, None]:
    """Yield each job when it is finished, with the reason if it failed.

    Args:
        cost: Bytes of memory for each pixel of an image.
        budget: Bytes of memory for all images in work.
    """

    def needs(job: Job) -> int:
        if job.image.name in large:
            return 0
        with contextlib.suppress(ImageError):
            height, width = read_size(job.image.path)[0]
            return height * width * cost
        return 0

    turns = threading.Semaphore(at_once)

    def find(job: Job) -> tuple[Stamp, ScaledImage | None, Any]:
        stamp = stamp_of(job.image.path)  # before reading, so that the next run detects a change in between
        if job.image.name in large and stamp is not None:
            return stamp, None, None
        check_memory(needs(job), budget)
        image = read_scaled(job.image, short)
        assert stamp is not None
        with turns:
            return stamp, image, segment(image, job.image)

    with (
        ThreadPoolExecutor(1) as writer,
        contextlib.closing(prefetch(jobs, find, threads=at_once + 1, cost=needs, budget=budget)) as findings,
    ):
        writing: tuple[Job, Future[None]] | None = None
        for job, finding in findings:
            try:
                stamp, image, result = finding.result()
            except Exception as error:  # any failure concerns this image only
                yield job, reason_of(job.image.path, error)
                continue
            if writing:
                yield _written(*writing, out)
            if image is None or result is None:
                assert windowed is not None
                writing = job, writer.submit(_write_in_windows, job, stamp, windowed, records)
                wait([writing[1]])  # its memory is not counted, so no further image is begun
            else:
                writing = job, writer.submit(_write, job, stamp, image, result, records)
        if writing:
            yield _written(*writing, out)


def check_memory(needed: int, budget: int) -> None:
    """Raise an `ImageError` for an image that needs more bytes of memory than may be used."""
    if needed > budget:
        raise ImageError(
            f"needs about {format_bytes(needed)} of memory, and {format_bytes(budget)} may be used; scale it down, or "
            "allow more with --memory"
        )


def _write(job: Job, stamp: Stamp, image: ScaledImage, result: Result, records: Records) -> None:
    regions = regions_of(job.image.name, result)
    try:
        with write_together(lambda parts: records.add(stamp, regions, parts)):
            for format, path in job.outputs.items():
                WRITERS[format][1](image, result, path)
    except OutputError:
        with contextlib.suppress(OSError):
            records.add(NEVER, regions, [])  # a rename failed after the record
        raise


def _write_in_windows(job: Job, stamp: Stamp, windowed: Windowed, records: Records) -> None:
    regions = None

    def record(parts: Parts) -> None:
        assert regions is not None
        records.add(stamp, regions, parts)

    with write_together(record):
        regions = windowed.write(job.image, job.outputs)


def _in_windows(job: Job, windowed: Windowed) -> Job:
    return replace(job, outputs={format: windowed.path_of(format, path) for format, path in job.outputs.items()})


def _written(job: Job, writing: Future[None], out: Path) -> tuple[Job, str | None]:
    """Wait for the writer; raise `OutputError` if no later image can be written either."""
    try:
        writing.result()
    except ImageError as error:  # of an image in windows, which is read while its result is written
        return job, reason_of(job.image.path, error)
    except Exception as error:
        cause = error.__cause__ if isinstance(error, OutputError) else error
        if isinstance(cause, OSError) and cause.errno in FATAL:
            raise _disk_error(out, cause) from error
        return job, f"its result cannot be written: {reason_of(job.image.path, error)}"
    return job, None


def reason_of(image: str | Path, error: Exception) -> str:
    """Return the message of an error without the path of the image, which the report has."""
    message = str(error).removeprefix(f"{image}: ")
    return message if isinstance(error, LikewiseError) else f"{type(error).__name__}: {message}"


def _disk_error(out: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{error.filename or out}: cannot be written ({error.strerror or error}); free disk space or check the "
        "permissions, then run again: finished images are kept"
    )


@contextlib.contextmanager
def _writing_to(out: Path) -> Iterator[None]:
    """Lock the folder; errors of the system become `OutputError`."""
    try:
        with locked(out):
            yield
    except OSError as error:
        raise _disk_error(out, error) from error
